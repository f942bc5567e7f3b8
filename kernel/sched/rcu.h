/*
 * What the files of read-copy-update share: private to kernel/sched. The interface is kernel/sync/rcu.h.
 */
#pragma once

#include "kernel/core/time.h"
#include "kernel/sync/rcu.h"
#include "kernel/sync/rcu_tree.h"

extern struct rcu_tree rcu_tree;
extern uint64_t
    rcu_gp_done; /* [a] grace periods that are over; rcu_gp_started - 1 while one runs */

/* The first grace period that begins after now, and so covers whatever readers there are. Full barrier. */
uint64_t rcu_gp_next(void);
/* See that grace period `gp` comes, and soon with `hurry`. Any context but under a run queue's lock. */
void rcu_gp_request(uint64_t gp, bool hurry);
static inline bool rcu_gp_is_done(uint64_t gp)
{
    return atomic_load_acquire(&rcu_gp_done) >= gp;
}

/* rcu_call.c: CPU `id` gets its list of callbacks and the thread that calls them. -ENOMEM. */
int rcu_calls_prepare(unsigned id);
/* Callbacks that were queued before there were threads. */
void rcu_calls_start(void);
/* The callbacks of a CPU that went become this CPU's. */
void rcu_calls_adopt(unsigned dead);
/* A grace period ended: wake the threads whose callbacks waited for it. */
void rcu_calls_wake(void);
void rcu_calls_stats(struct rcu_stats *stats);
