/*
 * Writeback, when: the thread of each device writes what has been dirty for long, and more when there is too much of it; who makes pages
 * dirty faster than the media take them waits. The settings, their defaults and bounds are those of Linux's Documentation/admin-guide/sysctl/vm.rst.
 *
 * Above the background threshold writers wake the thread; above the threshold they sleep until it is below again, looking after each completion
 * of a run.
 */
#include "kernel/base/atomic.h"
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/core/panic.h"
#include "kernel/core/time.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/vm/private.h"
#include "kernel/vm/writeback_impl.h"

#define PAUSE_NS        (100 * NS_PER_MS)
#define LOOK_PAGES      32u /* made dirty on a CPU before the limits are looked at */
#define NS_PER_CENTISEC (10 * NS_PER_MS)

struct writeback_settings writeback_settings = {
    .ratio = 20, .background_ratio = 10, .expire_centisecs = 3000, .writeback_centisecs = 500};

static uint64_t ndirty, nwriteback, total_dirtied, total_written; /* [a] pages */
static struct wait_queue progress = WAIT_QUEUE_INIT(progress);    /* writers beyond the threshold */
static DEFINE_PER_CPU(unsigned, dirtied_since); /* pages since somebody looked at the limits */

static struct spinlock devices_lock = SPINLOCK_INIT("writeback devices");
static struct list_node devices = LIST_INIT(devices); /* [devices_lock] */

void writeback_count_dirty(int64_t n)
{
    (void)atomic_fetch_add_relaxed(&ndirty, (uint64_t)n);
    if (n > 0) {
        (void)atomic_fetch_add_relaxed(&total_dirtied, (uint64_t)n);
        *this_cpu_ptr(dirtied_since) += (unsigned)n; /* one more or less does no harm */
    }
}

void writeback_count_started(unsigned n)
{
    (void)atomic_fetch_add_relaxed(&nwriteback, n);
}

void writeback_count_written(unsigned n)
{
    (void)atomic_fetch_add_relaxed(&total_written, n);
}

void writeback_count_ended(unsigned n)
{
    (void)atomic_fetch_sub_relaxed(&nwriteback, n);
    if (wait_queue_active(&progress)) {
        wait_wake_all(&progress, 0);
    }
}

/* ---- thresholds ---- */

static uint64_t limit_pages(uint64_t bytes, uint32_t ratio, uint64_t available)
{
    return bytes != 0 ? DIV_ROUND_UP(bytes, PAGE_SIZE) : available * ratio / 100;
}

void writeback_stats(struct writeback_stats *ret_stats)
{
    struct frame_stats frames;

    frame_stats(&frames);
    uint64_t available = frames.free + frames.by_kind[PAGE_FILE];
    uint64_t most = limit_pages(atomic_load_relaxed(&writeback_settings.bytes),
                                atomic_load_relaxed(&writeback_settings.ratio), available);
    uint64_t background =
        limit_pages(atomic_load_relaxed(&writeback_settings.background_bytes),
                    atomic_load_relaxed(&writeback_settings.background_ratio), available);
    *ret_stats = (struct writeback_stats){
        .dirty = atomic_load_relaxed(&ndirty),
        .writeback = atomic_load_relaxed(&nwriteback),
        .dirtied = atomic_load_relaxed(&total_dirtied),
        .written = atomic_load_relaxed(&total_written),
        .threshold = most,
        .background_threshold = background >= most ? most / 2 : background,
    };
}

static bool over_threshold(void)
{
    struct writeback_stats stats;

    writeback_stats(&stats);
    return stats.dirty + stats.writeback > stats.threshold;
}

static bool over_background(void)
{
    struct writeback_stats stats;

    writeback_stats(&stats);
    return stats.dirty > stats.background_threshold;
}

/* All, not the writer's alone: what is too much may be another's. */
static void devices_wake(bool hurry)
{
    struct writeback_device *device;

    spin_lock(&devices_lock);
    list_for_each (device, &devices, link) {
        if (hurry) {
            atomic_store_release(&device->hurry, true);
        } else {
            atomic_store_release(&device->begun, true);
        }
        wait_wake_all(&device->wake, 0);
    }
    spin_unlock(&devices_lock);
}

void writeback_hurry(void)
{
    devices_wake(true);
}

void writeback_settings_changed(void)
{
    devices_wake(false);
    wait_wake_all(&progress, 0);
}

void writeback_balance_slow(void)
{
    if (*this_cpu_ptr(dirtied_since) < LOOK_PAGES) {
        return;
    }
    *this_cpu_ptr(dirtied_since) = 0;
    if (!over_background()) {
        return;
    }
    for (;;) {
        devices_wake(true);
        if (!over_threshold() || thread_signal_pending(current_thread())) {
            return;
        }
        (void)wait_event_until(&progress, !over_threshold(), ktime_now() + PAUSE_NS);
    }
}

/* ---- the list of a device ---- */

void writeback_list_add(struct writeback *wb)
{
    struct writeback_device *device = wb->device;

    spin_lock(&device->lock);
    if (!wb->listed) {
        wb->listed = true;
        wb->dirtied = ktime_now();
        wb->pass = device->pass;
        if (list_empty(&device->dirty)) { /* the thread may sleep without an end */
            atomic_store_release(&device->begun, true);
            wait_wake_all(&device->wake, 0);
        }
        list_push_back(&device->dirty, &wb->node);
    }
    spin_unlock(&device->lock);
}

static uint64_t pass_begin(struct writeback_device *device)
{
    spin_lock(&device->lock);
    uint64_t pass = ++device->pass;
    spin_unlock(&device->lock);
    return pass;
}

static struct writeback *find_owed_locked(struct writeback_device *device, uint64_t pass)
{
    struct writeback *wb;

    list_for_each (wb, &device->owed, node) {
        if (wb->pass < pass) {
            return wb;
        }
    }
    return NULL;
}

/* The file that has been dirty longest, if that is before `before`, and it was listed before this pass. NULL: none. */
static struct writeback *find_dirty_locked(struct writeback_device *device, ktime_t before,
                                           uint64_t pass)
{
    if (list_empty(&device->dirty)) {
        return NULL;
    }
    struct writeback *wb = list_entry(device->dirty.next, struct writeback, node);
    return wb->dirtied > before || wb->pass >= pass ? NULL : wb;
}

/* The next file for this pass: the caller's until file_release(). NULL: none. */
static struct writeback *file_take(struct writeback_device *device, ktime_t before, uint64_t pass)
{
    spin_lock(&device->lock);
    struct writeback *wb = find_owed_locked(device, pass);
    if (wb == NULL) {
        wb = find_dirty_locked(device, before, pass);
    }
    if (wb != NULL) {
        list_remove(&wb->node);
        wb->listed = false;
        wb->nbusy++;
        device->nbusy++;
    }
    spin_unlock(&device->lock);
    return wb;
}

/*
 * Back on the list, if there is something dirty again or still. It may have become so behind the back of this pass, before a later one began, which
 * could not find the file: that one is owed it.
 */
static void file_release(struct writeback *wb, uint64_t pass)
{
    struct writeback_device *device = wb->device;

    spin_lock(&wb->cache->lock);
    if (wb->ndirty > 0) {
        writeback_list_add(wb);
    }
    spin_unlock(&wb->cache->lock);
    spin_lock(&device->lock);
    if (wb->listed && wb->pass > pass) {
        wb->pass = pass;
        list_remove(&wb->node);
        list_push_back(&device->owed, &wb->node);
    }
    wb->nbusy--;
    device->nbusy--;
    wait_wake_all(&wb->done, 0);
    wait_wake_all(&device->idle, 0);
    spin_unlock(&device->lock);
}

/* Off the list, once nobody works on it: then nobody can come any more. */
static bool leave_list(struct writeback *wb)
{
    bool idle;

    spin_lock(&wb->device->lock);
    idle = wb->nbusy == 0;
    if (idle && wb->listed) {
        list_remove(&wb->node);
        wb->listed = false;
    }
    spin_unlock(&wb->device->lock);
    return idle;
}

void writeback_fini(struct writeback *wb)
{
    wait_event(&wb->done, leave_list(wb) && READ_ONCE(wb->nwriteback) == 0);
    uint64_t flags = spin_lock_irqsave(&wb->lock); /* the last completion lets go of it */
    spin_unlock_irqrestore(&wb->lock, flags);
}

/* ---- the thread ---- */

static void write_files(struct writeback_device *device, ktime_t before)
{
    uint64_t pass = pass_begin(device);
    struct writeback *wb;

    while ((wb = file_take(device, before, pass)) != NULL) {
        (void)pagecache_write_start(wb->cache, 0, UINT64_MAX >> PAGE_SHIFT);
        file_release(wb, pass);
    }
}

/* How long the thread sleeps: for ever while nothing is dirty, or when nothing is to be written by age. */
static ktime_t next_look(struct writeback_device *device)
{
    uint32_t every = atomic_load_relaxed(&writeback_settings.writeback_centisecs);

    spin_lock(&device->lock);
    bool idle = list_empty(&device->dirty) && list_empty(&device->owed);
    spin_unlock(&device->lock);
    return idle || every == 0 ? KTIME_MAX : ktime_now() + every * NS_PER_CENTISEC;
}

static bool has_reason(struct writeback_device *device)
{
    return atomic_load_acquire(&device->hurry) || atomic_load_acquire(&device->begun) ||
           atomic_load_acquire(&device->stop);
}

static void device_main(void *arg)
{
    struct writeback_device *device = arg;

    while (!atomic_load_acquire(&device->stop)) {
        ktime_t expire =
            atomic_load_relaxed(&writeback_settings.expire_centisecs) * NS_PER_CENTISEC;
        bool hurry = __atomic_exchange_n(&device->hurry, false, __ATOMIC_ACQ_REL);
        atomic_store_release(&device->begun, false);
        write_files(device, hurry || over_background() ? KTIME_MAX : ktime_now() - expire);
        (void)wait_event_until(&device->wake, has_reason(device), next_look(device));
    }
    spin_lock(&device->lock);
    device->ended = true;
    wait_wake_all(&device->wake, 0);
    spin_unlock(&device->lock);
}

int writeback_device_init(struct writeback_device *device, const char *name)
{
    char comm[COMM_SIZE];

    *device = (struct writeback_device){.name = name};
    spin_init(&device->lock, "writeback device");
    list_init(&device->dirty);
    list_init(&device->owed);
    wait_queue_init(&device->wake);
    wait_queue_init(&device->idle);
    (void)ksnprintf(comm, sizeof(comm), "wb/%s", name);
    struct thread *thread = thread_create_kernel(comm, device_main, device);
    if (thread == NULL) {
        return -ENOMEM;
    }
    spin_lock(&devices_lock);
    list_push_back(&devices, &device->link);
    spin_unlock(&devices_lock);
    thread_start(thread);
    return 0;
}

static bool has_ended(struct writeback_device *device)
{
    spin_lock(&device->lock);
    bool ended = device->ended;
    spin_unlock(&device->lock);
    return ended;
}

void writeback_device_fini(struct writeback_device *device)
{
    ASSERT(list_empty(&device->dirty) && list_empty(&device->owed));
    spin_lock(&devices_lock);
    list_remove(&device->link);
    spin_unlock(&devices_lock);
    atomic_store_release(&device->stop, true);
    wait_wake_all(&device->wake, 0);
    wait_event(&device->wake, has_ended(device));
}

void writeback_device_count_ended(struct writeback_device *device, unsigned n)
{
    if (atomic_fetch_sub_relaxed(&device->nwriteback, n) == n) {
        wait_wake_all(&device->idle, 0);
    }
}

static bool is_idle(struct writeback_device *device)
{
    spin_lock(&device->lock);
    bool idle = device->nbusy == 0 && atomic_load_relaxed(&device->nwriteback) == 0;
    spin_unlock(&device->lock);
    return idle;
}

static bool is_owed(struct writeback_device *device, uint64_t pass)
{
    spin_lock(&device->lock);
    bool owed = find_owed_locked(device, pass) != NULL;
    spin_unlock(&device->lock);
    return owed;
}

/* What others have begun is waited for, too: it was dirty when we were called. What they leave dirty may have been: those files are looked at again. */
int writeback_device_sync(struct writeback_device *device)
{
    uint64_t pass = pass_begin(device);
    struct writeback *wb;
    int result = 0;

    do {
        while ((wb = file_take(device, KTIME_MAX, pass)) != NULL) {
            int err = pagecache_sync(wb->cache, 0, UINT64_MAX >> PAGE_SHIFT);
            file_release(wb, pass);
            result = result == 0 ? err : result;
        }
        wait_event(&device->idle, is_idle(device));
    } while (is_owed(device, pass));
    return result;
}
