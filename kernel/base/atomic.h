/*
 * Atomic operations on plain integers: thin names over the compiler's builtins, so that each use says its memory order.
 * A member that is accessed this way carries the letter [a] in its struct.
 */
#pragma once

#include "kernel/base/types.h"

#define atomic_load_relaxed(p)     __atomic_load_n((p), __ATOMIC_RELAXED)
#define atomic_load_acquire(p)     __atomic_load_n((p), __ATOMIC_ACQUIRE)
#define atomic_store_relaxed(p, v) __atomic_store_n((p), (v), __ATOMIC_RELAXED)
#define atomic_store_release(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
#define atomic_exchange(p, v)      __atomic_exchange_n((p), (v), __ATOMIC_ACQ_REL)
/* Return the value before. */
#define atomic_fetch_add_relaxed(p, v) __atomic_fetch_add((p), (v), __ATOMIC_RELAXED)
#define atomic_fetch_sub_relaxed(p, v) __atomic_fetch_sub((p), (v), __ATOMIC_RELAXED)
#define atomic_fetch_add(p, v)         __atomic_fetch_add((p), (v), __ATOMIC_ACQ_REL)
#define atomic_fetch_sub(p, v)         __atomic_fetch_sub((p), (v), __ATOMIC_ACQ_REL)
#define atomic_fetch_or(p, v)          __atomic_fetch_or((p), (v), __ATOMIC_ACQ_REL)
#define atomic_fetch_and(p, v)         __atomic_fetch_and((p), (v), __ATOMIC_ACQ_REL)
/* *expected is updated on failure. */
#define atomic_cas(p, expected, desired)                                                           \
    __atomic_compare_exchange_n((p), (expected), (desired), false, __ATOMIC_ACQ_REL,               \
                                __ATOMIC_ACQUIRE)
#define atomic_fence() __atomic_thread_fence(__ATOMIC_SEQ_CST)
