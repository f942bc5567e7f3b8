/*
 * Debug registers and single steps of threads (kernel/machine/debug.h), as the rest of this folder meets them.
 */
#pragma once

#include "hal/x86_64/trap.h"

struct thread;

/* A new thread has neither; the current one loses both at execve; and what they took at its end. */
void debug_inherit(struct thread *thread, const struct thread *parent);
void debug_reset_current(void);
void debug_fini(struct thread *thread);
/* The current thread has THREAD_WORK_DEBUG and is about to return to user mode. Interrupts off. */
void debug_load_current(void);
/*
 * #DB. From user mode, interrupts off at entry: true when it is to become a signal, with *ret_code its si_code. From the kernel, which meets what
 * a program has its breakpoints on: nothing to do, but to leave the status as it was before.
 */
bool debug_exception_user(struct trapframe *frame, int *ret_code);
void debug_exception_kernel(struct trapframe *frame);
