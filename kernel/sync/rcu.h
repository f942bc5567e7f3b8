/*
 * Read-copy-update: readers that take no lock and write nothing shared, updaters that wait until every reader that may still see
 * the old version is gone (McKenney and Slingwine, "Read-copy update: using execution history to solve concurrency problems",
 * 1998; the preemptible form: Guniguntala, McKenney et al., "The read-copy-update mechanism for supporting real-time
 * applications on shared-memory multiprocessor systems with Linux", IBM Systems Journal 47:2, 2008).
 *
 *     rcu_read_lock();                                   lock(&table_lock);
 *     entry = rcu_dereference(table[i]);                 old = table[i];
 *     if (entry != NULL) { use(entry); }                 rcu_assign_pointer(table[i], new);
 *     rcu_read_unlock();                                 unlock(&table_lock);
 *                                                        rcu_free(old, rcu);
 *
 * A reader may be preempted, and may not sleep of its own accord. Sections nest. Interrupt handlers and code with preemption or
 * interrupts off are readers too: rcu_dereference() is enough there. NMI handlers are not, unless they interrupt a reader.
 *
 * A grace period is over when each CPU has been seen outside of any read section since it began, and each thread that was switched
 * out inside of one has left it. The machinery is in kernel/sched (rcu.c, rcu_call.c); who waits for whom is kept in rcu_tree.h.
 */
#pragma once

#include "kernel/base/atomic.h"
#include "kernel/machine/preempt.h"

struct rcu_head;
typedef void rcu_fn(struct rcu_head *head);

/* In an object that is freed, or otherwise let go, after a grace period. */
struct rcu_head {
    struct rcu_head *next; /* [list lock] */
    rcu_fn *fn;            /* a small number: distance from the start of an object of kmalloc */
};

/* ---- readers: any context but NMI ---- */

/* The way out for a thread that was switched out meanwhile. */
void rcu_read_unlock_slow(void);

static inline void rcu_read_lock(void)
{
    rcu_nesting_inc();
    barrier();
}

static inline void rcu_read_unlock(void)
{
    barrier();
    if (unlikely(rcu_nesting_dec_and_test())) {
        rcu_read_unlock_slow();
    }
}

/* Inside rcu_read_lock(). */
static inline bool rcu_read_held(void)
{
    return (rcu_nesting() & ~RCU_NOT_BLOCKED) != 0;
}

/* Inside rcu_read_lock(), or where preemption or interrupts are off. */
static inline bool rcu_reading(void)
{
    return rcu_read_held() || in_atomic();
}

#ifdef CONFIG_LOCKDEP
/* Report, once per place, that a pointer is followed where its object may go at any time. */
void rcu_fail_not_reading(const char *what, const char *file, int line);
#define rcu_check_(what, cond)                                                                     \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            rcu_fail_not_reading((what), __FILE__, __LINE__);                                      \
        }                                                                                          \
    } while (0)
#else
#define rcu_check_(what, cond) ((void)0)
#endif

/* The pointer at lvalue `p`, whose object lives at least until the end of the read section. */
#define rcu_dereference(p)                                                                         \
    ({                                                                                             \
        rcu_check_(#p, rcu_reading());                                                             \
        __atomic_load_n(&(p), __ATOMIC_ACQUIRE); /* a plain load where the CPU orders loads */     \
    })
/* The same for readers that may hold a lock instead: `cond` says that the caller does. */
#define rcu_dereference_check(p, cond)                                                             \
    ({                                                                                             \
        rcu_check_(#p, rcu_reading() || (cond));                                                   \
        __atomic_load_n(&(p), __ATOMIC_ACQUIRE);                                                   \
    })
/* The pointer, not to be followed. */
#define rcu_access_pointer(p) __atomic_load_n(&(p), __ATOMIC_RELAXED)
/* Publish an object that has been filled. The caller serialises updaters. */
#define rcu_assign_pointer(p, v) __atomic_store_n(&(p), (v), __ATOMIC_RELEASE)

/* ---- updaters ---- */

/*
 * Call fn(head) after a grace period, in a thread of the kernel. It may take mutexes, but others wait behind it. Any context but
 * NMI. Callbacks are gathered for some milliseconds, so that a grace period serves many.
 */
void rcu_call(struct rcu_head *head, rcu_fn *fn);

#define RCU_FREE_OFFSET_MAX 4096u
void rcu_free_offset(struct rcu_head *head, size_t offset);
/* kfree(ptr) after a grace period; `member` is a struct rcu_head in its first page. Any context but NMI; NULL is fine. */
#define rcu_free(ptr, member)                                                                      \
    do {                                                                                           \
        __typeof__(ptr) rcu_ptr_ = (ptr);                                                          \
        _Static_assert(offsetof(__typeof__(*rcu_ptr_), member) < RCU_FREE_OFFSET_MAX,              \
                       "too far from the object's start");                                         \
        if (rcu_ptr_ != NULL) {                                                                    \
            rcu_free_offset(&rcu_ptr_->member, offsetof(__typeof__(*rcu_ptr_), member));           \
        }                                                                                          \
    } while (0)

/* Wait until all read sections that have begun are over. Thread context, outside of read sections. */
void rcu_synchronize(void);
/* The same in microseconds instead of milliseconds, by interrupting the CPUs that are in the way. */
void rcu_synchronize_expedited(void);
/* Wait until every callback that was queued before has run. Thread context. */
void rcu_barrier(void);

/* ---- hooks ---- */

extern uint64_t rcu_gp_started; /* [a] grace periods that have begun; see kernel/sched/rcu.c */
void rcu_note_slow(void);

/* The scheduler passes, whether it will switch or not. Interrupts off, no run queue locked. */
static inline void rcu_note_context_switch(void)
{
    if (unlikely(rcu_nesting() != RCU_NOT_BLOCKED ||
                 this_cpu->rcu_seen != atomic_load_relaxed(&rcu_gp_started))) {
        rcu_note_slow();
    }
}

/* The nesting goes with the thread: saved before the switch of stacks, put back after it, before interrupts are on. */
static inline uint32_t rcu_switch_save(void)
{
    return rcu_nesting();
}

static inline void rcu_switch_restore(uint32_t saved)
{
    this_cpu->rcu_nesting = saved;
}

/* The tick, and requests by other CPUs: this CPU was interrupted. Hard interrupt context. */
void rcu_interrupted_slow(void);
static inline void rcu_tick(void)
{
    if (unlikely(this_cpu->rcu_seen != atomic_load_relaxed(&rcu_gp_started))) {
        rcu_interrupted_slow();
    }
}

/*
 * Around waiting for an interrupt with nothing to do, interrupts off at entry: grace periods do not wait for this CPU, and leave it
 * alone. The first interrupt ends it (rcu_irq_enter, or the same in the machine's entry code).
 */
void rcu_idle_enter(void);
void rcu_idle_exit(void);
static inline void rcu_irq_enter(void)
{
    if (unlikely((this_cpu->rcu_idle & RCU_IDLE) != 0)) {
        rcu_idle_exit();
    }
}

/* Boot: the calling CPU takes part. */
void rcu_init(void);
/* Boot, in a thread: grace periods from here on; before, there is nobody to wait for. */
void rcu_start(void);
/* Steps of a CPU's way up and down (kernel/core/hotplug.h). */
int rcu_cpu_prepare(unsigned id);
void rcu_cpu_online(unsigned id);
void rcu_cpu_offline(unsigned id);
void rcu_cpu_dead(unsigned id);

struct rcu_stats {
    uint64_t started, done;  /* grace periods */
    uint64_t expedited;      /* of them hurried */
    uint64_t pokes;          /* CPUs interrupted for one */
    uint64_t queued, called; /* callbacks */
    uint64_t stalls;         /* reports of readers that do not end */
};
void rcu_stats(struct rcu_stats *ret_stats);
