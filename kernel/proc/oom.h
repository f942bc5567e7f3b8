/*
 * The OOM killer: when memory is out and nothing can be reclaimed, the process that has most of it ends, so that the others go on.
 */
#pragma once

#include "kernel/proc/process.h"

/* /proc/PID/oom_score_adj: thousandths of all memory that are added to what a process uses. */
#define OOM_ADJ_MIN (-1000) /* never choose it */
#define OOM_ADJ_MAX 1000

#define OOM_BADNESS_NEVER INT64_MIN
/*
 * How many pages the end of the process would give back: its resident and swapped pages and page tables, and oom_score_adj of *ret_total
 * (all of memory and swap). OOM_BADNESS_NEVER: it is not to be chosen. Thread context.
 */
int64_t oom_badness(struct process *process, uint64_t *ret_total);

/*
 * Set oom_score_adj of a process and of all that share its memory. -EINVAL: out of range; -EACCES: below what somebody with
 * CAP_SYS_RESOURCE set last, without the capability. Thread context.
 */
int oom_adjust(struct process *process, int64_t adj);

/* /proc/sys/vm/panic_on_oom, oom_kill_allocating_task, oom_dump_tasks: any value is right at any time. */
extern int oom_panic;           /* [a] 0, 1 or 2 */
extern int oom_kill_allocating; /* [a] whoever asks for memory is the victim, if it may be */
extern int oom_dump_tasks;      /* [a] a table of all processes in the log */

/* Processes killed so far. */
uint64_t oom_kills(void);
/* Somebody at the machine wants it: end the process that has most. Thread context, may sleep. */
void oom_kill_one(void);
void oom_init(void);
