/*
 * The page lock. Waiters queue in one of a few queues, picked by the page's address. A page that is locked for long is being read or written:
 * waiting for it counts as waiting for a device (psi.h).
 */
#include "kernel/vm/page_lock.h"

#include "kernel/base/hash.h"
#include "kernel/sched/psi.h"
#include "kernel/sched/wait.h"

#define NQUEUES 16

static struct wait_queue page_queues[NQUEUES];

static struct wait_queue *page_queue(const struct page *page)
{
    return &page_queues[hash_u64((uintptr_t)page) >> 60];
}

void page_wait_unlocked(struct page *page)
{
    if (page_is_locked(page)) {
        bool begun = psi_begin(PSI_IO);
        wait_event(page_queue(page), !page_is_locked(page));
        if (begun) {
            psi_end(PSI_IO);
        }
    }
}

void page_lock(struct page *page)
{
    while (!page_trylock(page)) {
        page_wait_unlocked(page);
    }
}

void page_unlock(struct page *page, uint16_t set)
{
    if (set != 0) {
        (void)__atomic_fetch_or(&page->flags, set, __ATOMIC_RELEASE);
    }
    (void)__atomic_fetch_and(&page->flags, (uint16_t)~PAGE_FLAG_LOCKED, __ATOMIC_RELEASE);
    if (wait_queue_active(page_queue(page))) {
        wait_wake_all(page_queue(page), 0);
    }
}

void page_locks_init(void)
{
    for (unsigned i = 0; i < NQUEUES; i++) {
        wait_queue_init(&page_queues[i]);
    }
}
