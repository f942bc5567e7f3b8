/*
 * Sequence counter: readers retry when a writer was active; writers serialise themselves by a lock of their own.
 * Boehm, "Can seqlocks get along with programming language memory models?", 2012.
 */
#pragma once

#include "kernel/base/atomic.h"
#include "kernel/machine/preempt.h"

struct seqcount {
    uint32_t sequence; /* [a] odd while a writer is active */
};

static inline uint32_t seq_read_begin(const struct seqcount *seq)
{
    uint32_t value;
    while (((value = atomic_load_acquire(&seq->sequence)) & 1) != 0) {
        cpu_relax();
    }
    return value;
}

static inline bool seq_read_retry(const struct seqcount *seq, uint32_t start)
{
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
    return atomic_load_relaxed(&seq->sequence) != start;
}

/* The writer holds its lock, with preemption off; with interrupts off too where an interrupt handler reads: it would wait for ever. */
static inline void seq_write_begin(struct seqcount *seq)
{
    atomic_store_relaxed(&seq->sequence, seq->sequence + 1);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

static inline void seq_write_end(struct seqcount *seq)
{
    atomic_store_release(&seq->sequence, seq->sequence + 1);
}
