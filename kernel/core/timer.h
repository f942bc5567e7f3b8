/*
 * One-shot timers, per-CPU, ordered by deadline in a red-black tree with its first node cached: O(log n), and O(1) to ask for the
 * next. Callbacks run in hard interrupt context with interrupts off.
 *
 * A timer may have slack: then it fires at its deadline at the latest, and before, from `earliest` on, when an interrupt comes anyway.
 *
 * Locks: the queue of the CPU a timer is armed on has a spinlock; a timer's members are protected by it [q].
 */
#pragma once

#include "kernel/base/rbtree.h"
#include "kernel/core/percpu.h"
#include "kernel/machine/clock.h"

struct timer;
typedef void timer_fn(struct timer *timer);

struct timer {
    struct rb_node node; /* [q] */
    ktime_t deadline;    /* [q] monotonic ns: then at the latest; read by anyone */
    ktime_t earliest;    /* [q] and not before */
    timer_fn *fn;        /* [I] */
    uint32_t cpu;        /* [q] queue it is on, or was on last */
    bool armed;          /* [q] written under the lock, read by anyone */
};

void timer_init(struct timer *timer, timer_fn *fn);
/* (Re)arm for an absolute monotonic time, or the time between two; a passed time fires at once. Any context. */
void timer_arm_range(struct timer *timer, ktime_t earliest, ktime_t deadline);
static inline void timer_arm(struct timer *timer, ktime_t deadline)
{
    timer_arm_range(timer, deadline, deadline);
}
/* Returns whether it was armed. Does not wait for a running callback. Any context. */
bool timer_cancel(struct timer *timer);
/* Cancel and wait until a callback on another CPU has ended. Not from the callback itself. */
bool timer_cancel_sync(struct timer *timer);
static inline bool timer_is_armed(const struct timer *timer)
{
    return __atomic_load_n(&timer->armed, __ATOMIC_RELAXED);
}
/* Next deadline on this CPU, KTIME_MAX when none; interrupts off. */
ktime_t timer_next_deadline(void);
void timers_init(void);
DECLARE_PER_CPU(bool, timers_held); /* own CPU, interrupts off */
void timers_go_on(void);            /* for timers_release() */
/* For the scheduler, interrupts off: timers that are due and were held back for the sake of a section without preemption go on. */
static inline void timers_release(void)
{
    if (unlikely(*this_cpu_ptr(timers_held))) {
        timers_go_on();
    }
}
/* The running CPU leaves (struct cpu_step): another one serves its timers. Interrupts off; the CPU is not online any more. */
void timers_cpu_offline(unsigned id);
