/*
 * Timekeeping: real time over the monotonic clock, coarse times, and the page from which the vDSO answers in user space.
 *
 * Locking: vdso_lock (spin, irqsave) serialises writers of the page and of the offset; readers take nothing: the offset is one
 * aligned 64-bit word, and the vDSO's readers retry on the sequence.
 */
#include "kernel/core/time.h"

#include <arch/page.h>

#include "kernel/core/log.h"
#include "kernel/sync/spinlock.h"

static union {
    struct vdso_data data;
    uint8_t page[PAGE_SIZE];
} vdso_page __aligned(PAGE_SIZE);

_Static_assert(sizeof(vdso_page) == PAGE_SIZE, "user space sees the whole page");

static struct spinlock vdso_lock = SPINLOCK_INIT("vdso data");

struct vdso_data *vdso_data(void)
{
    return &vdso_page.data;
}

/* Start a change: readers see an odd sequence before any new value. */
static uint64_t vdso_write_begin(void)
{
    uint64_t flags = spin_lock_irqsave(&vdso_lock);

    atomic_store_relaxed(&vdso_page.data.sequence, vdso_page.data.sequence + 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return flags;
}

static void vdso_write_end(uint64_t flags)
{
    atomic_store_release(&vdso_page.data.sequence, vdso_page.data.sequence + 1);
    spin_unlock_irqrestore(&vdso_lock, flags);
}

ktime_t ktime_realtime(void)
{
    return ktime_now() + atomic_load_relaxed(&vdso_page.data.realtime_offset_ns);
}

ktime_t ktime_realtime_coarse(void)
{
    return atomic_load_relaxed(&vdso_page.data.coarse_realtime_ns);
}

ktime_t ktime_coarse(void)
{
    return atomic_load_relaxed(&vdso_page.data.coarse_monotonic_ns);
}

static void coarse_update_locked(ktime_t now)
{
    struct vdso_data *data = &vdso_page.data;

    atomic_store_relaxed(&data->coarse_monotonic_ns, now);
    atomic_store_relaxed(&data->coarse_realtime_ns,
                         now + atomic_load_relaxed(&data->realtime_offset_ns));
}

void time_update_coarse(ktime_t now)
{
    /* Whoever has the lock writes a time as good as this one. */
    if (spin_trylock(&vdso_lock)) {
        /* Never back: `now` may have been read before another CPU's. */
        coarse_update_locked(MAX(now, vdso_page.data.coarse_monotonic_ns));
        spin_unlock(&vdso_lock);
    }
}

void ktime_set_realtime(ktime_t now)
{
    uint64_t flags = vdso_write_begin();
    ktime_t monotonic = ktime_now();

    atomic_store_relaxed(&vdso_page.data.realtime_offset_ns, now - monotonic);
    coarse_update_locked(monotonic);
    vdso_write_end(flags);
}

void machine_clock_changed(void)
{
    const struct clock_source *source = clock_source();
    struct clock_conversion conversion;
    struct vdso_data *data = &vdso_page.data;
    uint64_t flags = vdso_write_begin();

    clock_conversion_read(&conversion);
    data->counter_usable = source != NULL && source->user_readable;
    data->counter_base = conversion.base;
    data->monotonic_base_ns = conversion.base_ns;
    data->mult = conversion.mult;
    data->shift = conversion.shift;
    vdso_write_end(flags);
}

void time_init(uint64_t handoff_unix_time_s)
{
    uint64_t seconds = handoff_unix_time_s != 0 ? handoff_unix_time_s : clock_rtc_read();
    uint64_t flags = irq_save();

    machine_clock_changed();
    irq_restore(flags);
    ktime_set_realtime((ktime_t)seconds * NS_PER_S);
    if (seconds == 0) {
        log_warn("time: no wall clock, starting in 1970");
    }
}
