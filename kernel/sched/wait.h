/*
 * Wait queues: threads that wait for a condition, and callbacks that want to know (poll).
 *
 *     int err = wait_event_interruptible(&queue, ring_used(&ring) > 0);
 *
 * The waker changes the condition first, then calls wait_wake_*(). Locking: queue->lock (spin, irqsave), so wakes may come
 * from interrupt handlers.
 */
#pragma once

#include "kernel/base/errno.h"
#include "kernel/sched/sched.h"

struct wait_queue {
    struct spinlock lock;
    struct list_node waiters; /* [lock] */
};

/* In a key: the waker is about to sleep (WAKE_SYNC). No event of poll(2) or epoll(7) has this bit. */
#define WAIT_SYNC 0x08000000u

struct waiter;
/* Called under queue->lock at each wake; returns true when it counts as one exclusive wake-up. `key` is the poll mask, or 0,
   and WAIT_SYNC beside a mask. */
typedef bool waiter_fn(struct waiter *waiter, uint32_t key);

struct waiter {
    struct list_node node; /* [queue lock] */
    waiter_fn *fn;
    struct thread *thread;
    bool exclusive;
};

#define WAIT_QUEUE_INIT(name)                                                                      \
    {                                                                                              \
        .lock = SPINLOCK_INIT(#name), .waiters = LIST_INIT((name).waiters)                         \
    }

void wait_queue_init(struct wait_queue *queue);

/* Wake all, or all non-exclusive waiters and up to n exclusive ones. Any context. `key` for poll callbacks, 0 for all. */
void wait_wake_all(struct wait_queue *queue, uint32_t key);
void wait_wake_n(struct wait_queue *queue, unsigned n, uint32_t key);
static inline void wait_wake_one(struct wait_queue *queue)
{
    wait_wake_n(queue, 1, 0);
}

/* Cheap test that skips the wake; needs a full barrier after the condition's change, which it includes. */
static inline bool wait_queue_active(struct wait_queue *queue)
{
    atomic_fence();
    return !list_empty(&queue->waiters);
}

void waiter_init(struct waiter *waiter);                   /* wakes the current thread */
void waiter_init_fn(struct waiter *waiter, waiter_fn *fn); /* calls fn */
void wait_add(struct wait_queue *queue, struct waiter *waiter);
void wait_add_exclusive(struct wait_queue *queue, struct waiter *waiter);
void wait_remove(struct wait_queue *queue, struct waiter *waiter);

/*
 * One wait until cond, with the sleeping done by `body`, which may leave the loop by `break` after setting result_. An exclusive waiter may have been
 * chosen by a wake up to when it left the queue: it looks once more then, as nobody else was woken for what came.
 */
#define wait_event_loop_(queue, cond, state, excl, body)                                           \
    ({                                                                                             \
        int result_ = 0;                                                                           \
        if (!(cond)) {                                                                             \
            struct waiter waiter_;                                                                 \
            waiter_init(&waiter_);                                                                 \
            if (excl) {                                                                            \
                wait_add_exclusive((queue), &waiter_);                                             \
            } else {                                                                               \
                wait_add((queue), &waiter_);                                                       \
            }                                                                                      \
            for (;;) {                                                                             \
                thread_prepare_sleep(state);                                                       \
                if (cond) {                                                                        \
                    break;                                                                         \
                }                                                                                  \
                body;                                                                              \
            }                                                                                      \
            thread_finish_sleep();                                                                 \
            wait_remove((queue), &waiter_);                                                        \
            if ((excl) && unlikely(result_ != 0) && (cond)) {                                      \
                result_ = 0;                                                                       \
            }                                                                                      \
        }                                                                                          \
        result_;                                                                                   \
    })

#define wait_signal_or_(sleep)                                                                     \
    if (thread_signal_pending(current_thread())) {                                                 \
        result_ = -ERESTARTSYS;                                                                    \
        break;                                                                                     \
    }                                                                                              \
    sleep

/* Not interrupted by signals. Thread context. */
#define wait_event(queue, cond)                                                                    \
    (void)wait_event_loop_(queue, cond, THREAD_UNINTERRUPTIBLE, false, schedule())
/* 0 when cond became true, -ERESTARTSYS when a signal is pending. */
#define wait_event_interruptible(queue, cond)                                                      \
    wait_event_loop_(queue, cond, THREAD_SLEEPING, false, wait_signal_or_(schedule()))
#define wait_event_interruptible_exclusive(queue, cond)                                            \
    wait_event_loop_(queue, cond, THREAD_SLEEPING, true, wait_signal_or_(schedule()))
/* The same until an absolute deadline: -ETIMEDOUT when it passed with cond false. KTIME_MAX: no limit. */
#define wait_interruptible_until_(queue, cond, excl, deadline)                                     \
    wait_event_loop_(queue, cond, THREAD_SLEEPING, excl,                                           \
                     wait_signal_or_(if (schedule_until(deadline)) {                               \
                         result_ = (cond) ? 0 : -ETIMEDOUT;                                        \
                         break;                                                                    \
                     }))
#define wait_event_interruptible_until(queue, cond, deadline)                                      \
    wait_interruptible_until_(queue, cond, false, deadline)
#define wait_event_interruptible_exclusive_until(queue, cond, deadline)                            \
    wait_interruptible_until_(queue, cond, true, deadline)
/* Not interrupted by signals, but until an absolute deadline: 0, or -ETIMEDOUT when it passed with cond false. */
#define wait_event_until(queue, cond, deadline)                                                    \
    wait_event_loop_(                                                                              \
        queue, cond, THREAD_UNINTERRUPTIBLE, false, if (schedule_until(deadline)) {                \
            result_ = (cond) ? 0 : -ETIMEDOUT;                                                     \
            break;                                                                                 \
        })

/*
 * For those who are woken one by one, without a wait queue: sleep until `cond`, which is made true before thread_wake(). 0; -EINTR: a
 * signal is pending; -ETIMEDOUT: the absolute monotonic `deadline` has passed, KTIME_MAX: none. With an error it may have come true
 * meanwhile: the caller looks under the lock that guards it. Thread context, nothing held.
 */
#define thread_sleep_for(cond, deadline) thread_sleep_or_(cond, schedule_until(deadline))
/* The same with a struct time_limit. */
#define thread_sleep_within(cond, limit) thread_sleep_or_(cond, schedule_within(limit))
#define thread_sleep_or_(cond, sleep_until_late)                                                   \
    ({                                                                                             \
        int result_ = 0;                                                                           \
        for (;;) {                                                                                 \
            thread_prepare_sleep(THREAD_SLEEPING);                                                 \
            if (cond) {                                                                            \
                break;                                                                             \
            }                                                                                      \
            if (thread_signal_pending(current_thread())) {                                         \
                result_ = -EINTR;                                                                  \
                break;                                                                             \
            }                                                                                      \
            if (sleep_until_late) {                                                                \
                result_ = -ETIMEDOUT;                                                              \
                break;                                                                             \
            }                                                                                      \
        }                                                                                          \
        thread_finish_sleep();                                                                     \
        result_;                                                                                   \
    })
