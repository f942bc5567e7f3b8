/*
 * The slow path of the ticket lock: Mellor-Crummey and Scott, "Algorithms for scalable synchronization on shared-memory
 * multiprocessors", 1991, section 2.2, with proportional back-off: who is n-th in the queue looks n times less often, so that
 * the lock's cache line stays with the holder.
 */
#include "kernel/sync/spinlock.h"

void spin_wait(struct spinlock *lock, uint16_t ticket)
{
    for (;;) {
        /* Pairs with the release in spin_unlock_raw_. */
        uint16_t ahead = (uint16_t)(ticket - __atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE));
        if (ahead == 0) {
            return;
        }
        for (unsigned i = 0; i < ahead; i++) {
            cpu_relax();
        }
    }
}
