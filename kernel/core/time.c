/*
 * Timekeeping: real time over the monotonic clock, coarse times, and the page from which the vDSO answers in user space.
 *
 * Locking: vdso_lock (spin, irqsave) serialises writers of the page, of the offset and of the rate; readers take nothing: the offset is one
 * aligned 64-bit word, and the vDSO's readers retry on the sequence. listeners_lock (spin, irqsave) comes before the listeners' own.
 */
#include "kernel/core/time.h"

#include <arch/page.h>

#include "kernel/core/log.h"
#include "kernel/core/ntp.h"
#include "kernel/sync/spinlock.h"

static union {
    struct vdso_data data;
    uint8_t page[PAGE_SIZE];
} vdso_page __aligned(PAGE_SIZE);

_Static_assert(sizeof(vdso_page) == PAGE_SIZE, "user space sees the whole page");

static struct spinlock vdso_lock = SPINLOCK_INIT("vdso data");
static struct spinlock listeners_lock = SPINLOCK_INIT("time listeners");
static struct list_node listeners = LIST_INIT(listeners); /* [listeners_lock] */
static uint32_t steps;                                    /* [a] */
static int64_t current_rate;                              /* [vdso_lock] */
static uint32_t nticking;                                 /* [a] CPUs */

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

/* Fine time instead, as long as nobody ticks: the sequence tells when somebody has begun to, who tells times later than any that were read. */
static __noinline ktime_t read_instead(bool real)
{
    const struct vdso_data *data = &vdso_page.data;

    for (;;) {
        uint32_t sequence = atomic_load_acquire(&data->sequence);
        if (atomic_load_relaxed(&data->coarse_stands) == 0) {
            return atomic_load_relaxed(real ? &data->coarse_realtime_ns
                                            : &data->coarse_monotonic_ns);
        }
        ktime_t now = real ? ktime_realtime() : ktime_now();
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if ((sequence & 1) == 0 && atomic_load_relaxed(&data->sequence) == sequence) {
            return now;
        }
        cpu_relax();
    }
}

ktime_t ktime_realtime_coarse(void)
{
    if (unlikely(atomic_load_relaxed(&vdso_page.data.coarse_stands) != 0)) {
        return read_instead(true);
    }
    return atomic_load_relaxed(&vdso_page.data.coarse_realtime_ns);
}

ktime_t ktime_coarse(void)
{
    if (unlikely(atomic_load_relaxed(&vdso_page.data.coarse_stands) != 0)) {
        return read_instead(false);
    }
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

/*
 * Who begins first brings the coarse times up to date inside of the sequence: whoever has read the fine clock instead has read it before, or looks
 * again. Who ends last writes 1 after all others' 0, for each wrote his before he ended.
 */
void time_ticks_begin(void)
{
    if (__atomic_fetch_add(&nticking, 1, __ATOMIC_SEQ_CST) == 0) {
        uint64_t flags = vdso_write_begin();
        atomic_fence(); /* the odd sequence is seen before the clock is read */
        coarse_update_locked(MAX(ktime_now(), vdso_page.data.coarse_monotonic_ns));
        atomic_store_relaxed(&vdso_page.data.coarse_stands, 0);
        vdso_write_end(flags);
    }
}

void time_ticks_end(void)
{
    if (__atomic_fetch_sub(&nticking, 1, __ATOMIC_SEQ_CST) == 1) {
        __atomic_store_n(&vdso_page.data.coarse_stands, 1, __ATOMIC_SEQ_CST);
    }
}

ktime_t ktime_tai(void)
{
    return ktime_realtime() + atomic_load_relaxed(&vdso_page.data.tai_offset_ns);
}

/* ---- steps ---- */

static void offset_set(ktime_t offset, bool relative)
{
    uint64_t flags = vdso_write_begin();
    struct vdso_data *data = &vdso_page.data;

    atomic_store_relaxed(&data->realtime_offset_ns,
                         offset + (relative ? data->realtime_offset_ns : 0));
    coarse_update_locked(ktime_now());
    vdso_write_end(flags);
    (void)atomic_fetch_add(&steps, 1);
}

void ktime_set_realtime(ktime_t now)
{
    offset_set(now - ktime_now(), false);
    ntp_clear();
    time_tell_step();
}

void time_step(ktime_t by)
{
    offset_set(by, true);
}

uint32_t time_steps(void)
{
    return atomic_load_acquire(&steps);
}

/* So many are told at a time, since interrupts are off. */
#define TELL_TURN 16u

/* Others, and interrupts, in between; a listener without a function is the bookmark of such a walk. */
void time_tell_step(void)
{
    struct time_listener here = {.stepped = NULL}, last = {.stepped = NULL};
    unsigned turn = 0;
    uint64_t flags = spin_lock_irqsave(&listeners_lock);

    list_push_back(&listeners, &last.node); /* who comes later knows the new time */
    for (struct list_node *node = listeners.next; node != &last.node;) {
        struct time_listener *listener = list_entry(node, struct time_listener, node);
        node = node->next;
        if (listener->stepped != NULL) {
            listener->stepped(listener);
        }
        if (++turn % TELL_TURN == 0) {
            list_insert_before(node, &here.node);
            spin_unlock_irqrestore(&listeners_lock, flags);
            flags = spin_lock_irqsave(&listeners_lock);
            node = here.node.next;
            list_remove(&here.node);
        }
    }
    list_remove(&last.node);
    spin_unlock_irqrestore(&listeners_lock, flags);
}

void time_listener_add(struct time_listener *listener)
{
    uint64_t flags = spin_lock_irqsave(&listeners_lock);

    list_push_back(&listeners, &listener->node);
    spin_unlock_irqrestore(&listeners_lock, flags);
}

void time_listener_remove(struct time_listener *listener)
{
    uint64_t flags = spin_lock_irqsave(&listeners_lock);

    list_remove(&listener->node);
    spin_unlock_irqrestore(&listeners_lock, flags);
}

/* ---- rates and the rest of the page ---- */

/* The clock's conversion as it is now into the page, which is being written. */
static void conversion_publish(void)
{
    const struct clock_source *source = clock_source();
    struct clock_conversion conversion;
    struct vdso_data *data = &vdso_page.data;

    clock_conversion_read(&conversion);
    data->counter_usable = source != NULL && source->user_readable;
    data->counter_base = conversion.base;
    data->monotonic_base_ns = conversion.base_ns;
    data->mult = conversion.mult;
    data->shift = conversion.shift;
    data->raw_base_ns = conversion.raw_base_ns;
    data->raw_mult = conversion.raw_mult;
    data->raw_shift = conversion.raw_shift;
}

void time_set_rate(int64_t rate)
{
    if (rate == atomic_load_relaxed(&current_rate)) {
        return;
    }
    uint64_t flags = vdso_write_begin();
    atomic_store_relaxed(&current_rate, rate);
    clock_adjust(rate);
    conversion_publish();
    vdso_write_end(flags);
}

void time_set_tai(int seconds)
{
    if (vdso_page.data.tai_offset_ns == seconds * NS_PER_S) {
        return;
    }
    uint64_t flags = vdso_write_begin();
    atomic_store_relaxed(&vdso_page.data.tai_offset_ns, seconds * NS_PER_S);
    vdso_write_end(flags);
}

void time_set_zone(int minutes_west, int dst)
{
    atomic_store_relaxed(&vdso_page.data.minutes_west, minutes_west);
    atomic_store_relaxed(&vdso_page.data.dst, dst);
}

void machine_clock_changed(void)
{
    uint64_t flags = vdso_write_begin();

    conversion_publish();
    vdso_write_end(flags);
}

void time_init(uint64_t handoff_unix_time_s)
{
    uint64_t seconds = handoff_unix_time_s != 0 ? handoff_unix_time_s : clock_rtc_read();
    bool known = seconds != 0 && seconds < KTIME_REAL_END / NS_PER_S;
    uint64_t flags = irq_save();

    machine_clock_changed();
    irq_restore(flags);
    ntp_init();
    ktime_set_realtime(known ? (ktime_t)seconds * NS_PER_S : 0);
    if (!known) {
        log_warn("time: no wall clock, starting in 1970");
    }
}
