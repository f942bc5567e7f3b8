/*
 * Where the machine enters the portable kernel, and what a user-mode register frame offers.
 *
 * struct trapframe is the saved state of a thread that left user mode (or of interrupted kernel code); <arch/trapframe.h> has its
 * layout. Portable code uses the accessors below.
 */
#pragma once

#include <arch/trapframe.h>

#include "kernel/base/types.h"

/* ---- called by the machine ---- */

/* First C function after the machine can print and take traps: kernel/main.c. On the boot CPU's idle thread's stack. */
struct boot_handoff;
void kernel_main(const struct boot_handoff *handoff) __noreturn;

/* The same of every other CPU (kernel/main.c): on its idle thread's stack, interrupts off, what the machine needs set up. */
void kernel_main_cpu(void) __noreturn;

/* A system call from user mode; interrupts on. Writes the result into the frame. (kernel/linux) */
void machine_syscall(struct trapframe *frame);

/* The same CPU asked for it (cpu_watch_syscall): before machine_syscall(), interrupts off. (kernel/sched) */
void machine_syscall_watched(void);

#define FAULT_WRITE   0x1u
#define FAULT_EXEC    0x2u
#define FAULT_USER    0x4u /* the access came from user mode */
#define FAULT_PRESENT 0x8u /* a rights violation, not a missing entry */
/*
 * A page fault at a user address, from user mode or from a user-copy function; interrupts on. (kernel/vm)
 * 0: resolved, retry. -EFAULT: no mapping (SIGSEGV SEGV_MAPERR); -EACCES: rights (SEGV_ACCERR); -EIO: beyond the end of the
 * file or unreadable (SIGBUS BUS_ADRERR); -ENOMEM: out of memory. What a protection key forbids does not come here.
 */
int machine_page_fault(vaddr_t addr, unsigned flags);

/* An exception in user mode that becomes a signal: number, code, address (kernel/proc). Interrupts on. */
struct trapframe;
void machine_user_exception(struct trapframe *frame, int signo, int code, vaddr_t addr, int trapno,
                            uint64_t error_code);

/*
 * Before every return to user mode while the thread's work flags are set: signals, reschedule, stops. Interrupts on at
 * entry; returns with them off. `syscall` tells that a system call is being left, so that it may be restarted. (kernel/proc)
 */
void machine_user_return(struct trapframe *frame, bool syscall);

/*
 * The first thing that a thread made by cpu_thread_init_user does on its own stack, before its first return to user mode (which
 * goes through the work flags like any other). Entered as cpu_switch leaves it: interrupts off; returns with interrupts and
 * preemption on. (kernel/sched; threads of cpu_thread_init_kernel see to it themselves.)
 */
void machine_thread_started(void);

/* ---- offered by the machine ---- */

/* Write the registers of a frame to the log, for panic. Any context. (hal/x86_64, hal/host) */
void machine_dump_frame(const struct trapframe *frame);

/* ---- offered by the machine (<arch/trapframe.h>, inline) ----
 *   bool      trapframe_from_user(const struct trapframe *)
 *   uint64_t  trapframe_pc / trapframe_sp(const struct trapframe *)
 *   int       trapframe_syscall_nr(const struct trapframe *)           -1: none
 *   uint64_t  trapframe_arg(const struct trapframe *, unsigned n)      n = 0..5
 *   void      trapframe_set_result(struct trapframe *, int64_t)
 *   int64_t   trapframe_result(const struct trapframe *)
 *   void      trapframe_restart_syscall(struct trapframe *)            step back over the system call instruction
 *   void      trapframe_restart_block(struct trapframe *)              the same, to call restart_syscall(2) there
 *   void      trapframe_forget_syscall(struct trapframe *)             it is not a system call's frame
 *   void      trapframe_set_pc(struct trapframe *, vaddr_t pc)
 *   void      trapframe_set_sp(struct trapframe *, vaddr_t sp)
 *   void      trapframe_init_user(struct trapframe *, vaddr_t pc, vaddr_t sp)   all other registers zero
 *   struct trapframe *thread_trapframe(struct thread *)                the user frame at the top of its kernel stack
 */
