/*
 * Kernel memory that was unmapped, and may still be known to some CPU.
 *
 * To make every CPU forget translations costs an interrupt on each. So what is unmapped is gathered, frames and addresses both, until its
 * pages are as many as the limit, or somebody needs what is held back; then one flush serves it all, and only after that frames are free and
 * addresses given out again. Who uses memory after it was freed hits a page that is not mapped, or on a CPU that still knows it the
 * page that nobody else has yet.
 *
 * Kernels for debugging have a limit of 0: there the first one who uses freed memory is to be caught at once.
 *
 * Locks: vunmap_lock (spin, irqsave) for the list; what was taken from it is the taker's alone.
 */
#include "kernel/machine/mmu.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/vmap.h"
#include "kernel/sync/spinlock.h"

#define LIMIT_PAGES 512u /* at most */
#define LIMIT_PART  256u /* and of all memory */

static struct spinlock vunmap_lock = SPINLOCK_INIT("unmapped ranges");
static struct vunmap *waiting; /* [vunmap_lock] */
static uint64_t waiting_pages; /* [a] of them; written under vunmap_lock, figures read it without */
static uint64_t limit;         /* [a] pages; until vunmap_init() nothing waits */
static uint64_t nflushes;      /* [a] so far */

uint64_t vunmap_flush(void)
{
    vaddr_t start = UINT64_MAX, end = 0;
    uint64_t irq = spin_lock_irqsave(&vunmap_lock);
    struct vunmap *list = waiting, *next;
    uint64_t npages = atomic_load_relaxed(&waiting_pages);

    waiting = NULL;
    atomic_store_relaxed(&waiting_pages, 0);
    spin_unlock_irqrestore(&vunmap_lock, irq);
    if (list == NULL) {
        return 0;
    }
    for (struct vunmap *item = list; item != NULL; item = item->next) {
        start = MIN(start, item->start);
        end = MAX(end, item->start + item->npages * PAGE_SIZE);
    }
    (void)atomic_fetch_add_relaxed(&nflushes, 1);
    mmu_kernel_flush(start, end);
    for (struct vunmap *item = list; item != NULL; item = next) {
        next = item->next;
        item->release(item);
    }
    return npages;
}

void vunmap_later(struct vunmap *item)
{
    mmu_kernel_clear(item->start, item->npages * PAGE_SIZE);
    uint64_t irq = spin_lock_irqsave(&vunmap_lock);
    item->next = waiting;
    waiting = item;
    uint64_t npages = atomic_load_relaxed(&waiting_pages) + item->npages;
    atomic_store_relaxed(&waiting_pages, npages);
    bool enough = npages >= atomic_load_relaxed(&limit);
    spin_unlock_irqrestore(&vunmap_lock, irq);
    if (enough) {
        (void)vunmap_flush();
    }
}

uint64_t vunmap_waiting(void)
{
    return atomic_load_relaxed(&waiting_pages);
}

uint64_t vunmap_flushes(void)
{
    return atomic_load_relaxed(&nflushes);
}

void vunmap_set_limit(uint64_t npages)
{
    atomic_store_relaxed(&limit, npages);
}

void vunmap_init(void)
{
#if !defined(CONFIG_DEBUG) && !defined(CONFIG_KASAN)
    struct frame_stats stats;

    frame_stats(&stats);
    vunmap_set_limit(MIN(LIMIT_PAGES, stats.total / LIMIT_PART));
#endif
}
