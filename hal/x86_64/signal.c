/*
 * Signal frames on the user stack: Linux's struct rt_sigframe (its parts: asm/ucontext.h, asm/sigcontext.h, asm/siginfo.h).
 *
 *     high   | 128 bytes red zone of the interrupted function (x86-64 psABI 3.2.2), unless on the alternate stack
 *            | FPU state, 64-byte aligned (fpu.c)
 *            | siginfo, ucontext, return address = restorer: 16-byte aligned minus 8, as after a call
 *     low    v handler's frame
 *
 * rt_sigreturn believes nothing it reads back: segment selectors must be the ones user mode has, only the arithmetic, direction, trap and
 * alignment flags are taken, and an instruction pointer outside user space is refused.
 */
#include <asm/sigcontext.h>
#include <asm/siginfo.h>
#include <asm/signal.h>
/* Needs the two above. */
#include <asm/ucontext.h>

#include "hal/x86_64/features.h"
#include "hal/x86_64/fpu.h"
#include "hal/x86_64/pkey.h"
#include "hal/x86_64/regs.h"
#include "kernel/base/string.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/preempt.h"
#include "kernel/machine/user.h"
#include "kernel/sched/thread.h"

#define RED_ZONE_BYTES 128u
#define FPU_ALIGN      64u
#define FRAME_ALIGN    16u

/* CF PF AF ZF SF TF DF OF RF AC: what sigreturn may change. */
#define FLAGS_RESTORED 0x50dd5ull

struct rt_sigframe {
    uint64_t restorer;
    struct ucontext uc;
    siginfo_t info;
};
_Static_assert(sizeof(siginfo_t) == 128, "asm/siginfo.h");
_Static_assert(sizeof(struct sigcontext) == 256, "asm/sigcontext.h");
_Static_assert(offsetof(struct rt_sigframe, uc.uc_mcontext) == 48, "Linux's rt_sigframe");

static void context_save(struct sigcontext *sc, const struct trapframe *frame,
                         const struct signal_delivery *delivery)
{
    sc->r8 = frame->r8;
    sc->r9 = frame->r9;
    sc->r10 = frame->r10;
    sc->r11 = frame->r11;
    sc->r12 = frame->r12;
    sc->r13 = frame->r13;
    sc->r14 = frame->r14;
    sc->r15 = frame->r15;
    sc->rdi = frame->rdi;
    sc->rsi = frame->rsi;
    sc->rbp = frame->rbp;
    sc->rbx = frame->rbx;
    sc->rdx = frame->rdx;
    sc->rax = frame->rax;
    sc->rcx = frame->rcx;
    sc->rsp = frame->rsp;
    sc->rip = frame->rip;
    sc->eflags = frame->rflags;
    sc->cs = (uint16_t)frame->cs;
    sc->gs = 0;
    sc->fs = 0;
    sc->ss = (uint16_t)frame->ss;
    sc->err = delivery->error_code;
    sc->trapno = (uint64_t)delivery->trapno;
    sc->oldmask = delivery->old_mask;
    sc->cr2 = delivery->fault_addr;
    memset(sc->reserved1, 0, sizeof(sc->reserved1));
}

static void context_restore(struct trapframe *frame, const struct sigcontext *sc)
{
    frame->r8 = sc->r8;
    frame->r9 = sc->r9;
    frame->r10 = sc->r10;
    frame->r11 = sc->r11;
    frame->r12 = sc->r12;
    frame->r13 = sc->r13;
    frame->r14 = sc->r14;
    frame->r15 = sc->r15;
    frame->rdi = sc->rdi;
    frame->rsi = sc->rsi;
    frame->rbp = sc->rbp;
    frame->rbx = sc->rbx;
    frame->rdx = sc->rdx;
    frame->rax = sc->rax;
    frame->rcx = sc->rcx;
    frame->rsp = sc->rsp;
    frame->rip = sc->rip;
    frame->rflags = (frame->rflags & ~FLAGS_RESTORED) | (sc->eflags & FLAGS_RESTORED);
    frame->orig_rax = ~0ull;
}

static void ucontext_fill(struct ucontext *uc, const struct signal_delivery *delivery, vaddr_t fpu)
{
    uc->uc_flags = UC_SIGCONTEXT_SS | UC_STRICT_RESTORE_SS;
    if (cpu_features.xsave) {
        uc->uc_flags |= UC_FP_XSTATE;
    }
    uc->uc_link = NULL;
    memset(&uc->uc_stack, 0, sizeof(uc->uc_stack));
    uc->uc_stack.ss_sp = (void *)delivery->altstack_base;
    uc->uc_stack.ss_flags = (int)delivery->altstack_flags;
    uc->uc_stack.ss_size = delivery->altstack_size;
    uc->uc_mcontext.fpstate = (void *)fpu;
    memcpy(&uc->uc_sigmask, &delivery->old_mask, sizeof(delivery->old_mask));
}

/* Without SA_SIGINFO the siginfo is not written, as on Linux. */
static int frame_write(vaddr_t to, vaddr_t fpu, const struct trapframe *frame,
                       const struct signal_delivery *delivery)
{
    struct rt_sigframe sigframe;
    size_t size = delivery->siginfo ? sizeof(sigframe) : offsetof(struct rt_sigframe, info);

    sigframe.restorer = delivery->restorer;
    ucontext_fill(&sigframe.uc, delivery, fpu);
    context_save(&sigframe.uc.uc_mcontext, frame, delivery);
    if (delivery->siginfo) {
        memcpy(&sigframe.info, delivery->info, sizeof(sigframe.info));
    }
    return copy_to_user((void __user *)to, &sigframe, size);
}

int cpu_signal_setup(struct trapframe *frame, const struct signal_delivery *delivery)
{
    vaddr_t sp = delivery->stack != 0 ? delivery->stack : frame->rsp - RED_ZONE_BYTES;
    vaddr_t fpu = ALIGN_DOWN(sp - fpu_signal_size(), FPU_ALIGN);
    vaddr_t at = ALIGN_DOWN(fpu - sizeof(struct rt_sigframe), FRAME_ALIGN) - 8;

    if (delivery->restorer == 0 ||
        (delivery->on_altstack && (at <= delivery->altstack_base ||
                                   at - delivery->altstack_base > delivery->altstack_size))) {
        return -EFAULT;
    }
    if (fpu_signal_save((void __user *)fpu) < 0 || frame_write(at, fpu, frame, delivery) < 0) {
        return -EFAULT;
    }
    /* The handler starts with the initial state, whatever exceptions, modes and tags the interrupted code has. */
    preempt_disable();
    fpu_reset_current();
    preempt_enable();
    pkey_set_rights(PKRU_INITIAL); /* pkeys(7): until the handler returns */
    frame->rdi = (uint64_t)delivery->signo;
    frame->rsi = at + offsetof(struct rt_sigframe, info);
    frame->rdx = at + offsetof(struct rt_sigframe, uc);
    frame->rax = 0;
    frame->rip = delivery->handler;
    frame->rsp = at;
    frame->rflags &= ~(RFLAGS_DF | RFLAGS_RF | RFLAGS_TF);
    frame->orig_rax = ~0ull;
    return 0;
}

static bool context_is_sane(const struct ucontext *uc)
{
    const struct sigcontext *sc = &uc->uc_mcontext;

    /* A handler address that is not canonical would make IRET fault in the kernel; others fault in user mode. */
    return sc->cs == USER_CS && user_bits_ok(sc->rip) &&
           (sc->ss == USER_SS || (uc->uc_flags & UC_STRICT_RESTORE_SS) == 0);
}

int cpu_signal_return(struct trapframe *frame, struct signal_return *ret)
{
    const struct rt_sigframe __user *from = (const void __user *)(frame->rsp - 8);
    struct ucontext uc;

    if (copy_from_user(&uc, user_member(from, uc), sizeof(uc)) != 0 || !context_is_sane(&uc) ||
        fpu_signal_restore(uc.uc_mcontext.fpstate) < 0) {
        return -EFAULT;
    }
    context_restore(frame, &uc.uc_mcontext);
    memcpy(&ret->mask, &uc.uc_sigmask, sizeof(ret->mask));
    ret->altstack_base = (vaddr_t)uc.uc_stack.ss_sp;
    ret->altstack_size = uc.uc_stack.ss_size;
    ret->altstack_flags = (uint32_t)uc.uc_stack.ss_flags;
    /* The whole frame is to be loaded: entry.S. */
    thread_set_work(current_thread(), THREAD_WORK_NOTIFY);
    return 0;
}

uint64_t cpu_min_signal_stack(void)
{
    return sizeof(struct rt_sigframe) + fpu_signal_size() + FPU_ALIGN - 1 + FRAME_ALIGN - 1 + 8;
}
