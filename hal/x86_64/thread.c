/*
 * Threads as the CPU knows them: first switch, later switches, user segment bases, idle.
 *
 * A switched-out thread's stack ends with what switch_stacks() pushed: six callee-saved registers and a return address. A new one gets
 * the same by hand, with thread_first_kernel or thread_first_user (entry.S) to return to.
 */
#include "kernel/sched/thread.h"

#include <asm/prctl.h>

#include "hal/x86_64/debug.h"
#include "hal/x86_64/features.h"
#include "hal/x86_64/fpu.h"
#include "hal/x86_64/percpu.h"
#include "hal/x86_64/pkey.h"
#include "hal/x86_64/regs.h"
#include "hal/x86_64/tlb.h"
#include "hal/x86_64/trap.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/machine/idle.h"
#include "kernel/machine/user.h"
#include "kernel/mm/arena.h"

/* As switch_stacks() pops it. */
struct switch_frame {
    uint64_t r15, r14, r13, r12, rbp, rbx;
    uintptr_t rip;
};

struct thread *switch_stacks(struct thread *prev, struct thread *next);
extern const uint8_t thread_first_kernel[], thread_first_user[];

static uintptr_t stack_top(const struct thread *thread)
{
    return (uintptr_t)thread->stack + KSTACK_SIZE;
}

struct trapframe *thread_trapframe(struct thread *thread)
{
    return (struct trapframe *)stack_top(thread) - 1;
}

static struct switch_frame *first_frame(struct thread *thread, uintptr_t below,
                                        const uint8_t *first)
{
    struct switch_frame *frame = (struct switch_frame *)below - 1;

    *frame = (struct switch_frame){.rip = (uintptr_t)first};
    thread->arch.sp = (uintptr_t)frame;
    return frame;
}

void cpu_thread_init_kernel(struct thread *thread, void (*entry)(void *arg), void *arg)
{
    /* Below the user frame, so that a kernel thread may execute a program and become a process. */
    struct switch_frame *frame = first_frame(
        thread, ALIGN_DOWN((uintptr_t)thread_trapframe(thread), 16), thread_first_kernel);

    frame->rbx = (uintptr_t)entry;
    frame->r12 = (uintptr_t)arg;
    thread->arch.fpu = NULL;
    thread->arch.fs_base = 0;
    thread->arch.gs_base = 0;
    thread->arch.selectors = 0;
}

static uint64_t fs_base_current(void)
{
    return likely(cpu_features.fsgsbase) ? fs_base_read() : msr_read(MSR_FS_BASE);
}

/* Interrupts off. */
static uint64_t gs_base_current(void)
{
    return likely(cpu_features.fsgsbase) ? user_gs_base_read() : msr_read(MSR_KERNEL_GS_BASE);
}

/* Interrupts off. */
static void bases_load(uint64_t fs_base, uint64_t gs_base)
{
    if (likely(cpu_features.fsgsbase)) {
        fs_base_write(fs_base);
        user_gs_base_write(gs_base);
    } else {
        msr_write(MSR_FS_BASE, fs_base);
        msr_write(MSR_KERNEL_GS_BASE, gs_base);
    }
}

int cpu_thread_init_user(struct thread *thread, const struct trapframe *frame)
{
    struct trapframe *user = thread_trapframe(thread);
    void *fpu = fpu_area_create();
    uint64_t flags;

    if (fpu == NULL) {
        return -ENOMEM;
    }
    thread->arch.fpu = fpu;
    fpu_copy_current(thread);
    *user = *frame;
    user->rax = 0;
    user->orig_rax = ~0ull;
    debug_inherit(thread, current_thread());
    (void)first_frame(thread, (uintptr_t)user, thread_first_user);
    thread->arch.pkru = current_thread()->arch.fpu == NULL ? PKRU_INITIAL : pkey_rights();
    flags = irq_save();
    thread->arch.fs_base = fs_base_current();
    thread->arch.gs_base = gs_base_current();
    thread->arch.selectors = selectors_read();
    irq_restore(flags);
    (void)__atomic_fetch_or(&thread->work, THREAD_WORK_FPU, __ATOMIC_RELAXED);
    return 0;
}

void cpu_thread_fini(struct thread *thread)
{
    fpu_area_destroy(thread->arch.fpu);
    thread->arch.fpu = NULL;
    debug_fini(thread);
}

void cpu_thread_reset_user(void)
{
    struct thread *thread = current_thread();
    uint64_t flags;

    if (thread->arch.fpu == NULL) {
        /* The boot thread becomes process 1. */
        thread->arch.fpu = fpu_area_create();
        BUG_ON(thread->arch.fpu == NULL);
    }
    debug_reset_current();
    flags = irq_save();
    fpu_reset_current();
    pkey_set_rights(PKRU_INITIAL);
    selectors_load(0);
    bases_load(0, 0);
    irq_restore(flags);
}

/* User rights stay what they were while kernel threads run. */
static inline void pkru_switch(struct thread *prev, const struct thread *next)
{
    if (likely(cpu_features.pku)) {
        uint32_t now = pkru_read();
        prev->arch.pkru = now;
        if (unlikely(next->arch.pkru != now) && next->arch.fpu != NULL) {
            pkru_write(next->arch.pkru);
        }
    }
}

static __noinline __cold void selectors_exchange(struct thread *prev, struct thread *next)
{
    prev->arch.selectors = selectors_read();
    selectors_load(next->arch.selectors);
}

/* Hardly any program loads one. Kernel threads have none, whatever the one before them had. Before the bases, which it spoils. */
static inline void selectors_switch(struct thread *prev, struct thread *next)
{
    uint32_t loaded = ds_read() | es_read() | fs_read() | gs_read();

    if (unlikely((loaded | prev->arch.selectors | next->arch.selectors) != 0)) {
        selectors_exchange(prev, next);
    }
}

struct thread *cpu_switch(struct thread *prev, struct thread *next)
{
    uintptr_t top = stack_top(next);

    if (prev->arch.fpu != NULL) {
        prev->arch.fs_base = fs_base_current();
        prev->arch.gs_base = gs_base_current();
        fpu_switch_out(prev);
    }
    selectors_switch(prev, next);
    if (next->arch.fpu != NULL) {
        bases_load(next->arch.fs_base, next->arch.gs_base);
        fpu_switch_in(next);
    }
    pkru_switch(prev, next);
    this_cpu->current = next;
    this_cpu->kernel_stack_top = top;
    this_x86_cpu->tss.rsp0 = top;
    return switch_stacks(prev, next);
}

void cpu_enter_user(void)
{
    irq_disable();
    entry_enter_user(thread_trapframe(current_thread()));
}

int cpu_set_user_tls(vaddr_t fs_base)
{
    return cpu_arch_prctl(ARCH_SET_FS, fs_base);
}

int cpu_thread_set_tls(struct thread *thread, vaddr_t fs_base)
{
    if (fs_base >= USER_TOP) {
        return -EPERM;
    }
    thread->arch.fs_base = fs_base;
    thread->arch.selectors &= ~SELECTOR_FS;
    return 0;
}

uint64_t cpu_user_base(bool gs)
{
    uint64_t flags = irq_save();
    uint64_t base = gs ? gs_base_current() : fs_base_current();

    irq_restore(flags);
    return base;
}

/* A base that is set takes the place of a selector. Interrupts off. */
static void base_set(bool gs, vaddr_t base)
{
    uint64_t fs_base = gs ? fs_base_current() : base;
    uint64_t gs_base = gs ? base : gs_base_current();

    selectors_load(selectors_read() & ~(gs ? SELECTOR_GS : SELECTOR_FS));
    bases_load(fs_base, gs_base);
}

int cpu_arch_prctl(int code, vaddr_t addr)
{
    uint64_t flags;

    switch (code) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (addr >= USER_TOP) {
            return -EPERM;
        }
        flags = irq_save();
        base_set(code == ARCH_SET_GS, addr);
        irq_restore(flags);
        return 0;
    case ARCH_GET_FS:
    case ARCH_GET_GS:
        return put_user(cpu_user_base(code == ARCH_GET_GS), (uint64_t __user *)addr);
    default:
        return -EINVAL;
    }
}

void cpu_idle(void)
{
    /* By it, the entry of an interrupt knows to call tlb_idle_end(). */
    ASSERT((this_cpu->rcu_idle & RCU_IDLE) != 0);
    tlb_idle_begin();
    latency_irqs_on();
    /* STI takes effect after the next instruction: no interrupt can slip in before HLT (SDM volume 2, STI). */
    __asm__ volatile("sti; hlt" ::: "memory");
    irq_disable();
    tlb_idle_end(); /* an NMI may have been what ended it */
    irq_enable();
}

void cpu_sync_core(void)
{
    cpu_serialize();
}

bool cpu_idle_can_watch(void)
{
    return cpu_features.mwait;
}

void cpu_idle_watch(const uint32_t *word, uint32_t bits)
{
    __asm__ volatile("monitor" : : "a"(word), "c"(0), "d"(0) : "memory");
    if ((READ_ONCE(*word) & bits) != 0) {
        __asm__ volatile("sti" ::: "memory");
        return;
    }
    __asm__ volatile("sti; mwait" : : "a"(0), "c"(0) : "memory");
}

void cpu_halt_forever(void)
{
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}
