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

void fpu_restore_current(void)
{
    struct thread *thread = current_thread();

    restore(thread->arch.fpu);
    this_cpu->fpu_owner = thread;
    thread->arch.fpu_cpu = cpu_id();
    thread_clear_work(thread, THREAD_WORK_FPU);
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

int fpu_signal_save(void __user *user_area)
{
    struct fpu_area *area = area_current();
    uint32_t magic2 = FP_XSTATE_MAGIC2;
    struct _fpx_sw_bytes sw = {
        .magic1 = FP_XSTATE_MAGIC1,
        .extended_size = (uint32_t)(frame_size + FP_XSTATE_MAGIC2_SIZE),
        .xfeatures = xstate_mask,
        .xstate_size = (uint32_t)frame_size,
    };

    if (!cpu_features.xsave) {
        memset(&sw, 0, sizeof(sw));
        magic2 = 0;
    }
    memset((uint8_t *)area + 416, 0, 96); /* not part of any register */
    memcpy((uint8_t *)area + SW_BYTES_AT, &sw, sizeof(sw));
    if (!cpu_features.xsave) {
        return copy_to_user(user_area, area, area_size);
    }
    uint64_t pkru = pkey_rights();
    area->xstate_bv &= ~XSTATE_PKRU;
    area->xstate_bv |= cpu_features.pku && pkru != 0 ? XSTATE_PKRU : 0;
    if (copy_to_user(user_area, area, area_size) != 0 ||
        (cpu_features.pku &&
         put_user(pkru, (uint64_t __user *)user_at(user_area, frame_pkru_at)) != 0)) {
        return -EFAULT;
    }
    return put_user(magic2, (uint32_t __user *)user_at(user_area, frame_size));
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
static int frame_is_extended(const uint8_t __user *user_area, bool *ret_extended)
{
    struct _fpx_sw_bytes sw;
    uint32_t magic2;

    *ret_extended = false;
    if (!cpu_features.xsave) {
        return 0;
    }
    if (copy_from_user(&sw, user_area + SW_BYTES_AT, sizeof(sw)) != 0) {
        return -EFAULT;
    }
    if (sw.magic1 != FP_XSTATE_MAGIC1 || sw.xstate_size != frame_size) {
        return 0;
    }
    if (get_user(magic2, (const uint32_t __user *)(user_area + frame_size)) != 0) {
        return -EFAULT;
    }
    *ret_extended = magic2 == FP_XSTATE_MAGIC2;
    return 0;
}

/* PKRU of a frame whose area was read: 0, its initial state for the CPU, where it is not there. */
static int frame_pkru(const struct fpu_area *area, bool extended, const void __user *user_area,
                      uint32_t *ret_pkru)
{
    if (!cpu_features.pku || !extended || (area->xstate_bv & XSTATE_PKRU) == 0) {
        *ret_pkru = 0;
        return 0;
    }
    return get_user(*ret_pkru, (const uint32_t __user *)user_at(user_area, frame_pkru_at));
}

int fpu_signal_restore(const void __user *user_area)
{
    struct thread *thread = current_thread();
    struct fpu_area *area = thread->arch.fpu;
    uint32_t pkru = PKRU_INITIAL;
    bool extended;
    int err;

    /* From here on the area is the truth: a switch must not save registers over it. */
    preempt_disable();
    fpu_reset_current();
    preempt_enable();
    if (user_area == NULL) {
        pkey_set_rights(pkru);
        return 0;
    }
    err = frame_is_extended(user_area, &extended);
    if (err == 0 && copy_from_user(area, user_area, extended ? area_size : LEGACY_BYTES) != 0) {
        err = -EFAULT;
    }
    if (err == 0) {
        err = frame_pkru(area, extended, user_area, &pkru);
    }
    if (err < 0) {
        area_reset(area);
        return err;
    }
    area_sanitise(area, extended);
    pkey_set_rights(pkru);
    return 0;
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
