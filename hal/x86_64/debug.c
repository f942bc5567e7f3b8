/*
 * Debuggers: register sets of threads, single steps, debug registers (Intel SDM volume 3, chapter 17).
 *
 * Debug registers cost the switch of threads nothing. A thread that has some carries THREAD_WORK_DEBUG for good, so that each of its ways
 * to user mode leads past debug_load_current(). What a CPU's registers hold is known by a serial number; they are left as they are when
 * another thread comes, which may so take an exception for an address that is not its own: that is seen by the number, the registers
 * are switched off, and the thread goes on.
 *
 * Breakpoints lie below USER_TOP, but kernel code touches user memory too: #DB comes on a stack of its own (entry.S), as it may strike
 * right behind SYSCALL, when MOV SS has put it off until then. What the kernel does with watched memory is not reported.
 */
#include "hal/x86_64/debug.h"

#include <asm/prctl.h>
#include <asm/siginfo.h>
#include <linux/audit.h>
#include <linux/elf.h>

#include "hal/x86_64/fpu.h"
#include "hal/x86_64/percpu.h"
#include "hal/x86_64/regs.h"
#include "hal/x86_64/regset.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/machine/debug.h"
#include "kernel/machine/user.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/process.h"

#define INSN_MAX  15
#define DR7_FIXED 0x400ull /* always 1 */

struct x86_debug {
    struct debug_registers regs; /* [o], or a debugger's while the thread is stopped */
    uint64_t serial;             /* [o] likewise; another one with each change, never 0 */
};

static uint64_t debug_serial; /* [a] */

static struct regset regset_of(struct thread *thread)
{
    return (struct regset){.frame = thread_trapframe(thread),
                           .fs_base = &thread->arch.fs_base,
                           .gs_base = &thread->arch.gs_base,
                           .selectors = &thread->arch.selectors,
                           .tf_forced = &thread->arch.tf_forced};
}

/* A running thread's segments are in registers alone. */
static void segments_fetch(struct thread *thread)
{
    if (thread == current_thread()) {
        thread->arch.fs_base = cpu_user_base(false);
        thread->arch.gs_base = cpu_user_base(true);
        thread->arch.selectors = selectors_read();
    }
}

/* ---- register sets ---- */

size_t cpu_regset_size(unsigned type)
{
    switch (type) {
    case NT_PRSTATUS:
        return REGSET_WORDS * sizeof(uint64_t);
    case NT_PRFPREG:
        return FPU_LEGACY_BYTES;
    case NT_X86_XSTATE:
        return fpu_xstate_size();
    default:
        return 0;
    }
}

void cpu_regset_get(struct thread *thread, unsigned type, void *buf)
{
    uint64_t *words = buf;

    if (type != NT_PRSTATUS) {
        fpu_state_get(thread, buf, type == NT_X86_XSTATE);
        return;
    }
    segments_fetch(thread);
    const struct regset regs = regset_of(thread);
    for (unsigned i = 0; i < REGSET_WORDS; i++) {
        words[i] = regset_get_word(&regs, i);
    }
}

int cpu_regset_set(struct thread *thread, unsigned type, const void *buf, size_t len)
{
    const struct regset regs = regset_of(thread);
    const uint64_t *words = buf;
    int err = 0;

    if (type == NT_PRSTATUS) {
        for (unsigned i = 0; err == 0 && i < len / sizeof(*words); i++) {
            err = regset_set_word(&regs, i, words[i]);
        }
        return err;
    }
    if (len < cpu_regset_size(type)) {
        return type == NT_X86_XSTATE ? -EFAULT : -EINVAL;
    }
    return fpu_state_set(thread, buf, type == NT_X86_XSTATE);
}

int cpu_arch_prctl_other(struct thread *thread, int code, vaddr_t addr)
{
    bool gs = code == ARCH_SET_GS || code == ARCH_GET_GS;
    uint64_t *base = gs ? &thread->arch.gs_base : &thread->arch.fs_base;

    switch (code) {
    case ARCH_SET_FS:
    case ARCH_SET_GS:
        if (addr >= USER_TOP) {
            return -EPERM;
        }
        *base = addr;
        thread->arch.selectors &= ~(gs ? SELECTOR_GS : SELECTOR_FS);
        return 0;
    case ARCH_GET_FS:
    case ARCH_GET_GS:
        return put_user(*base, (uint64_t __user *)addr);
    default:
        return -EINVAL;
    }
}

uint32_t cpu_audit_arch(void)
{
    return AUDIT_ARCH_X86_64;
}

/* ---- the debug registers of a thread ---- */

static int debug_set(struct thread *thread, unsigned n, uint64_t value)
{
    struct x86_debug *debug = thread->arch.debug;

    if (debug == NULL) {
        struct debug_registers none = {0};
        int err = debug_registers_set(&none, n, value);
        if (err < 0 || value == 0) {
            return err;
        }
        debug = kzalloc(sizeof(*debug));
        if (debug == NULL) {
            return -ENOMEM;
        }
        thread->arch.debug = debug;
    }
    int err = debug_registers_set(&debug->regs, n, value);
    if (err < 0) {
        return err;
    }
    debug->serial = atomic_fetch_add_relaxed(&debug_serial, 1) + 1;
    if (debug_registers_enabled(&debug->regs) != 0) {
        thread_set_work(thread, THREAD_WORK_DEBUG);
    } else {
        thread_clear_work(thread, THREAD_WORK_DEBUG);
    }
    return 0;
}

void debug_inherit(struct thread *thread, const struct thread *parent)
{
    thread->arch.debug = NULL;
    thread->arch.tf_forced = false;
    if (parent->arch.tf_forced) {
        thread_trapframe(thread)->rflags &= ~RFLAGS_TF;
    }
}

void debug_reset_current(void)
{
    struct thread *thread = current_thread();

    thread_clear_work(thread, THREAD_WORK_DEBUG);
    thread->arch.tf_forced = false;
    debug_fini(thread);
}

void debug_fini(struct thread *thread)
{
    kfree(thread->arch.debug);
    thread->arch.debug = NULL;
}

void debug_load_current(void)
{
    const struct x86_debug *debug = current_thread()->arch.debug;

    if (likely(this_x86_cpu->debug_serial == debug->serial)) {
        return;
    }
    dr7_write(DR7_FIXED);
    dr0_write(debug->regs.address[0]);
    dr1_write(debug->regs.address[1]);
    dr2_write(debug->regs.address[2]);
    dr3_write(debug->regs.address[3]);
    dr7_write(debug->regs.control | DR7_FIXED);
    this_x86_cpu->debug_serial = debug->serial;
}

/* ---- struct user ---- */

/* Layout of struct user (sys/user.h): registers, then FPU state and sizes, which are not to be had this way, then the debug registers. */
#define USER_AREA_BYTES 928u
#define USER_DEBUG_AT   848u
#define USER_DEBUG_END  912u

int cpu_user_area_get(struct thread *thread, uint64_t offset, uint64_t *ret)
{
    const struct regset regs = regset_of(thread);
    const struct x86_debug *debug = thread->arch.debug;
    static const struct debug_registers none;

    if (offset % 8 != 0 || offset >= USER_AREA_BYTES) {
        return -EIO;
    }
    *ret = 0;
    if (offset < REGSET_WORDS * 8) {
        *ret = regset_get_word(&regs, (unsigned)offset / 8);
    } else if (offset >= USER_DEBUG_AT && offset < USER_DEBUG_END) {
        *ret = debug_registers_get(debug == NULL ? &none : &debug->regs,
                                   (unsigned)(offset - USER_DEBUG_AT) / 8);
    }
    return 0;
}

int cpu_user_area_set(struct thread *thread, uint64_t offset, uint64_t value)
{
    const struct regset regs = regset_of(thread);

    if (offset % 8 != 0 || offset >= USER_AREA_BYTES) {
        return -EIO;
    }
    if (offset < REGSET_WORDS * 8) {
        return regset_set_word(&regs, (unsigned)offset / 8, value);
    }
    if (offset >= USER_DEBUG_AT && offset < USER_DEBUG_END) {
        return debug_set(thread, (unsigned)(offset - USER_DEBUG_AT) / 8, value);
    }
    return -EIO;
}

/* ---- single steps ---- */

static bool is_prefix(uint8_t byte)
{
    static const uint8_t prefixes[] = {0x66, 0x67, 0x2e, 0x3e, 0x26, 0x64,
                                       0x65, 0x36, 0xf0, 0xf2, 0xf3};

    return (byte & 0xf0) == 0x40 || memchr(prefixes, byte, sizeof(prefixes)) != NULL;
}

/* Will the next instruction set the trap flag itself: POPF, IRET? */
static bool sets_trap_flag(struct thread *thread, vaddr_t pc)
{
    struct vmspace *vm = thread_vm_get(thread);
    uint8_t insn[INSN_MAX];
    ssize_t n = vm == NULL ? 0 : vmspace_access(vm, pc, insn, sizeof(insn), false, true);
    ssize_t i = 0;

    if (vm != NULL) {
        vmspace_put(vm);
    }
    while (i < n && is_prefix(insn[i])) {
        i++;
    }
    return i < n && (insn[i] == 0x9d || insn[i] == 0xcf);
}

void cpu_step_set(struct thread *thread, bool on)
{
    struct trapframe *frame = thread_trapframe(thread);

    if (!on) {
        if (thread->arch.tf_forced) {
            frame->rflags &= ~RFLAGS_TF;
            thread->arch.tf_forced = false;
        }
    } else if ((frame->rflags & RFLAGS_TF) == 0) {
        frame->rflags |= RFLAGS_TF;
        thread->arch.tf_forced = true;
    }
    /* What such an instruction loads is the program's own will, and to stay when the debugger goes. */
    if (on && thread->arch.tf_forced && sets_trap_flag(thread, frame->rip)) {
        thread->arch.tf_forced = false;
    }
}

/* ---- #DB ---- */

/* Which of the thread's own breakpoints have struck; another thread's, still in the registers, are switched off. */
static uint64_t breakpoints_hit(struct trapframe *frame, uint64_t dr6)
{
    struct x86_debug *debug = current_thread()->arch.debug;

    if (debug == NULL || this_x86_cpu->debug_serial != debug->serial) {
        dr7_write(DR7_FIXED);
        this_x86_cpu->debug_serial = 0;
        return 0;
    }
    uint64_t hit = dr6 & debug_registers_enabled(&debug->regs);
    debug->regs.status = (dr6 & DR6_STEP) | hit;
    if ((hit & debug_registers_at_code(&debug->regs)) != 0) {
        frame->rflags |=
            RFLAGS_RF; /* these strike before the instruction: it is to run next time */
    }
    return hit;
}

bool debug_exception_user(struct trapframe *frame, int *ret_code)
{
    struct x86_debug *debug = current_thread()->arch.debug;
    uint64_t dr6 = dr6_read() ^ DR6_RESERVED, hit = 0;

    dr6_write(DR6_RESERVED);
    if ((dr6 & DR6_BREAKPOINTS) != 0) {
        hit = breakpoints_hit(frame, dr6);
    } else if (debug != NULL) {
        debug->regs.status = dr6 & DR6_STEP;
    }
    if ((dr6 & DR6_STEP) != 0) {
        *ret_code = TRAP_TRACE;
    } else if (hit != 0) {
        *ret_code = TRAP_HWBKPT;
    } else if ((dr6 & DR6_BREAKPOINTS) != 0) {
        return false;
    } else {
        *ret_code = TRAP_BRKPT; /* INT1 */
    }
    return true;
}

void debug_exception_kernel(struct trapframe *frame)
{
    dr6_write(DR6_RESERVED);
    frame->rflags &= ~RFLAGS_TF; /* a stray single step: TF never survives the next entry */
}
