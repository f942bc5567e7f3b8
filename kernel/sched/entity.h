/*
 * What a scheduling class keeps in each thread. Everything here is protected by the run queue's lock of the thread's CPU.
 */
#pragma once

#include "kernel/base/list.h"
#include "kernel/base/rbtree.h"
#include "kernel/core/timer.h"

/* Fair: see fair.c. Virtual times are ns of CPU time at weight 1024. */
struct fair_entity {
    struct rb_node node;   /* in the tree by `deadline`, while it waits */
    uint64_t vruntime;     /* service it has had */
    uint64_t deadline;     /* virtual: by then its current request of `slice` is to be served */
    uint64_t settled;      /* virtual, while it runs: until then its equals do not preempt it */
    uint64_t min_vruntime; /* the smallest one in the subtree below `node` */
    int64_t lag;           /* what it was owed, in virtual time, when it left */
    uint64_t slice;        /* ns of CPU time that it asks for at a time */
    uint64_t request;      /* the same as virtual time */
    uint32_t weight;
    uint32_t inverse; /* 2^32 / weight */
};

/* First in first out, and round robin: see rt.c. */
struct rt_entity {
    struct list_node node; /* among the waiting ones of its priority */
    ktime_t slice_left;    /* of a round */
    ktime_t ran;           /* without having slept, for RLIMIT_RTTIME; read by its CPU's tick */
    bool to_tail;          /* its turn is over: behind its equals when it leaves the CPU */
};

/* Deadline: see deadline.c. */
struct dl_entity {
    struct rb_node node;                /* in the tree by `absolute`, while it waits */
    uint64_t runtime, deadline, period; /* parameters, ns; runtime 0: none */
    uint64_t bandwidth;                 /* [dl_lock] counted as taken for it */
    uint32_t flags;                     /* SCHED_FLAG_DL_OVERRUN, SCHED_FLAG_RECLAIM */
    int64_t left;                       /* budget of this period */
    ktime_t absolute;                   /* deadline of this period; 0: there was none yet */
    ktime_t own;                        /* what `absolute` is without what is inherited */
    struct timer timer;                 /* the next budget comes */
    bool throttled;                     /* has used up its budget; `timer` brings the next */
    bool waits;                         /* throttled, and wants the CPU as soon as it has some */
    bool yielded;                       /* gave up what was left */
    bool overrun;                       /* [a] used more than its budget, and wants to be told so */
};
