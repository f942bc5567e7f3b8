/*
 * rseq(2): short sequences of user code on per-CPU data that start anew when the thread was disturbed in them.
 *
 * The scheduler sets THREAD_WORK_RSEQ when it takes the CPU from a thread that has an area, and a page fault does when it slept. A thread
 * that sleeps in a system call is in no sequence: the interface forbids calls there.
 */
#pragma once

#include "kernel/base/types.h"

struct rseq;
struct thread;
struct trapframe;

/* For the current thread. -EINVAL: not aligned, another area is registered; -EPERM: with another signature; -EBUSY; -EFAULT. */
int rseq_register(struct rseq __user *area, uint32_t signature);
int rseq_unregister(struct rseq __user *area, uint32_t signature);
/*
 * The current thread goes back to user mode and has been disturbed: abort the sequence that `frame` is in, if any, and tell the CPU.
 * A broken area or sequence is SIGSEGV. May sleep.
 */
void rseq_before_user(struct thread *thread, struct trapframe *frame);
