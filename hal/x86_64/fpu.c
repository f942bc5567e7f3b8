/*
 * FPU state (Intel SDM volume 1, chapter 13; volume 3, chapter 13).
 *
 * Save areas have the standard XSAVE format (x87 and SSE in the first 512 bytes, header of 64, then AVX and what else XCR0 holds), or
 * the 512 bytes of FXSAVE on CPUs without XSAVE. A thread's area is only written by the CPU that runs it.
 *
 * Signal frames hold the same format with Linux's marks (asm/sigcontext.h): struct _fpx_sw_bytes in the reserved bytes at 464, and
 * FP_XSTATE_MAGIC2 behind the end.
 */
#include "hal/x86_64/fpu.h"

#include <asm/sigcontext.h>

#include "hal/x86_64/features.h"
#include "hal/x86_64/percpu.h"
#include "hal/x86_64/pkey.h"
#include "hal/x86_64/regs.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/machine/preempt.h"
#include "kernel/machine/user.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/thread.h"

#define XSTATE_X87  0x1ull
#define XSTATE_SSE  0x2ull
#define XSTATE_AVX  0x4ull
#define XSTATE_512  0xe0ull                  /* AVX-512: opmask, ZMM halves, upper ZMM */
#define XSTATE_PKRU 0x200ull                 /* in signal frames alone: pkey.h */
#define XSAVE_LOW   (~(uint32_t)XSTATE_PKRU) /* what the kernel's areas have */

#define LEGACY_BYTES FPU_LEGACY_BYTES
#define HEADER_BYTES 64u
#define CONTIGUOUS_BYTES                                                                           \
    832u /* up to AVX there are no gaps, which could leak what the memory held before */
#define SW_BYTES_AT     464u
#define MXCSR_INITIAL   0x1f80u
#define CONTROL_INITIAL 0x037fu

struct fpu_area {
    uint16_t control, status;
    uint8_t tag, reserved0;
    uint16_t opcode;
    uint64_t ip, dp;
    uint32_t mxcsr, mxcsr_mask;
    uint8_t registers[384];
    uint8_t reserved1[96];
    uint64_t xstate_bv; /* header: XSAVE only */
    uint64_t xcomp_bv;
    uint64_t header_reserved[6];
};
_Static_assert(offsetof(struct fpu_area, xstate_bv) == LEGACY_BYTES, "SDM volume 1, 13.4.2");
_Static_assert(offsetof(struct fpu_area, mxcsr) == 24, "SDM volume 1, table 10-2");

static size_t area_size __ro_after_init = LEGACY_BYTES;
static uint64_t xstate_mask __ro_after_init;             /* with PKRU, where there is one */
static size_t frame_size __ro_after_init = LEGACY_BYTES; /* of signal frames */
static size_t frame_pkru_at __ro_after_init;             /* in them */
static uint32_t mxcsr_mask __ro_after_init = 0xffbf;
static struct slab_cache *area_cache __ro_after_init;

size_t fpu_area_size(void)
{
    return area_size;
}

static void fxsave(void *area)
{
    __asm__ volatile("fxsaveq (%0)" : : "r"(area) : "memory");
}

static void save(void *area)
{
    if (likely(cpu_features.xsaveopt)) {
        __asm__ volatile("xsaveopt64 (%0)" : : "r"(area), "a"(XSAVE_LOW), "d"(~0u) : "memory");
    } else if (cpu_features.xsave) {
        __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(XSAVE_LOW), "d"(~0u) : "memory");
    } else {
        fxsave(area);
    }
}

/* Without the optimisation that leaves components in their initial state unwritten. */
static void save_whole(void *area)
{
    if (likely(cpu_features.xsave)) {
        __asm__ volatile("xsave64 (%0)" : : "r"(area), "a"(XSAVE_LOW), "d"(~0u) : "memory");
    } else {
        fxsave(area);
    }
}

/* The area is one that save() wrote or fpu_signal_restore() checked: this cannot fault. */
static void restore(const void *area)
{
    if (likely(cpu_features.xsave)) {
        __asm__ volatile("xrstor64 (%0)" : : "r"(area), "a"(XSAVE_LOW), "d"(~0u) : "memory");
    } else {
        __asm__ volatile("fxrstorq (%0)" : : "r"(area) : "memory");
    }
}

static void area_reset(struct fpu_area *area)
{
    if (!cpu_features.xsave) {
        memset(area, 0, LEGACY_BYTES);
    } else {
        /* Components whose bit is clear are initialised by XRSTOR, whatever the area holds; MXCSR is always read. */
        memset(&area->xstate_bv, 0, HEADER_BYTES);
        area->mxcsr_mask = mxcsr_mask;
    }
    area->control = CONTROL_INITIAL;
    area->mxcsr = MXCSR_INITIAL;
}

void fpu_init_cpu(void)
{
    if (cpu_features.xsave) {
        xcr0_write(xstate_mask);
    }
    __asm__ volatile("fninit");
}

void __init fpu_init(void)
{
    struct fpu_area *probe;

    if (cpu_features.xsave) {
        struct cpuid_regs r = cpuid_read(13, 0);
        uint64_t offered = ((uint64_t)r.edx << 32) | r.eax;

        xstate_mask = offered & (XSTATE_X87 | XSTATE_SSE | XSTATE_AVX);
        if ((offered & XSTATE_512) == XSTATE_512 && (xstate_mask & XSTATE_AVX) != 0) {
            xstate_mask |= XSTATE_512;
        }
        xcr0_write(xstate_mask);
        area_size = cpuid_read(13, 0).ebx; /* for what XCR0 holds now */
        if (cpu_features.pku) {
            xstate_mask |= XSTATE_PKRU;
            xcr0_write(xstate_mask);
            frame_pkru_at = cpuid_read(13, 9).ebx;
        }
        frame_size = cpuid_read(13, 0).ebx;
    }
    area_cache = slab_cache_create("fpu", area_size, 64, 0, NULL);
    BUG_ON(area_cache == NULL);
    probe = fpu_area_create();
    BUG_ON(probe == NULL);
    fxsave(probe);
    if (probe->mxcsr_mask != 0) {
        mxcsr_mask = probe->mxcsr_mask;
    }
    fpu_area_destroy(probe);
}

void *fpu_area_create(void)
{
    struct fpu_area *area = slab_alloc(area_cache, area_size > CONTIGUOUS_BYTES ? ALLOC_ZERO : 0);

    if (area != NULL) {
        area_reset(area);
    }
    return area;
}

void fpu_area_destroy(void *area)
{
    slab_free(area_cache, area);
}

static bool is_live(const struct thread *thread)
{
    return (atomic_load_relaxed(&thread->work) & THREAD_WORK_FPU) == 0;
}

static void set_not_live(struct thread *thread)
{
    (void)__atomic_fetch_or(&thread->work, THREAD_WORK_FPU, __ATOMIC_RELAXED);
}

void fpu_reset_current(void)
{
    struct thread *thread = current_thread();

    area_reset(thread->arch.fpu);
    thread->arch.fpu_cpu = ~0u;
    set_not_live(thread);
}

void fpu_copy_current(struct thread *child)
{
    struct thread *thread = current_thread();

    child->arch.fpu_cpu = ~0u;
    if (thread->arch.fpu == NULL) {
        return; /* a kernel thread's child starts with the initial state */
    }
    preempt_disable();
    if (is_live(thread)) {
        save_whole(child->arch.fpu);
    } else {
        memcpy(child->arch.fpu, thread->arch.fpu, area_size);
    }
    preempt_enable();
}

/* The registers of this CPU are the current thread's. Interrupts are off. */
static void set_live(struct thread *thread)
{
    this_cpu->fpu_owner = thread;
    thread->arch.fpu_cpu = cpu_id();
    thread_clear_work(thread, THREAD_WORK_FPU);
}

void fpu_restore_current(void)
{
    struct thread *thread = current_thread();

    restore(thread->arch.fpu);
    set_live(thread);
}

void fpu_switch_out(struct thread *prev)
{
    if (is_live(prev)) {
        if (prev->state != THREAD_DEAD) {
            save(prev->arch.fpu);
        }
        set_not_live(prev);
    }
}

void fpu_switch_in(struct thread *next)
{
    /* The registers still hold what was saved when it left, if nobody loaded anything since, here. */
    if (this_cpu->fpu_owner == next && next->arch.fpu_cpu == cpu_id()) {
        thread_clear_work(next, THREAD_WORK_FPU);
    }
}

uint32_t fpu_raised_exceptions(bool simd)
{
    uint32_t mxcsr;
    uint16_t control, status;

    if (simd) {
        __asm__ volatile("stmxcsr %0" : "=m"(mxcsr));
        return mxcsr & ~(mxcsr >> 7) & 0x3f;
    }
    __asm__ volatile("fnstcw %0; fnstsw %1" : "=m"(control), "=m"(status));
    return status & ~control & 0x3f;
}

/* ---- signal frames ---- */

size_t fpu_signal_size(void)
{
    return cpu_features.xsave ? frame_size + FP_XSTATE_MAGIC2_SIZE : LEGACY_BYTES;
}

/*
 * The registers of the current thread straight to or from a user area, in one instruction and without the kernel's area between. Interrupts are
 * off, so that the registers stay the thread's, and a page that is not there ends it. False: it faulted, and did a part of it, or nothing.
 */
static bool xsave_user(void __user *user_area)
{
    user_open();
    __asm__ goto("1: xsave64 (%0)\n\t" USER_FAULT_ASM("1b", "%l3")
                 :
                 : "r"(user_area), "a"(~0u), "d"(~0u)
                 : "memory"
                 : fault);
    user_close();
    return true;

fault:
    return false;
}

static bool xrstor_user(const void __user *user_area)
{
    user_open();
    __asm__ goto("1: xrstor64 (%0)\n\t" USER_FAULT_ASM("1b", "%l3")
                 :
                 : "r"(user_area), "a"(XSAVE_LOW), "d"(~0u)
                 : "memory"
                 : fault);
    user_close();
    return true;

fault:
    return false;
}

/* A frame's parts that XSAVE leaves alone: the reserved words with Linux's marks, and the header, of which it changes single bits only. */
static int marks_put(uint8_t __user *user_area)
{
    struct fpu_area __user *area = (struct fpu_area __user *)user_area;
    struct _fpx_sw_bytes __user *sw =
        (struct _fpx_sw_bytes __user *)user_at(user_area, SW_BYTES_AT);

    if (!user_begin(user_area, frame_size + FP_XSTATE_MAGIC2_SIZE)) {
        return -EFAULT;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(area->reserved1) - sizeof(*sw); i += 8) {
        user_put_inside(0, (uint64_t __user *)&area->reserved1[i], fault);
    }
    user_put_inside(FP_XSTATE_MAGIC1, &sw->magic1, fault);
    user_put_inside(frame_size + FP_XSTATE_MAGIC2_SIZE, &sw->extended_size, fault);
    user_put_inside(xstate_mask, &sw->xfeatures, fault);
    user_put_inside(frame_size, &sw->xstate_size, fault);
    for (unsigned i = 0; i < ARRAY_SIZE(sw->padding); i++) {
        user_put_inside(0, &sw->padding[i], fault);
    }
    user_put_inside(0, &area->xstate_bv, fault);
    user_put_inside(0, &area->xcomp_bv, fault);
    for (unsigned i = 0; i < ARRAY_SIZE(area->header_reserved); i++) {
        user_put_inside(0, &area->header_reserved[i], fault);
    }
    user_put_inside(FP_XSTATE_MAGIC2, (uint32_t __user *)user_at(user_area, frame_size), fault);
    user_end();
    return 0;

fault:
    return -EFAULT;
}

/* The state of the current thread in its own area, every component written out. */
static struct fpu_area *area_current(void)
{
    struct thread *thread = current_thread();
    uint64_t flags = irq_save();

    if (!is_live(thread)) {
        fpu_restore_current();
    }
    save_whole(thread->arch.fpu);
    irq_restore(flags);
    return thread->arch.fpu;
}

/* Without XSAVE: 512 bytes, of which the last 96 are not part of any register. */
static int fxsave_put(void __user *user_area)
{
    struct fpu_area *area = area_current();

    memset(area->reserved1, 0, sizeof(area->reserved1));
    return copy_to_user(user_area, area, LEGACY_BYTES);
}

int fpu_signal_save(void __user *user_area)
{
    bool saved;

    if (!cpu_features.xsave) {
        return fxsave_put(user_area);
    }
    if (marks_put(user_area) < 0) {
        return -EFAULT;
    }
    for (;;) {
        uint64_t flags = irq_save();
        if (!is_live(current_thread())) {
            fpu_restore_current();
        }
        saved = xsave_user(user_area);
        irq_restore(flags);
        if (likely(saved)) {
            return 0;
        }
        /* A page of it is not there: clearing the registers' part brings them all in, unless they may not be written. */
        if (clear_user(user_area, 416) != 0 ||
            clear_user(user_at(user_area, sizeof(struct fpu_area)),
                       frame_size - sizeof(struct fpu_area)) != 0) {
            return -EFAULT;
        }
    }
}

/* Make a save area that came from user memory harmless to XRSTOR (SDM volume 1, 13.8.1). */
static void area_sanitise(struct fpu_area *area, bool extended)
{
    area->mxcsr &= mxcsr_mask;
    if (!cpu_features.xsave) {
        return;
    }
    area->xstate_bv = extended ? area->xstate_bv & xstate_mask : XSTATE_X87 | XSTATE_SSE;
    area->xcomp_bv = 0;
    memset(area->header_reserved, 0, sizeof(area->header_reserved));
}

/* True: the frame carries the whole extended state, as its marks say. */
static int frame_is_extended(const void __user *user_area, bool *ret_extended)
{
    const struct _fpx_sw_bytes __user *sw = user_at(user_area, SW_BYTES_AT);
    uint32_t magic1, xstate_size, magic2;

    *ret_extended = false;
    if (!cpu_features.xsave) {
        return 0;
    }
    if (get_user(magic1, user_member(sw, magic1)) < 0 ||
        get_user(xstate_size, user_member(sw, xstate_size)) < 0) {
        return -EFAULT;
    }
    if (magic1 != FP_XSTATE_MAGIC1 || xstate_size != frame_size) {
        return 0;
    }
    if (get_user(magic2, (const uint32_t __user *)user_at(user_area, frame_size)) < 0) {
        return -EFAULT;
    }
    *ret_extended = magic2 == FP_XSTATE_MAGIC2;
    return 0;
}

/* PKRU of an extended frame: 0, its initial state for the CPU, where it is not there. */
static int frame_pkru(const void __user *user_area, uint32_t *ret_pkru)
{
    const struct fpu_area __user *area = user_area;
    uint64_t xstate_bv;

    *ret_pkru = 0;
    if (!cpu_features.pku) {
        return 0;
    }
    if (get_user(xstate_bv, user_member(area, xstate_bv)) < 0) {
        return -EFAULT;
    }
    return (xstate_bv & XSTATE_PKRU) == 0
               ? 0
               : get_user(*ret_pkru, (const uint32_t __user *)user_at(user_area, frame_pkru_at));
}

/* An extended frame at once, as nearly all are. False: a page is not there, or something in it is not fit for XRSTOR. */
static bool frame_load(const void __user *user_area)
{
    struct thread *thread = current_thread();
    uint64_t flags = irq_save();
    bool loaded = user_bits_ok((uintptr_t)user_area) && xrstor_user(user_area);

    if (likely(loaded)) {
        set_live(thread);
    } else {
        this_cpu->fpu_owner = NULL; /* what they held may be gone */
    }
    irq_restore(flags);
    return loaded;
}

/* The long way, through the thread's area, which is the truth then. NULL: the initial state. */
static int frame_take(const void __user *user_area, bool extended)
{
    struct fpu_area *area = current_thread()->arch.fpu;

    preempt_disable();
    fpu_reset_current(); /* from here on a switch does not save the registers over it */
    preempt_enable();
    if (user_area == NULL) {
        return 0;
    }
    if (copy_from_user(area, user_area, extended ? area_size : LEGACY_BYTES) != 0) {
        area_reset(area);
        return -EFAULT;
    }
    area_sanitise(area, extended);
    return 0;
}

int fpu_signal_restore(const void __user *user_area)
{
    uint32_t pkru = user_area == NULL ? PKRU_INITIAL : 0;
    bool extended = false;
    int err = user_area == NULL ? 0 : frame_is_extended(user_area, &extended);

    if (err == 0 && extended) {
        err = frame_pkru(user_area, &pkru);
    }
    if (err < 0) {
        (void)frame_take(NULL, false);
        return err;
    }
    if (unlikely(!extended || !frame_load(user_area))) {
        err = frame_take(user_area, extended);
    }
    if (err == 0) {
        pkey_set_rights(pkru);
    }
    return err;
}

/* ---- debuggers ---- */

size_t fpu_xstate_size(void)
{
    return cpu_features.xsave ? frame_size : 0;
}

/* PKRU, which the kernel's areas leave out, where XSAVE would put it. */
static void state_put_pkru(struct thread *thread, struct fpu_area *image)
{
    uint64_t pkru = thread == current_thread() ? pkey_rights() : thread->arch.pkru;

    image->xstate_bv &= ~XSTATE_PKRU;
    if (cpu_features.pku && pkru != 0) {
        image->xstate_bv |= XSTATE_PKRU;
        memcpy((uint8_t *)image + frame_pkru_at, &pkru, sizeof(pkru));
    }
}

static void state_take_pkru(struct thread *thread, const struct fpu_area *image)
{
    thread->arch.pkru = 0;
    if ((image->xstate_bv & XSTATE_PKRU) != 0) {
        memcpy(&thread->arch.pkru, (const uint8_t *)image + frame_pkru_at,
               sizeof(thread->arch.pkru));
    }
}

/* Components that were in their initial state when they were saved were not written (SDM volume 1, 13.6): say what that state is. */
static void area_complete(struct fpu_area *area, bool whole)
{
    uint64_t absent = cpu_features.xsave ? xstate_mask & ~area->xstate_bv & ~XSTATE_PKRU : 0;
    uint8_t *bytes = (uint8_t *)area;

    if ((absent & XSTATE_X87) != 0) {
        memset(area, 0, offsetof(struct fpu_area, mxcsr));
        area->control = CONTROL_INITIAL;
        memset(area->registers, 0, 128); /* ST0 to ST7 */
    }
    if ((absent & XSTATE_SSE) != 0) {
        memset(area->registers + 128, 0, 256); /* XMM0 to XMM15; MXCSR is always written */
    }
    for (unsigned i = 2; whole && i < 64 && absent >> i != 0; i++) {
        if ((absent >> i & 1) != 0) {
            struct cpuid_regs place = cpuid_read(13, i);
            memset(bytes + place.ebx, 0, place.eax);
        }
    }
}

void fpu_state_get(struct thread *thread, void *buf, bool whole)
{
    struct fpu_area *area = buf;
    size_t size = whole ? area_size : LEGACY_BYTES;
    const struct fpu_area *from =
        thread == current_thread() ? area_current() : (const struct fpu_area *)thread->arch.fpu;

    memset(buf, 0, whole ? fpu_xstate_size() : size);
    memcpy(buf, from, size);
    if (!whole && cpu_features.xsave) {
        /* The header that area_complete() looks at lies behind what fits. */
        struct fpu_area legacy = *from;
        area_complete(&legacy, false);
        memcpy(buf, &legacy, LEGACY_BYTES);
    } else {
        area_complete(area, whole);
    }
    memset((uint8_t *)buf + 416, 0, 96); /* not part of any register */
    area->mxcsr_mask = mxcsr_mask;
    if (whole) {
        state_put_pkru(thread, area);
        memcpy((uint8_t *)buf + SW_BYTES_AT, &xstate_mask, sizeof(xstate_mask));
    }
}

static bool header_is_sane(const struct fpu_area *area)
{
    uint64_t reserved = area->xcomp_bv;

    for (size_t i = 0; i < ARRAY_SIZE(area->header_reserved); i++) {
        reserved |= area->header_reserved[i];
    }
    return reserved == 0 && (area->xstate_bv & ~xstate_mask) == 0;
}

/*
 * The thread is switched out. Even if it is killed meanwhile and gets ready to end, its area is only read back on the way to user mode,
 * where it will not go any more.
 */
int fpu_state_set(struct thread *thread, const void *buf, bool whole)
{
    const struct fpu_area *from = buf;
    struct fpu_area *area = thread->arch.fpu;

    if ((from->mxcsr & ~mxcsr_mask) != 0 || (whole && !header_is_sane(from))) {
        return -EINVAL;
    }
    memcpy(area, from, whole ? area_size : LEGACY_BYTES);
    memset((uint8_t *)area + 416, 0, 96);
    if (whole) {
        state_take_pkru(thread, from);
        area->xstate_bv &= ~XSTATE_PKRU;
    } else if (cpu_features.xsave) {
        area->xstate_bv |= XSTATE_X87 | XSTATE_SSE;
    }
    thread->arch.fpu_cpu = ~0u; /* what a CPU's registers may still hold is old */
    return 0;
}
