/*
 * From waiting for a word to waiting for a lock that inherits priority (futex(2), FUTEX_WAIT_REQUEUE_PI and FUTEX_CMP_REQUEUE_PI): how a
 * condition variable hands its waiters to the mutex without waking them all.
 *
 * The waiter says beforehand which lock it will be given; whoever requeues it takes the lock in its name, or makes it wait there.
 */
#include <linux/futex.h>

#include "kernel/proc/futex_impl.h"

/* ---- waiting ---- */

/* Wait for the word no more. True: somebody has moved us to the lock. */
static bool leave_word(struct futex_waiter *waiter, struct futex_bucket *bucket, bool *ret_woken)
{
    futex_bucket_lock(bucket);
    bool moved = waiter->bucket == NULL;
    *ret_woken = waiter->woken;
    if (!moved && !waiter->woken) {
        list_remove(&waiter->node);
    }
    spin_unlock(&bucket->lock);
    return moved;
}

int futex_wait_requeue_pi(uint32_t __user *uaddr, bool private, uint32_t value, uint32_t bitset,
                          struct time_limit limit, uint32_t __user *uaddr2)
{
    struct futex_pi_call call = {0};
    struct futex_waiter waiter = {.bitset = bitset, .thread = current_thread(), .call = &call};
    bool woken;
    int err = uaddr == uaddr2 || bitset == 0 ? -EINVAL : futex_key(uaddr, private, &waiter.key);

    if (err == 0) {
        err = futex_key(uaddr2, private, &call.key);
    }
    if (err == 0 && futex_key_equal(&waiter.key, &call.key)) {
        err = -EINVAL;
    }
    if (err == 0) {
        err = futex_waiter_join(&waiter, uaddr, value);
    }
    if (err < 0) {
        return err;
    }
    struct futex_bucket *bucket = futex_bucket_of(&waiter.key);
    err = thread_sleep_within(READ_ONCE(call.given) || READ_ONCE(waiter.woken), limit);
    if (leave_word(&waiter, bucket, &woken)) {
        /* It waits for the lock by now: a signal is told as a wake without reason (futex(2)). */
        return futex_pi_finish(&call, uaddr2, err == -EINTR ? -EWOULDBLOCK : err);
    }
    if (woken) {
        return 0; /* the lock was free, and is ours */
    }
    return err == -EINTR ? -ERESTARTNOINTR : err;
}

/* ---- requeueing ---- */

struct requeue {
    struct futex_key key, key2;
    struct futex_bucket *from, *to;
    uint32_t __user *uaddr2;
    struct futex_pi_owner owner;
    int left; /* how many more may be moved */
    int done;
};

/* The first waiter of the word, or NULL. Buckets locked. */
static struct futex_waiter *first_locked(const struct requeue *requeue)
{
    struct futex_waiter *waiter;

    list_for_each (waiter, &requeue->from->waiters, node) {
        if (futex_key_equal(&waiter->key, &requeue->key)) {
            return waiter;
        }
    }
    return NULL;
}

/* The waiter gets the lock or waits for it. Buckets locked. 0, or as futex_pi_lock_locked(). */
static int move_locked(struct requeue *requeue, struct futex_waiter *waiter, uint32_t *ret_tid)
{
    struct futex_pi_call *call = waiter->call;

    if (call == NULL || !futex_key_equal(&call->key, &requeue->key2)) {
        return -EINVAL;
    }
    int err = futex_pi_lock_locked(call, waiter->thread, requeue->uaddr2, &requeue->owner, false,
                                   requeue->left > 0, ret_tid);
    if (err < 0 || err == FUTEX_PI_OWNER) {
        return err;
    }
    list_remove(&waiter->node);
    if (err == FUTEX_PI_WAITS) {
        WRITE_ONCE(waiter->bucket, NULL);
    } else {
        struct thread *thread = waiter->thread;
        WRITE_ONCE(waiter->woken, true);
        (void)thread_wake(thread);
    }
    return 0;
}

/* Move as many as may be. 0: all is done. Buckets locked. */
static int move_all_locked(struct requeue *requeue, uint32_t *ret_tid)
{
    struct futex_waiter *waiter;
    int err = 0;

    while (err == 0 && requeue->left >= 0 && (waiter = first_locked(requeue)) != NULL) {
        err = move_locked(requeue, waiter, ret_tid);
        if (err == 0) {
            requeue->left--;
            requeue->done++;
        }
    }
    return err;
}

int futex_requeue_pi(uint32_t __user *uaddr, uint32_t __user *uaddr2, bool private, int move,
                     uint32_t expected)
{
    struct requeue requeue = {.uaddr2 = uaddr2, .left = move};
    uint32_t tid = 0, now;
    int err = move < 0 ? -EINVAL : futex_key(uaddr, private, &requeue.key);

    if (err == 0) {
        err = futex_key(uaddr2, private, &requeue.key2);
    }
    if (err == 0 && futex_key_equal(&requeue.key, &requeue.key2)) {
        err = -EINVAL;
    }
    requeue.from = futex_bucket_of(&requeue.key);
    requeue.to = futex_bucket_of(&requeue.key2);
    while (err == 0) {
        futex_bucket_lock_two(requeue.from, requeue.to);
        err = futex_load_locked(&now, uaddr);
        bool here = err == 0;
        if (here && now != expected && requeue.done == 0) {
            err = -EAGAIN;
        }
        if (err == 0) {
            err = move_all_locked(&requeue, &tid);
        }
        futex_bucket_unlock_two(requeue.from, requeue.to);
        if (err == FUTEX_PI_OWNER) {
            err = futex_pi_owner_wanted(&requeue.owner, uaddr2, tid);
        } else if (err == -ESRCH) {
            err = futex_pi_names_still(uaddr2, requeue.owner.tid);
        } else if (err == -EFAULT) {
            err = here ? futex_fault_in(uaddr2) : get_user(now, uaddr);
        } else {
            break;
        }
    }
    futex_pi_owner_put(&requeue.owner);
    return requeue.done > 0 ? requeue.done : err;
}
