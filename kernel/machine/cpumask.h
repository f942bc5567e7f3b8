/*
 * Sets of CPUs: one bit for each id. The plain functions want a set that is the caller's alone, or a lock; the atomic ones (set, clear,
 * exchange of one bit) may be used by all CPUs at once, and order memory as their names say.
 */
#pragma once

#include "kernel/base/atomic.h"
#include "kernel/base/types.h"
#include "kernel/machine/percpu.h"

#define CPUMASK_WORDS (MAX_CPUS / 64)

struct cpumask {
    uint64_t bits[CPUMASK_WORDS];
};

#define CPUMASK_NONE                                                                               \
    (struct cpumask)                                                                               \
    {                                                                                              \
        {                                                                                          \
            0                                                                                      \
        }                                                                                          \
    }

static inline bool cpumask_test(const struct cpumask *mask, unsigned id)
{
    return (atomic_load_relaxed(&mask->bits[id / 64]) >> id % 64 & 1) != 0;
}

static inline void cpumask_set(struct cpumask *mask, unsigned id)
{
    mask->bits[id / 64] |= BIT(id % 64);
}

static inline void cpumask_clear(struct cpumask *mask, unsigned id)
{
    mask->bits[id / 64] &= ~BIT(id % 64);
}

/* Full barriers, as all read-modify-write instructions of x86 are; each returns what the bit was. */
static inline bool cpumask_set_atomic(struct cpumask *mask, unsigned id)
{
    return (__atomic_fetch_or(&mask->bits[id / 64], BIT(id % 64), __ATOMIC_SEQ_CST) >> id % 64 &
            1) != 0;
}

static inline bool cpumask_clear_atomic(struct cpumask *mask, unsigned id)
{
    return (__atomic_fetch_and(&mask->bits[id / 64], ~BIT(id % 64), __ATOMIC_SEQ_CST) >> id % 64 &
            1) != 0;
}

static inline void cpumask_set_all(struct cpumask *mask, unsigned ncpus)
{
    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        unsigned first = i * 64;
        mask->bits[i] = ncpus >= first + 64 ? ~0ull : ncpus > first ? BIT(ncpus - first) - 1 : 0;
    }
}

static inline bool cpumask_empty(const struct cpumask *mask)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        all |= atomic_load_relaxed(&mask->bits[i]);
    }
    return all == 0;
}

static inline bool cpumask_equal(const struct cpumask *a, const struct cpumask *b)
{
    uint64_t differ = 0;

    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        differ |= atomic_load_relaxed(&a->bits[i]) ^ atomic_load_relaxed(&b->bits[i]);
    }
    return differ == 0;
}

static inline unsigned cpumask_weight(const struct cpumask *mask)
{
    unsigned n = 0;

    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        n += (unsigned)__builtin_popcountll(atomic_load_relaxed(&mask->bits[i]));
    }
    return n;
}

/* ret = a & b, a | b, a & ~b; `ret` may be one of them. True: something is in it. */
static inline bool cpumask_and(struct cpumask *ret, const struct cpumask *a,
                               const struct cpumask *b)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        ret->bits[i] = atomic_load_relaxed(&a->bits[i]) & atomic_load_relaxed(&b->bits[i]);
        all |= ret->bits[i];
    }
    return all != 0;
}

static inline bool cpumask_or(struct cpumask *ret, const struct cpumask *a, const struct cpumask *b)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        ret->bits[i] = atomic_load_relaxed(&a->bits[i]) | atomic_load_relaxed(&b->bits[i]);
        all |= ret->bits[i];
    }
    return all != 0;
}

static inline bool cpumask_andnot(struct cpumask *ret, const struct cpumask *a,
                                  const struct cpumask *b)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        ret->bits[i] = atomic_load_relaxed(&a->bits[i]) & ~atomic_load_relaxed(&b->bits[i]);
        all |= ret->bits[i];
    }
    return all != 0;
}

/* The two have a CPU in common. */
static inline bool cpumask_intersects(const struct cpumask *a, const struct cpumask *b)
{
    uint64_t all = 0;

    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        all |= atomic_load_relaxed(&a->bits[i]) & atomic_load_relaxed(&b->bits[i]);
    }
    return all != 0;
}

/* All CPUs of `inner` are in `mask`. */
static inline bool cpumask_covers(const struct cpumask *mask, const struct cpumask *inner)
{
    uint64_t missing = 0;

    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        missing |= atomic_load_relaxed(&inner->bits[i]) & ~atomic_load_relaxed(&mask->bits[i]);
    }
    return missing == 0;
}

/* The first CPU of the set with an id of at least `from`; MAX_CPUS: there is none. */
static inline unsigned cpumask_next(const struct cpumask *mask, unsigned from)
{
    for (unsigned i = from / 64; i < CPUMASK_WORDS; i++) {
        uint64_t word = atomic_load_relaxed(&mask->bits[i]);
        if (i == from / 64) {
            word &= ~0ull << from % 64;
        }
        if (word != 0) {
            return i * 64 + (unsigned)__builtin_ctzll(word);
        }
    }
    return MAX_CPUS;
}

static inline unsigned cpumask_first(const struct cpumask *mask)
{
    return cpumask_next(mask, 0);
}

#define for_each_cpu_in(id, mask)                                                                  \
    for ((id) = cpumask_first(mask); (id) < MAX_CPUS; (id) = cpumask_next((mask), (id) + 1))
