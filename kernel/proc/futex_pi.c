/*
 * Futexes that inherit priority (futex(2), "Priority-inheritance futexes"): the word names its owner, so that the kernel knows whom to
 * boost.
 *
 * While nobody waits the kernel knows nothing of a lock. The first that waits makes its state, whose owner is the thread that the word
 * names; the lock goes from its owner straight to the best that waits, which the word then names. When an owner dies the new one
 * cannot be written by the dying thread, in whose memory the word may be elsewhere: it does it itself, and the state stays till then.
 *
 * Everything happens under the lock of the bucket, so that word, state and waiters change together.
 */
#include <linux/futex.h>

#include "kernel/mm/kmalloc.h"
#include "kernel/proc/futex_impl.h"
#include "kernel/proc/process.h"
#include "kernel/sched/pid.h"

static uint32_t tid_of(const struct thread *thread)
{
    return (uint32_t)pid_nr(thread->pid);
}

/* ---- states ---- */

static struct futex_pi *state_find_locked(struct futex_bucket *bucket, const struct futex_key *key)
{
    struct futex_pi *state;

    list_for_each (state, &bucket->locks, node) {
        if (futex_key_equal(&state->key, key)) {
            return state;
        }
    }
    return NULL;
}

bool futex_pi_waits_locked(struct futex_bucket *bucket, const struct futex_key *key)
{
    const struct futex_pi *state = state_find_locked(bucket, key);

    return state != NULL && state->users > 0;
}

static void state_put(struct futex_pi *state)
{
    if (refcount_put(&state->refs)) {
        kfree(state);
    }
}

/* The owner of a state changes in its lists of what it owns: -ESRCH: the new one has ended. */
static int state_own(struct futex_pi *state, struct thread *old, struct thread *new)
{
    int err = 0;

    if (old != NULL) {
        spin_lock(&old->pi.lock);
        list_remove(&state->owned);
        spin_unlock(&old->pi.lock);
    }
    if (new != NULL) {
        spin_lock(&new->pi.lock);
        if (new->futex_ended) {
            err = -ESRCH;
        } else {
            list_push_back(&new->futex_owned, &state->owned);
        }
        spin_unlock(&new->pi.lock);
    }
    return err;
}

/* A state for the lock of `owner`, with no user yet. Bucket locked. -ENOMEM; -ESRCH. */
static int state_create_locked(struct futex_bucket *bucket, const struct futex_key *key,
                               struct thread *owner, struct futex_pi **ret_state)
{
    struct futex_pi *state = kzalloc(sizeof(*state));

    if (state == NULL) {
        return -ENOMEM;
    }
    state->key = *key;
    refcount_init(&state->refs, 1);
    pi_lock_init(&state->lock);
    int err = state_own(state, NULL, owner);
    if (err < 0) {
        kfree(state);
        return err;
    }
    state->lock.owner = owner;
    list_push_back(&bucket->locks, &state->node);
    *ret_state = state;
    return 0;
}

/* A call has nothing to do with the state any more; without any the kernel forgets the lock. Bucket locked. */
static void state_leave_locked(struct futex_pi *state)
{
    if (--state->users > 0) {
        return;
    }
    struct thread *owner = state->lock.owner;
    spin_lock(&state->lock.lock);
    (void)pi_pass_locked(&state->lock); /* nobody waits */
    spin_unlock(&state->lock.lock);
    (void)state_own(state, owner, NULL);
    list_remove(&state->node);
    state_put(state);
}

/* The lock goes to the best that waits, which is woken. Bucket locked. */
static void state_pass_locked(struct futex_pi *state)
{
    spin_lock(&state->lock.lock);
    struct thread *old = state->lock.owner;
    struct pi_waiter *best = pi_best_locked(&state->lock);
    struct thread *new = pi_pass_locked(&state->lock);
    spin_unlock(&state->lock.lock);
    (void)state_own(state, old, new); /* it sleeps in its call, and so has not ended */
    WRITE_ONCE(container_of(best, struct futex_pi_call, waiter)->given, true);
    (void)thread_wake(new);
}

/* ---- owners ---- */

static int owner_find(struct futex_pi_owner *owner, uint32_t tid)
{
    futex_pi_owner_put(owner);
    owner->process = process_find_thread((int)tid, &owner->thread);
    if (owner->process == NULL) {
        return -ESRCH;
    }
    owner->tid = tid;
    if (owner->process->kernel_thread) {
        futex_pi_owner_put(owner);
        return -EPERM;
    }
    return 0;
}

void futex_pi_owner_put(struct futex_pi_owner *owner)
{
    if (owner->tid != 0) {
        thread_put(owner->thread);
        process_put(owner->process);
        owner->tid = 0;
    }
}

/* ---- locking ---- */

/* Change the word from `*value`, which becomes what it is; true: it was changed. -EFAULT through *ret_err. */
static bool word_change(uint32_t __user *uaddr, uint32_t *value, uint32_t wanted, int *ret_err)
{
    uint32_t seen;

    *ret_err = user_cmpxchg_u32(uaddr, *value, wanted, &seen);
    if (*ret_err < 0) {
        return false;
    }
    bool changed = seen == *value;
    *value = seen;
    return changed;
}

/* The thread waits for the state's lock. Bucket locked. */
static int wait_locked(struct futex_pi_call *call, struct futex_pi *state, struct thread *thread)
{
    state->users++;
    spin_lock(&state->lock.lock);
    int err = pi_wait(&state->lock, &call->waiter, thread);
    if (err < 0) {
        state_leave_locked(state);
        return err;
    }
    call->state = state;
    return FUTEX_PI_WAITS;
}

/* Does the word name the state's owner? One that is dying has marked it (futex_robust.c), and is yet to pass the lock on. */
static bool state_fits(const struct futex_pi *state, uint32_t value)
{
    uint32_t named = value & FUTEX_TID_MASK;

    return state->unsaid || named == tid_of(state->lock.owner) ||
           (named == 0 && (value & FUTEX_OWNER_DIED) != 0);
}

int futex_pi_lock_locked(struct futex_pi_call *call, struct thread *thread, uint32_t __user *uaddr,
                         const struct futex_pi_owner *owner, bool try, bool more, uint32_t *ret_tid)
{
    struct futex_bucket *bucket = futex_bucket_of(&call->key);
    struct futex_pi *state = state_find_locked(bucket, &call->key);
    uint32_t value, tid = tid_of(thread);
    int err = futex_load_locked(&value, uaddr);

    while (err == 0) {
        uint32_t named = value & FUTEX_TID_MASK;
        if (named == tid && (state == NULL || !state->unsaid)) {
            return -EDEADLK;
        }
        if (state != NULL && !state_fits(state, value)) {
            return -EINVAL;
        }
        if (state == NULL && named == 0) {
            uint32_t wanted = tid | (value & FUTEX_OWNER_DIED) | (more ? FUTEX_WAITERS : 0);
            if (word_change(uaddr, &value, wanted, &err)) {
                return 0;
            }
            continue;
        }
        if (state == NULL && owner->tid != named) {
            *ret_tid = named;
            return FUTEX_PI_OWNER;
        }
        if (try) {
            return -EWOULDBLOCK;
        }
        if ((value & FUTEX_WAITERS) == 0 &&
            !word_change(uaddr, &value, value | FUTEX_WAITERS, &err)) {
            continue;
        }
        if (state == NULL) {
            err = state_create_locked(bucket, &call->key, owner->thread, &state);
        }
        return err < 0 ? err : wait_locked(call, state, thread);
    }
    return err;
}

/* The new owner writes itself into the word, of which the dead one could not. Bucket locked. -EFAULT. */
static int say_locked(struct futex_pi *state, uint32_t __user *uaddr)
{
    uint32_t value, tid = tid_of(current_thread());
    int err = futex_load_locked(&value, uaddr);

    while (err == 0) {
        bool others = state->lock.waiters.node != NULL;
        uint32_t wanted = tid | FUTEX_OWNER_DIED | (others ? FUTEX_WAITERS : 0);
        if (word_change(uaddr, &value, wanted, &err)) {
            state->unsaid = false;
            return 0;
        }
    }
    return err;
}

int futex_pi_finish(struct futex_pi_call *call, uint32_t __user *uaddr, int result)
{
    struct futex_bucket *bucket = futex_bucket_of(&call->key);
    struct futex_pi *state = call->state;

    futex_bucket_lock(bucket);
    if (!call->given) {
        spin_lock(&state->lock.lock);
        pi_cancel(&state->lock, &call->waiter);
        state_leave_locked(state);
        spin_unlock(&bucket->lock);
        return result;
    }
    result = 0;
    while (state->unsaid && say_locked(state, uaddr) < 0) {
        spin_unlock(&bucket->lock);
        result = futex_fault_in(uaddr);
        futex_bucket_lock(bucket);
        if (result < 0) {
            state->unsaid = false; /* its memory is gone, or read-only: there is no lock any more */
            break;
        }
    }
    state_leave_locked(state);
    spin_unlock(&bucket->lock);
    return result;
}

static int sleep_until_given(const struct futex_pi_call *call, struct time_limit limit)
{
    int err = thread_sleep_within(READ_ONCE(call->given), limit);

    return err == -EINTR ? -ERESTARTNOINTR : err;
}

int futex_pi_names_still(uint32_t __user *uaddr, uint32_t tid)
{
    uint32_t now;
    int err = get_user(now, uaddr);

    return err < 0 ? err : (now & FUTEX_TID_MASK) == tid ? -ESRCH : 0;
}

int futex_pi_owner_wanted(struct futex_pi_owner *owner, uint32_t __user *uaddr, uint32_t tid)
{
    int err = owner_find(owner, tid);

    return err == -ESRCH ? futex_pi_names_still(uaddr, tid) : err;
}

int futex_lock_pi(uint32_t __user *uaddr, bool private, bool try, struct time_limit limit)
{
    struct futex_pi_call call = {0};
    struct futex_pi_owner owner = {0};
    uint32_t tid;
    int err = futex_key(uaddr, private, &call.key);

    while (err == 0) {
        struct futex_bucket *bucket = futex_bucket_of(&call.key);
        futex_bucket_lock(bucket);
        err = futex_pi_lock_locked(&call, current_thread(), uaddr, &owner, try, false, &tid);
        spin_unlock(&bucket->lock);
        if (err == FUTEX_PI_OWNER) {
            err = futex_pi_owner_wanted(&owner, uaddr, tid);
        } else if (err == -ESRCH) {
            err = futex_pi_names_still(uaddr, owner.tid);
        } else if (err == -EFAULT) {
            err = futex_fault_in(uaddr);
        } else {
            break;
        }
    }
    futex_pi_owner_put(&owner);
    return err == FUTEX_PI_WAITS ? futex_pi_finish(&call, uaddr, sleep_until_given(&call, limit))
                                 : err;
}

/* ---- unlocking ---- */

/* Who gets the lock next; there is somebody. Bucket locked. */
static const struct thread *best_waiter(struct futex_pi *state)
{
    spin_lock(&state->lock.lock);
    const struct thread *thread = pi_best_locked(&state->lock)->thread;
    spin_unlock(&state->lock.lock);
    return thread;
}

/* Bucket locked. -EAGAIN: the word has changed meanwhile. */
static int unlock_locked(struct futex_pi *state, uint32_t __user *uaddr)
{
    uint32_t value, wanted = 0;
    int err = futex_load_locked(&value, uaddr);

    if (err < 0) {
        return err;
    }
    if ((value & FUTEX_TID_MASK) != tid_of(current_thread())) {
        return -EPERM;
    }
    if (state != NULL) {
        if (state->lock.owner != current_thread() || state->lock.waiters.node == NULL) {
            return -EINVAL;
        }
        wanted = tid_of(best_waiter(state)) | (state->users > 1 ? FUTEX_WAITERS : 0);
    }
    if (!word_change(uaddr, &value, wanted, &err)) {
        return err < 0 ? err : -EAGAIN;
    }
    if (state != NULL) {
        state_pass_locked(state);
    }
    return 0;
}

int futex_unlock_pi(uint32_t __user *uaddr, bool private)
{
    struct futex_key key;
    int err = futex_key(uaddr, private, &key);

    while (err == 0) {
        struct futex_bucket *bucket = futex_bucket_of(&key);
        futex_bucket_lock(bucket);
        err = unlock_locked(state_find_locked(bucket, &key), uaddr);
        spin_unlock(&bucket->lock);
        if (err == -EFAULT) {
            err = futex_fault_in(uaddr);
        } else if (err == -EAGAIN) {
            err = 0;
        } else {
            return err;
        }
    }
    return err;
}

/* ---- the end of a thread ---- */

/* One of the locks that the thread owns, referenced; NULL: it owns none, and if it ends never will any more. */
static struct futex_pi *owned_first(struct thread *thread)
{
    struct futex_pi *state = NULL;

    spin_lock(&thread->pi.lock);
    if (list_empty(&thread->futex_owned)) {
        thread->futex_ended = READ_ONCE(thread->exiting); /* else it has another image now */
    } else {
        state = list_entry(thread->futex_owned.next, struct futex_pi, owned);
        refcount_get(&state->refs);
    }
    spin_unlock(&thread->pi.lock);
    return state;
}

void futex_exit_pi(struct thread *thread)
{
    struct futex_pi *state;

    while ((state = owned_first(thread)) != NULL) {
        struct futex_bucket *bucket = futex_bucket_of(&state->key);
        futex_bucket_lock(bucket);
        if (state->users > 0 && state->lock.owner == thread) {
            state->unsaid = true;
            state_pass_locked(state);
        }
        spin_unlock(&bucket->lock);
        state_put(state);
    }
}
