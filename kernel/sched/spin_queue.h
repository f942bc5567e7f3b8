/*
 * Spinning for a lock that sleeps, while its owner runs: what the mutex and the semaphore's writers have in common. Private to kernel/sched.
 *
 * A lock that is held for a shorter time than two switches take is better waited for awake (Karlin, Li, Manasse and Owicki, "Empirical Studies
 * of Competitive Spinning for a Shared-Memory Multiprocessor", 1991), as long as its owner makes progress. Who spins stands in a queue of
 * the lock, and only its head looks at the lock's word, the others each at a place of their own (Mellor-Crummey and Scott, "Algorithms
 * for Scalable Synchronization on Shared-Memory Multiprocessors", 1991); each may leave the queue from anywhere (Scott and Scherer, "Scalable
 * Queue-Based Spin Locks with Timeout", 2001).
 *
 * The queue is a word: the number of the CPU whose thread stands last, plus one; 0: nobody. Preemption is off meanwhile, so a CPU stands in one
 * queue at most.
 */
#pragma once

#include "kernel/base/types.h"

struct thread;

/*
 * The word of a lock that can be spun for: 0: free, and nobody waits; else flags, and the owner, or something else if LOCK_OWNED is not as in what is to
 * be written.
 */
#define LOCK_OWNED 0x1u /* of those locks whose word says who the owner is only sometimes */
#define LOCK_WAITERS                                                                               \
    0x2u /* somebody is queued: only who holds the lock of the queue changes the owner */
#define LOCK_FLAGS 0x7u

static inline struct thread *lock_owner(uintptr_t word)
{
    return (struct thread *)(word & ~(uintptr_t)LOCK_FLAGS);
}

/*
 * Write `mine` into the lock's word as soon as that is 0. False: it was not worth while to wait any longer: the owner does not run, the CPU is
 * wanted, the time is up, or the lock is free for one of those who sleep. Thread context, nothing held that others spin for.
 */
bool lock_spin(uintptr_t *word, uint32_t *queue, uintptr_t mine);
