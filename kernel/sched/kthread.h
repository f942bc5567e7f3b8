/*
 * The kernel's own threads, for whoever gives them numbers: kernel/proc/kthreadd.c.
 *
 * This room makes threads long before there are processes. Those that it has started wait in a list, in that order, until a thread of a higher
 * room takes them; each is told of again when it has ended.
 */
#pragma once

#include "kernel/sched/thread.h"

/* Both run in thread context, one at a time; `ended` on the thread itself, for the last thing that it does. */
struct kthread_numbering {
    void (*started)(struct thread *thread);
    void (*ended)(struct thread *thread);
};

/* Wait until kernel threads have been started, and call started() for each. The caller sleeps as one that waits for work does. */
void kthreads_number(const struct kthread_numbering *numbering);

/* From thread_start(). Any context. */
void kthread_started(struct thread *thread);
/* The current thread ends, or has its number from elsewhere. May sleep. */
void kthread_leave(struct thread *thread);
