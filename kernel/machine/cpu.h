/*
 * Threads as the CPU knows them: stacks, switching, user register state beyond the trap frame.
 */
#pragma once

#include <arch/thread.h>

#include "kernel/base/types.h"

struct thread;
struct trapframe;
struct mmu_space;

/* Prepare thread->arch and its kernel stack so that the first switch to it calls entry(arg), which never returns. */
void cpu_thread_init_kernel(struct thread *thread, void (*entry)(void *arg), void *arg);
/*
 * Prepare a child of `parent` (the current thread) that starts in user mode with a copy of `frame` (result register 0), the
 * parent's FPU state and segment bases. -ENOMEM: no memory for the FPU state.
 */
int cpu_thread_init_user(struct thread *thread, const struct trapframe *frame);
/* Free what the two above allocated (FPU state). The thread never runs again. */
void cpu_thread_fini(struct thread *thread);
/* exec: drop FPU state to its initial value and clear FS/GS bases of the current thread. */
void cpu_thread_reset_user(void);

/*
 * Switch stacks and registers from `prev` (current) to `next`; returns in prev's context when it is chosen again, with the
 * thread that ran before it. Interrupts off, runqueue lock held by the caller. Sets this_cpu->current and kernel_stack_top.
 */
struct thread *cpu_switch(struct thread *prev, struct thread *next);
/* For a thread that has no user frame yet (exec of init): go to user mode through thread_trapframe(current). */
void cpu_enter_user(void) __noreturn;

/* arch_prctl(2): FS and GS base of the current thread. -EPERM: not a user address. */
int cpu_set_user_tls(vaddr_t fs_base);
/* The same for a thread that cpu_thread_init_user() has prepared and that has not run yet (CLONE_SETTLS). */
int cpu_thread_set_tls(struct thread *thread, vaddr_t fs_base);
int cpu_arch_prctl(int code, vaddr_t addr);

/*
 * Signals: the layout of the frame on the user stack is the CPU's ABI (Linux struct rt_sigframe, asm/sigcontext.h).
 * Both touch user memory and may sleep. -EFAULT: the stack is not writable or too small, or the frame is not valid: caller kills.
 */
struct signal_delivery {
    int signo;
    vaddr_t handler;
    vaddr_t restorer;      /* SA_RESTORER */
    bool siginfo;          /* SA_SIGINFO */
    vaddr_t stack;         /* 0: the interrupted stack; else the top of the alternate stack */
    bool on_altstack;      /* the frame has to lie within the alternate stack */
    uint64_t old_mask;     /* restored by rt_sigreturn */
    const void *info;      /* siginfo_t, 128 bytes */
    vaddr_t altstack_base; /* uc_stack */
    uint64_t altstack_size;
    uint32_t altstack_flags;
    int trapno; /* sigcontext: trapno, err, cr2 */
    uint64_t error_code;
    vaddr_t fault_addr;
};
int cpu_signal_setup(struct trapframe *frame, const struct signal_delivery *delivery);
struct signal_return {
    uint64_t mask;
    vaddr_t altstack_base;
    uint64_t altstack_size;
    uint32_t altstack_flags;
};
int cpu_signal_return(struct trapframe *frame, struct signal_return *ret);

/*
 * Protection keys of user pages (pkeys(7)): how many there are (1: the CPU has none); what the current thread may not do with pages that
 * have the key, PKEY_DISABLE_* of asm/mman.h, from now on; and whether it may access them so. New threads have their parent's rights, and
 * programs none but for key 0, as signal handlers until they return.
 */
unsigned cpu_pkeys(void);
void cpu_pkey_restrict(unsigned key, unsigned rights);
bool cpu_pkey_allows(unsigned key, bool write);

/*
 * This CPU's next system call, and each from then on, calls machine_syscall_watched() (entry.h) first; or does not any more, which is how it begins. Interrupts off.
 */
void cpu_watch_syscall(bool on);

/* Wait for the next interrupt with interrupts enabled atomically; for the idle loop, after rcu_idle_enter(). Interrupts off; returns with them on. */
void cpu_idle(void);
/* The user-mode registers of `thread`, at the top of its kernel stack. */
struct trapframe *thread_trapframe(struct thread *thread);

/* What this CPU has fetched ahead of the instructions that follow is forgotten. Preemption off. */
void cpu_sync_core(void);

/* Stop this CPU for good. */
void cpu_halt_forever(void) __noreturn;

/* Hardware random numbers: true and *ret when the CPU has RDSEED or RDRAND and it delivered. */
bool cpu_random_u64(uint64_t *ret);

/* The vDSO: an ELF shared object of whole pages, page aligned, that expects struct vdso_data in the page before it. */
const void *vdso_image(size_t *ret_size_bytes);

/* Text of /proc/cpuinfo for one CPU; returns the length as kscnprintf does. */
int cpu_describe(unsigned id, char *buf, size_t size);
/* AT_HWCAP, AT_HWCAP2, AT_MINSIGSTKSZ and AT_PLATFORM of the auxiliary vector. */
uint64_t cpu_hwcap(void);
uint64_t cpu_hwcap2(void);
uint64_t cpu_min_signal_stack(void);

/* Backtrace of the current thread into addrs[]; returns the number found. Any context. */
size_t cpu_backtrace(uintptr_t *addrs, size_t max, const struct trapframe *from);
/*
 * The same of another thread, on which the caller has a hold. If it runs meanwhile, what is found may be wrong, but nothing is accessed that is
 * not its stack.
 */
size_t cpu_backtrace_thread(struct thread *thread, uintptr_t *addrs, size_t max);
