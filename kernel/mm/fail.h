/*
 * Allocations that fail on purpose, so that the paths behind a failure run: fail_page_alloc and failslab of Linux
 * (Documentation/fault-injection/fault-injection.rst), set up by kernel parameters (failslab=INTERVAL,PROBABILITY,SPACE,TIMES), in
 * /sys/kernel/debug/{fail_page_alloc,failslab} and in /proc/PID/{make-it-fail,fail-nth}.
 *
 * Only in debug and sanitizer builds; elsewhere the questions below are constants.
 */
#pragma once

#include "kernel/base/types.h"

#if defined(CONFIG_DEBUG) || defined(CONFIG_KASAN)
#define CONFIG_FAIL
#endif

/* One kind of allocation. Settings are single words, written at will. */
struct fail_point {
    const char *name;
    bool armed;           /* [a] probability or anybody's fail-nth is set: look further */
    uint32_t probability; /* [a] of 100 */
    uint32_t interval;    /* [a] of the allocations considered, only each so many-th */
    int32_t times;        /* [a] failures left; -1: no end */
    uint32_t space;       /* [a] bytes that may still be had before failures begin */
    uint32_t verbose;     /* [a] 1: a line for each, 2: and a backtrace */
    bool task_filter;     /* [a] only for threads with make-it-fail, and not in interrupts */
    bool ignore_waiting;  /* [a] not those that may wait for reclaim */
    uint32_t min_order;   /* [a] not smaller blocks */
    uint32_t considered;  /* [a] for interval */
    uint64_t seed;        /* [a] of the sequence of chances: the same one, the same failures */
};

/* What a thread wants, kept by the room that has threads. */
struct fail_task {
    bool make_it_fail; /* [a] */
    uint32_t nth;      /* [a] this allocation of its own fails, 1 is the next; 0: none */
};

#ifdef CONFIG_FAIL

extern struct fail_point fail_page_alloc, failslab;

/* Set at boot by kernel/sched: the current thread's wishes; NULL in interrupts. */
extern struct fail_task *(*fail_task_hook)(void);

/* Is this allocation to fail? Any context. */
bool fail_decide(struct fail_point *point, size_t size_bytes);
/* After probability was set. */
void fail_arm(void);
/* The thread wants its allocation number `nth` to fail. */
void fail_set_nth(struct fail_task *task, uint32_t nth);

static inline bool fail_pages(unsigned order, bool may_wait)
{
    return unlikely(__atomic_load_n(&fail_page_alloc.armed, __ATOMIC_RELAXED)) &&
           order >= fail_page_alloc.min_order && !(may_wait && fail_page_alloc.ignore_waiting) &&
           fail_decide(&fail_page_alloc, (size_t)4096 << order);
}

static inline bool fail_object(size_t size_bytes)
{
    return unlikely(__atomic_load_n(&failslab.armed, __ATOMIC_RELAXED)) &&
           fail_decide(&failslab, size_bytes);
}

#else

static inline bool fail_pages(unsigned order, bool may_wait)
{
    (void)order, (void)may_wait;
    return false;
}

static inline bool fail_object(size_t size_bytes)
{
    (void)size_bytes;
    return false;
}

#endif
