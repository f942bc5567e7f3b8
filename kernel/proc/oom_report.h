/*
 * What the OOM killer tells the log, in the words of Linux, for which people and programs look. Private to kernel/proc.
 */
#pragma once

#include "kernel/proc/oom.h"

/* What a process has of memory, in pages. */
struct oom_space {
    const struct vmspace *vm; /* an address to compare, not a reference */
    uint64_t anon, file, shared, swap, tables, total;
    bool is_shared; /* by other processes */
    bool is_reaped; /* there is nothing more to get from it */
};
/* False: it has no space any more. Any context. */
bool oom_space_look(const struct process *process, struct oom_space *ret_space);

/* Who asked, how memory stands, and (oom_dump_tasks) everybody; at most once in a while. `thrashes`: because memory does, though some is free. */
void oom_report_begin(bool thrashes);
/* Where the machine's memory is. Thread context. */
void oom_report_memory(void);
void oom_report_kill(struct process *victim, const struct oom_space *space);
void oom_report_reaped(struct process *process);
