/*
 * Deferred work: functions that run soon in a kernel thread, queued from any context.
 */
#pragma once

#include "kernel/sched/thread.h"

struct work;
typedef void work_fn(struct work *work);

struct work {
    struct list_node node; /* [queue lock] */
    work_fn *fn;           /* [I] */
    bool queued;           /* [queue lock] */
};

void work_init(struct work *work, work_fn *fn);
/* False when it was queued already. Any context. The work's memory must live until fn has begun. */
bool work_queue(struct work *work);
/* Wait until everything queued so far has run. Thread context. */
void work_flush(void);
void work_threads_start(void);
