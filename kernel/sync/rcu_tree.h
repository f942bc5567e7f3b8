/*
 * Whom a grace period still waits for: CPUs that have not passed through a quiescent state since it began, and threads that were
 * switched out inside a read section (readers left behind).
 *
 * CPUs report to a leaf of 16, leaves report to the root, so that 256 CPUs meet at no single lock. Each question "is it over now?" is
 * answered with true exactly once for each grace period, to the one who reported last.
 *
 * Interrupts may be on or off everywhere. Locking: leaf->lock (spin, irqsave), never two; the root is one atomic word.
 *
 * Locks:  l leaf lock   a atomic   g the thread that runs grace periods   o only the reader itself (its CPU, interrupts off)
 */
#pragma once

#include "kernel/base/list.h"
#include "kernel/machine/percpu.h"
#include "kernel/sync/spinlock.h"

#define RCU_LEAF_CPUS 16u
#define RCU_LEAVES    ((MAX_CPUS + RCU_LEAF_CPUS - 1) / RCU_LEAF_CPUS)

struct rcu_leaf {
    struct spinlock lock;
    uint32_t online;             /* [l] CPUs that exist, a bit each */
    uint32_t waiting;            /* [l] those that have not reported yet */
    uint32_t wanted;             /* [l] those with callbacks that wait for a grace period */
    bool complete;               /* [l] reported to the root */
    uint64_t gp;                 /* [l] grace period that `waiting` is about */
    struct list_node readers;    /* [l] left behind, and in the way of this grace period */
    struct list_node latecomers; /* [l] left behind; only later ones wait for them */
} __aligned(64);

/* Part of each thread. */
struct rcu_reader {
    struct list_node node; /* [l] */
    struct rcu_leaf *leaf; /* [o] where it was left behind; NULL: nowhere */
};

struct rcu_tree {
    struct rcu_leaf leaves[RCU_LEAVES];
    uint32_t waiting __aligned(64); /* [a] leaves that are not complete */
};

void rcu_tree_init(struct rcu_tree *tree);

/* A CPU comes; it begins in a quiescent state. A CPU goes: true when that completes the grace period. */
void rcu_tree_cpu_online(struct rcu_tree *tree, unsigned cpu);
bool rcu_tree_cpu_offline(struct rcu_tree *tree, unsigned cpu);

/* Says of a CPU that need not be waited for that it is so. Called under the leaf's lock. */
typedef bool rcu_quiet_fn(unsigned cpu);

/*
 * Begin grace period number `gp`; the one before is complete. The caller has made the number known before, with a full barrier. True: there is
 * nobody to wait for.
 */
bool rcu_tree_start(struct rcu_tree *tree, uint64_t gp, rcu_quiet_fn *is_quiet);
/* Look at all CPUs that have not reported, and report for those that are quiet. True: that completed it. */
bool rcu_tree_scan(struct rcu_tree *tree, rcu_quiet_fn *is_quiet);
/*
 * CPU `cpu`, which is the running one, passes a quiescent state; `reader`, if not NULL, is a thread that is inside a read section and is left
 * behind (again: it may be already). *ret_gp: the grace period it has reported to. True: that completed it.
 */
bool rcu_tree_pass(struct rcu_tree *tree, unsigned cpu, struct rcu_reader *reader,
                   uint64_t *ret_gp);
/* A reader that was left behind is done. True: that completed the grace period. */
bool rcu_tree_reader_done(struct rcu_tree *tree, struct rcu_reader *reader);
static inline bool rcu_tree_complete(const struct rcu_tree *tree)
{
    return atomic_load_acquire(&tree->waiting) == 0;
}

/* Remember that CPU `cpu` wants to know when a grace period ends; and take the CPUs of one leaf for which `ready` says yes. */
void rcu_tree_want(struct rcu_tree *tree, unsigned cpu);
uint32_t rcu_tree_take_wanted(struct rcu_tree *tree, unsigned leaf, bool (*ready)(unsigned cpu));
