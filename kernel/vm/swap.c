/*
 * Swap areas: adding and removing them, moving content, figures.
 *
 * swap_mutex orders changes of the set of areas. It is not held while pages are brought back from a leaving one: the area's state
 * keeps others away.
 */
#include "kernel/vm/swap.h"

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/time.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/thread.h"
#include "kernel/vm/swap_impl.h"

#define RETRY_NS (10 * NS_PER_MS)

static struct mutex swap_mutex = MUTEX_INIT(swap_mutex);
struct swap_area swap_areas[SWAP_AREAS_MAX];
static struct swap_order orders[2]; /* [swap_mutex] one is in use, the other makes ready */
const struct swap_order *swap_order = &orders[0];
static int least_priority = SWAP_PRIORITY_DEFAULT; /* [swap_mutex] the last that was given out */

DEFINE_PER_CPU(struct swap_cpu, swap_cpus);
int (*swap_unuse_hook)(unsigned area);

void swap_quiesce(void)
{
    unsigned id;

    atomic_fence(); /* what the caller changed, before the look: see swap_enter() */
    for_each_cpu (id) {
        const struct swap_cpu *cpu = per_cpu_ptr(swap_cpus, id);
        uint32_t sequence = atomic_load_acquire(&cpu->sequence);
        while ((sequence & 1) != 0 && atomic_load_acquire(&cpu->sequence) == sequence) {
            cpu_relax();
        }
    }
}

/* Publish the active areas, highest priority first; those of one priority in the order of their numbers. */
static void order_update(void)
{
    struct swap_order *order = &orders[swap_order == &orders[0]];
    unsigned n = 0;

    lock_assert_held(&swap_mutex);
    for (unsigned i = 0; i < SWAP_AREAS_MAX; i++) {
        struct swap_area *area = &swap_areas[i];
        unsigned at = n;
        if (area->state != AREA_ACTIVE) {
            continue;
        }
        for (; at > 0 && order->areas[at - 1]->priority < area->priority; at--) {
            order->areas[at] = order->areas[at - 1];
        }
        order->areas[at] = area;
        n++;
    }
    order->n = n;
    atomic_store_release(&swap_order, order);
    swap_quiesce(); /* nobody reads the old one any more: it is the next to be filled */
}

static struct swap_area *area_find(const void *device)
{
    for (unsigned i = 0; i < SWAP_AREAS_MAX; i++) {
        if (swap_areas[i].state != AREA_UNUSED && swap_areas[i].device == device) {
            return &swap_areas[i];
        }
    }
    return NULL;
}

static struct swap_area *area_find_unused(void)
{
    for (unsigned i = 0; i < SWAP_AREAS_MAX; i++) {
        if (swap_areas[i].state == AREA_UNUSED) {
            return &swap_areas[i];
        }
    }
    return NULL;
}

static int area_start(struct swap_area *area, const struct swap_header *header)
{
    unsigned id;

    int err = swap_clusters_create(area, header);
    if (err < 0) {
        return err;
    }
    for_each_cpu (id) {
        per_cpu_ptr(swap_cpus, id)->cluster[area - swap_areas] = CLUSTER_NONE;
    }
    if (area->priority < 0) {
        area->priority = --least_priority;
    }
    area->nused = 0;
    area->state = AREA_ACTIVE;
    atomic_store_release(&area->live, true);
    order_update();
    return 0;
}

int swap_area_add(const struct swap_ops *ops, void *device, const struct swap_header *header,
                  const struct swap_area_info *info, unsigned *ret_area)
{
    int err = -EBUSY;

    mutex_lock(&swap_mutex);
    if (area_find(device) != NULL) {
        goto unlock;
    }
    err = -EPERM;
    struct swap_area *area = area_find_unused();
    if (area == NULL) {
        goto unlock;
    }
    area->ops = ops;
    area->device = device;
    area->is_partition = info->is_partition;
    area->priority = info->priority;
    err = -ENOMEM;
    area->path = kstrndup(info->path, SWAP_PATH_MAX - 1);
    if (area->path == NULL) {
        goto unlock;
    }
    for (uint64_t slot = 1; info->discard && ops->free != NULL && slot < header->nslots; slot++) {
        ops->free(device, slot);
    }
    err = area_start(area, header);
    if (err < 0) {
        kfree(area->path);
        goto unlock;
    }
    *ret_area = (unsigned)(area - swap_areas);
    log_info("swap: %lluk on %s, priority %d",
             (unsigned long long)area->nusable << (PAGE_SHIFT - 10), area->path, area->priority);
unlock:
    mutex_unlock(&swap_mutex);
    return err;
}

/* Until no slot is taken. No new one is. */
static int area_empty(struct swap_area *area)
{
    while (atomic_load_acquire(&area->nused) > 0) {
        int err = swap_unuse_hook == NULL ? 0 : swap_unuse_hook((unsigned)(area - swap_areas));
        if (err < 0) {
            return err;
        }
        /* What is left is in the hands of somebody who is just at it. */
        if (atomic_load_acquire(&area->nused) > 0 &&
            thread_sleep_until_interruptible(ktime_now() + RETRY_NS) < 0) {
            return -EINTR;
        }
    }
    return 0;
}

int swap_area_remove(void *device)
{
    mutex_lock(&swap_mutex);
    struct swap_area *area = area_find(device);
    if (area == NULL || area->state != AREA_ACTIVE) {
        mutex_unlock(&swap_mutex);
        return -EINVAL;
    }
    area->state = AREA_LEAVING;
    order_update();
    mutex_unlock(&swap_mutex);

    int err = area_empty(area);

    mutex_lock(&swap_mutex);
    if (err < 0) {
        area->state = AREA_ACTIVE;
        order_update();
    } else {
        atomic_store_release(&area->live, false);
        swap_quiesce();
        swap_clusters_destroy(area);
        kfree(area->path);
        area->path = NULL;
        area->device = NULL;
        area->state = AREA_UNUSED;
    }
    mutex_unlock(&swap_mutex);
    return err;
}

/* ---- content ---- */

int swap_store(swap_entry_t entry, struct page *page)
{
    struct swap_area *area = &swap_areas[swap_entry_area(entry)];

    int err = area->ops->store(area->device, swap_entry_slot(entry), page);
    if (err == 0) {
        this_cpu_ptr(swap_cpus)->pages_out++; /* on any CPU: see swap_stats() */
    }
    return err;
}

int swap_load(swap_entry_t entry, struct page *page)
{
    struct swap_area *area = &swap_areas[swap_entry_area(entry)];

    int err = area->ops->load(area->device, swap_entry_slot(entry), page);
    if (err == 0) {
        this_cpu_ptr(swap_cpus)->pages_in++;
    }
    return err;
}

/* ---- figures ---- */

bool swap_area_describe(unsigned index, struct swap_area_stats *ret_stats)
{
    bool found = false;

    mutex_lock(&swap_mutex);
    for (unsigned i = 0; i < SWAP_AREAS_MAX && !found; i++) {
        const struct swap_area *area = &swap_areas[i];
        if (area->state != AREA_UNUSED && index-- == 0) {
            (void)str_copy(ret_stats->path, area->path, sizeof(ret_stats->path));
            ret_stats->is_partition = area->is_partition;
            ret_stats->priority = area->priority;
            ret_stats->nslots = area->nusable;
            ret_stats->nused = atomic_load_relaxed(&area->nused);
            found = true;
        }
    }
    mutex_unlock(&swap_mutex);
    return found;
}

void swap_stats(struct swap_stats *ret_stats)
{
    int64_t cached = 0;
    unsigned id;

    *ret_stats = (struct swap_stats){0};
    for_each_cpu (id) {
        const struct swap_cpu *cpu = per_cpu_ptr(swap_cpus, id);
        ret_stats->pages_in += atomic_load_relaxed(&cpu->pages_in);
        ret_stats->pages_out += atomic_load_relaxed(&cpu->pages_out);
        cached += atomic_load_relaxed(&cpu->cached);
    }
    ret_stats->cached = (uint64_t)MAX(cached, (int64_t)0);

    struct swap_cpu *cpu = swap_enter();
    for (unsigned i = 0; i < SWAP_AREAS_MAX; i++) {
        if (atomic_load_acquire(&swap_areas[i].live)) {
            uint64_t used = atomic_load_relaxed(&swap_areas[i].nused);
            ret_stats->total += swap_areas[i].nusable;
            ret_stats->free += swap_areas[i].nusable - MIN(used, swap_areas[i].nusable);
        }
    }
    swap_leave(cpu);
}

uint64_t swap_free_slots(void)
{
    struct swap_cpu *cpu = swap_enter();
    const struct swap_order *order = atomic_load_acquire(&swap_order);
    uint64_t free = 0;

    for (unsigned i = 0; i < order->n; i++) {
        uint64_t used = atomic_load_relaxed(&order->areas[i]->nused);
        free += order->areas[i]->nusable - MIN(used, order->areas[i]->nusable);
    }
    swap_leave(cpu);
    return free;
}
