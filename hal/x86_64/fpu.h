/*
 * FPU, SSE and AVX state of user threads. The kernel itself uses none of it.
 *
 * State of a thread is in its save area (arch.fpu) while THREAD_WORK_FPU is set, else in the registers of the CPU it runs on. It is saved when
 * the thread is switched out, and read back only on the next return to user mode, and only when the registers have held
 * another thread's state since (this_cpu->fpu_owner).
 */
#pragma once

#include "kernel/base/types.h"

struct thread;

/* Sizes and features, on the boot CPU; then on each CPU. */
void fpu_init(void);
void fpu_init_cpu(void);
size_t fpu_area_size(void);

/* A save area with the initial state; NULL: no memory. */
void *fpu_area_create(void);
void fpu_area_destroy(void *area);
/* Initial state for the current thread. */
void fpu_reset_current(void);
/* Copy of the current thread's state into the area of a child. */
void fpu_copy_current(struct thread *child);
/* Current thread: make the registers hold its state. Interrupts off. */
void fpu_restore_current(void);
/* cpu_switch, interrupts off: `prev` has an area and leaves the CPU; `next` has one and comes. */
void fpu_switch_out(struct thread *prev);
void fpu_switch_in(struct thread *next);

/* Unmasked exceptions that the registers report: SSE's or x87's, as bits of MXCSR 0-5. */
uint32_t fpu_raised_exceptions(bool simd);

/*
 * Signal frames: the state as Linux lays it out (asm/sigcontext.h). Bytes it takes on the user stack, 64-aligned address.
 * With PKRU (pkey.h). Write it there; -EFAULT. Read it back: NULL for the initial state; -EFAULT: not readable. May sleep.
 */
size_t fpu_signal_size(void);
int fpu_signal_save(void __user *user_area);
int fpu_signal_restore(const void __user *user_area);

/*
 * Debuggers and core dumps: the state of the current thread or of one that is switched out, as an FXSAVE image of FPU_LEGACY_BYTES or, `whole`, as an
 * XSAVE image of fpu_xstate_size() with PKRU, and XCR0 in its reserved bytes. Setting: -EINVAL: the processor could not hold such a state.
 */
#define FPU_LEGACY_BYTES 512u
size_t fpu_xstate_size(void); /* 0: no XSAVE */
void fpu_state_get(struct thread *thread, void *buf, bool whole);
int fpu_state_set(struct thread *thread, const void *buf, bool whole);
