/*
 * A watch over threads that sleep where no signal reaches them (state D) for longer than hung_task_timeout seconds: each is told once for each
 * such sleep, with its stack, until hung_task_warnings of them were.
 */
#pragma once

#include "kernel/base/types.h"

struct thread;

/* /proc/sys/kernel/hung_task_* */
extern uint64_t hung_task_timeout;        /* [a] seconds; 0: no watch */
extern uint64_t hung_task_check_interval; /* [a] seconds between looks; 0: the timeout */
extern int32_t hung_task_warnings;        /* [a] how many more are told; -1: all */
extern uint32_t hung_task_panic;          /* [a] 1: the first one is the end */

/* Look at one thread at time `now`: true when it was told. The caller holds a reference. */
bool hung_task_look(struct thread *thread, ktime_t now);
/* A setting was changed: the watch begins anew. Thread context. */
void hung_task_restart(void);
void hung_task_start(void);
