/*
 * Exceptions (Intel SDM volume 3, chapter 6): from user mode they become signals, from kernel code they are either expected (exception
 * table: user-copy functions and the like) or the end.
 *
 * Signal numbers and codes are Linux's (signal(7), sigaction(2)).
 */
#include "hal/x86_64/trap.h"

#include <asm/siginfo.h>
#include <asm/signal.h>

#include "hal/x86_64/debug.h"
#include "hal/x86_64/features.h"
#include "hal/x86_64/fpu.h"
#include "hal/x86_64/ipi.h"
#include "hal/x86_64/regs.h"
#include "hal/x86_64/umip.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/core/symbols.h"
#include "kernel/machine/preempt.h"
#include "kernel/mm/arena.h"
#include "kernel/sched/sched.h"

#define VECTOR_DEBUG         1
#define VECTOR_NMI           2
#define VECTOR_BREAKPOINT    3
#define VECTOR_DOUBLE_FAULT  8
#define VECTOR_PROTECTION    13
#define VECTOR_PAGE_FAULT    14
#define VECTOR_X87           16
#define VECTOR_MACHINE_CHECK 18
#define VECTOR_SIMD          19
#define NEXCEPTIONS          32

/* Error code of #PF (SDM volume 3, 4.7). */
#define PF_PRESENT 0x01u
#define PF_WRITE   0x02u
#define PF_USER    0x04u
#define PF_FETCH   0x10u
#define PF_KEY     0x20u /* a protection key of the page forbids it */

machine_vector_fn *x86_vector_handlers[MACHINE_NVECTORS];

static DEFINE_PER_CPU(uint64_t, nmi_count); /* own CPU's NMI alone */

/* What a user-mode exception turns into. */
static const struct {
    const char *name;
    uint8_t signo;
    bool at_pc; /* si_addr is the instruction */
    int code;
} exceptions[NEXCEPTIONS] = {
    [0] = {"divide error", SIGFPE, true, FPE_INTDIV},
    [1] = {"debug", SIGTRAP, true, TRAP_BRKPT},
    [2] = {"NMI", 0, false, 0},
    [3] = {"breakpoint", SIGTRAP, false, SI_KERNEL},
    [4] = {"overflow", SIGSEGV, false, SI_KERNEL},
    [5] = {"bound range exceeded", SIGSEGV, false, SI_KERNEL},
    [6] = {"invalid opcode", SIGILL, true, ILL_ILLOPN},
    [7] = {"device not available", SIGSEGV, false, SI_KERNEL},
    [8] = {"double fault", 0, false, 0},
    [9] = {"coprocessor segment overrun", SIGFPE, false, SI_KERNEL},
    [10] = {"invalid TSS", SIGSEGV, false, SI_KERNEL},
    [11] = {"segment not present", SIGBUS, false, SI_KERNEL},
    [12] = {"stack segment fault", SIGBUS, false, SI_KERNEL},
    [13] = {"general protection fault", SIGSEGV, false, SI_KERNEL},
    [14] = {"page fault", SIGSEGV, false, SEGV_MAPERR},
    [16] = {"x87 exception", SIGFPE, true, 0},
    [17] = {"alignment check", SIGBUS, false, BUS_ADRALN},
    [18] = {"machine check", 0, false, 0},
    [19] = {"SIMD exception", SIGFPE, true, 0},
};

static const char *exception_name(unsigned vector)
{
    return exceptions[vector].name == NULL ? "unknown exception" : exceptions[vector].name;
}

void machine_vector_install(unsigned vector, machine_vector_fn *handler)
{
    BUG_ON(vector < MACHINE_VECTOR_FIRST || vector >= MACHINE_NVECTORS);
    x86_vector_handlers[vector] = handler;
}

uint64_t machine_nmi_count(unsigned id)
{
    return READ_ONCE(*per_cpu_ptr(nmi_count, id));
}

extern const struct extable_entry __ex_table_start[], __ex_table_end[];

uintptr_t extable_find(uintptr_t insn)
{
    for (const struct extable_entry *entry = __ex_table_start; entry < __ex_table_end; entry++) {
        if ((uintptr_t)&entry->insn + (uintptr_t)(intptr_t)entry->insn == insn) {
            return (uintptr_t)&entry->fixup + (uintptr_t)(intptr_t)entry->fixup;
        }
    }
    return 0;
}

/* Kernel code faulted and says itself how to go on. User memory is closed then (arch/user.h). */
static bool fixup(struct trapframe *frame)
{
    uintptr_t target = extable_find(frame->rip);

    if (target == 0) {
        return false;
    }
    frame->rip = target;
    frame->rflags &= ~RFLAGS_AC;
    return true;
}

static void __noreturn __cold kernel_page_fault(const struct trapframe *frame, vaddr_t addr)
{
    const char *access = frame->orig_rax & PF_FETCH   ? "execute"
                         : frame->orig_rax & PF_WRITE ? "write"
                                                      : "read";

    if (kstack_guard_hit(addr)) {
        panic_frame(frame, "kernel stack overflow: %s of %#llx", access, (unsigned long long)addr);
    }
    panic_frame(frame, "page fault in the kernel: %s of %#llx, %s", access,
                (unsigned long long)addr,
                frame->orig_rax & PF_PRESENT ? "not allowed" : "not mapped");
}

static unsigned fault_flags(uint64_t error_code)
{
    unsigned flags = 0;

    _Static_assert(FAULT_PRESENT == 8 && FAULT_WRITE == 1 && FAULT_USER == 4 && FAULT_EXEC == 2,
                   "kernel/machine/entry.h");
    flags |= (error_code & PF_PRESENT) != 0 ? FAULT_PRESENT : 0;
    flags |= (error_code & PF_WRITE) != 0 ? FAULT_WRITE : 0;
    flags |= (error_code & PF_FETCH) != 0 ? FAULT_EXEC : 0;
    return flags | (unsigned)(error_code & PF_USER);
}

static void __cold user_fault_signal(struct trapframe *frame, vaddr_t addr, uint64_t error_code,
                                     int err)
{
    int signo = SIGSEGV, code = SEGV_MAPERR;

    if (addr >= USER_TOP) {
        error_code |= PF_PRESENT; /* what is there is not for the program to know */
    }
    switch (err) {
    case -EACCES:
        code = (error_code & PF_KEY) != 0 ? SEGV_PKUERR : SEGV_ACCERR;
        break;
    case -EIO:
        signo = SIGBUS;
        code = BUS_ADRERR;
        break;
    case -ENOMEM:
        signo = SIGKILL;
        code = SI_KERNEL;
        break;
    default:
        break;
    }
    machine_user_exception(frame, signo, code, addr, VECTOR_PAGE_FAULT, error_code);
}

/* True when the instruction meant to touch user memory: it is in the exception table, which an open SMAP says quicker. */
static bool meant_user_memory(const struct trapframe *frame)
{
    return (frame->rflags & RFLAGS_AC) != 0 || extable_find(frame->rip) != 0;
}

/* In kernel code: at a user address from a user-copy function, or a bug. */
static void kernel_mode_fault(struct trapframe *frame, vaddr_t addr)
{
    if (addr >= BOOT_DIRECT_MAP || !meant_user_memory(frame)) {
        kernel_page_fault(frame, addr);
    }
    if (addr < USER_TOP && (frame->orig_rax & PF_KEY) == 0 && (frame->rflags & RFLAGS_IF) != 0 &&
        (preempt_count() & PREEMPT_ATOMIC_MASK) == 0 && current_thread()->fault_disabled == 0) {
        irq_enable();
        if (machine_page_fault(addr, fault_flags(frame->orig_rax)) == 0) {
            return;
        }
    }
    if (!fixup(frame)) {
        kernel_page_fault(frame, addr);
    }
}

void x86_page_fault(struct trapframe *frame)
{
    vaddr_t addr = cr2_read();
    int err = -EFAULT;

    if (unlikely(!trapframe_from_user(frame))) {
        kernel_mode_fault(frame, addr);
        return;
    }
    uint64_t error_code = frame->orig_rax;
    trapframe_forget_syscall(frame); /* for who looks at the thread while it waits for the page */
    irq_enable();
    if (unlikely((error_code & PF_KEY) != 0)) {
        err = -EACCES; /* the page is there, and nothing that the kernel could do would help */
    } else if (likely(addr < USER_TOP)) {
        err = machine_page_fault(addr, fault_flags(error_code));
    }
    if (unlikely(err != 0)) {
        user_fault_signal(frame, addr, error_code, err);
    }
}

/* si_code of an unmasked floating-point exception: the first in the order of Linux. */
static int float_code(uint32_t raised)
{
    if (raised & 0x01) {
        return FPE_FLTINV;
    }
    if (raised & 0x04) {
        return FPE_FLTDIV;
    }
    if (raised & 0x08) {
        return FPE_FLTOVF;
    }
    if (raised & 0x12) {
        return FPE_FLTUND;
    }
    return raised & 0x20 ? FPE_FLTRES : 0;
}

static void user_exception(struct trapframe *frame, unsigned vector)
{
    int code = exceptions[vector].code;
    int signo = exceptions[vector].signo;

    if (vector == VECTOR_DEBUG) {
        if (!debug_exception_user(frame, &code)) {
            return;
        }
    } else if (vector == VECTOR_X87 || vector == VECTOR_SIMD) {
        /* Coming from user mode, the registers are the thread's own. */
        code = float_code(fpu_raised_exceptions(vector == VECTOR_SIMD));
    }
    irq_enable();
    if (vector == VECTOR_PROTECTION && cpu_features.umip && umip_emulate(frame)) {
        return;
    }
    machine_user_exception(frame, signo == 0 ? SIGSEGV : signo, code,
                           exceptions[vector].at_pc ? frame->rip : 0, (int)vector, frame->orig_rax);
}

void x86_exception(struct trapframe *frame, unsigned vector)
{
    if (trapframe_from_user(frame)) {
        user_exception(frame, vector);
        return;
    }
    if (!fixup(frame)) {
        panic_frame(frame, "%s in the kernel, error code %#llx", exception_name(vector),
                    (unsigned long long)frame->orig_rax);
    }
}

/*
 * The five words that IRET reads are still in place at the top of the stack; the other registers are in `frame`, which overlaps
 * where they belong.
 */
struct trapframe *x86_iret_fault(struct trapframe *frame, unsigned vector)
{
    struct trapframe *user = thread_trapframe(current_thread());
    uint64_t error_code = frame->orig_rax;

    memmove(user, frame, offsetof(struct trapframe, orig_rax));
    user->orig_rax = ~0ull;
    irq_enable();
    machine_user_exception(user, SIGSEGV, SI_KERNEL, 0, (int)vector, error_code);
    irq_disable();
    return user;
}

void x86_paranoid(struct trapframe *frame, unsigned vector)
{
    if (vector == VECTOR_DEBUG) {
        debug_exception_kernel(frame);
        return;
    }
    if (vector == VECTOR_NMI) {
        ++*this_cpu_ptr(nmi_count);
        preempt_count_add(PREEMPT_NMI_ONE);
        bool wanted = machine_nmi_request(frame);
        smp_stop_if_told();
        if (!wanted) {
            log_once(LOG_WARNING, "cpu: NMI that nobody asked for");
        }
        preempt_count_sub(PREEMPT_NMI_ONE);
        return;
    }
    if (vector == VECTOR_DOUBLE_FAULT && kstack_guard_hit(cr2_read())) {
        panic_frame(frame, "kernel stack overflow at %#llx", (unsigned long long)cr2_read());
    }
    panic_frame(frame, "%s", exception_name(vector));
}

void x86_user_work(struct trapframe *frame, bool syscall)
{
    const uint32_t here = THREAD_WORK_FPU | THREAD_WORK_DEBUG | THREAD_WORK_TICK;
    struct thread *thread = current_thread();

    for (;;) {
        uint32_t work = atomic_load_relaxed(&thread->work) & ~THREAD_WORK_TRACE;

        if (unlikely((work & THREAD_WORK_TICK) != 0)) {
            sched_tickless_return((work & ~here) != 0);
        }
        if ((work & ~here) != 0) {
            irq_enable();
            machine_user_return(frame, syscall);
        } else if ((work & THREAD_WORK_FPU) != 0) {
            fpu_restore_current();
        } else {
            if (unlikely((work & THREAD_WORK_DEBUG) != 0)) {
                debug_load_current();
            }
            return;
        }
    }
}
