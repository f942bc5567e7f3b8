/*
 * What futex.c (words), futex_pi.c (locks that inherit priority) and futex_requeue_pi.c (from a word to such a lock) share.
 *
 * Locks: b the bucket's lock. Two buckets: the one at the lower address first. Order: bucket -> pi_lock -> thread's pi.lock.
 */
#pragma once

#include "kernel/machine/user.h"
#include "kernel/proc/futex.h"
#include "kernel/sched/pi.h"
#include "kernel/sched/wait.h"

/* A waiter holds its space, but of shared memory nothing: another thread may unmap it meanwhile, and other memory come in its place. */
struct futex_key {
    uint64_t what; /* address of a struct vmspace, or pagecache_number() */
    uint64_t offset;
};

struct futex_bucket {
    struct spinlock lock;
    struct list_node waiters; /* [b] in the order they came */
    struct list_node locks;   /* [b] struct futex_pi */
} __cacheline;

/* One word that a thread waits for; what is [b] changes under the lock of the bucket that the waiter is in. */
struct futex_waiter {
    struct list_node node;       /* [b] */
    struct futex_bucket *bucket; /* [b] read without it to find the lock */
    struct futex_key key;        /* [b] */
    uint32_t bitset;             /* [I] */
    bool woken;                  /* [b] written; read without it by the waiter itself */
    struct thread *thread;       /* [I] */
    struct futex_pi_call *call;  /* [I] the lock that it is to have next; NULL: none */
};

struct futex_bucket *futex_bucket_of(const struct futex_key *key);
void futex_bucket_lock(struct futex_bucket *bucket);
void futex_bucket_lock_two(struct futex_bucket *one, struct futex_bucket *two);
void futex_bucket_unlock_two(struct futex_bucket *one, struct futex_bucket *two);
bool futex_key_equal(const struct futex_key *one, const struct futex_key *two);
/* -EINVAL: not aligned; -EFAULT. May sleep. */
int futex_key(uint32_t __user *uaddr, bool private, struct futex_key *ret_key);
/* Read the word with a bucket locked: preemption is off, so a fault is not resolved but told. */
int futex_load_locked(uint32_t *ret_value, const uint32_t __user *uaddr);
/* Make the word's page present and writable. May sleep. */
int futex_fault_in(uint32_t __user *uaddr);
/* Join the bucket of its key if the word still has `value`. -EAGAIN: it has not; -EFAULT. */
int futex_waiter_join(struct futex_waiter *waiter, uint32_t __user *uaddr, uint32_t value);

/*
 * A lock in user memory that somebody waits for, or has just been given and has yet to say so in the word.
 */
struct futex_pi {
    struct list_node node;  /* [b] */
    struct list_node owned; /* [owner's pi.lock] in thread->futex_owned */
    struct futex_key key;   /* [I] */
    struct pi_lock lock;
    struct refcount refs; /* its users' together, and who looks at it at a thread's end */
    uint32_t users;       /* [b] calls that wait for it or were given it */
    bool unsaid; /* [b] given by a thread that died: the word does not say yet who owns it */
};

/* A call that wants a lock. */
struct futex_pi_call {
    struct pi_waiter waiter;
    struct futex_key key;   /* [I] the lock's */
    struct futex_pi *state; /* [b] what it waits for or was given; NULL: neither */
    bool given;             /* [b] written; read without it by the call itself */
};

/* The owner that a word names, looked up without a bucket locked; give it to futex_pi_owner_put() at the end. */
struct futex_pi_owner {
    uint32_t tid; /* 0: none yet */
    struct process *process;
    struct thread *thread;
};
/* Look for the owner that the word was seen to name. -ESRCH: it still names nobody; -EFAULT. May sleep. */
int futex_pi_owner_wanted(struct futex_pi_owner *owner, uint32_t __user *uaddr, uint32_t tid);
/* The owner has ended. -ESRCH: the word still names it; 0: it has marked the word meanwhile, look again; -EFAULT. May sleep. */
int futex_pi_names_still(uint32_t __user *uaddr, uint32_t tid);
void futex_pi_owner_put(struct futex_pi_owner *owner);

/* Does anybody wait for a lock that is this word? Bucket locked. */
bool futex_pi_waits_locked(struct futex_bucket *bucket, const struct futex_key *key);

#define FUTEX_PI_WAITS 1 /* futex_pi_lock_locked(): the thread is queued */
#define FUTEX_PI_OWNER 2 /* look for the owner that *ret_tid names, and come again */
/*
 * Take the lock for `thread`, or let it wait unless `try`. `more`: others will wait. The call's bucket is locked. 0: it has the lock.
 * -EDEADLK, -EFAULT (perhaps only not present), -EINVAL: the word and the waiters do not fit; -ESRCH; -EWOULDBLOCK; -ENOMEM.
 */
int futex_pi_lock_locked(struct futex_pi_call *call, struct thread *thread, uint32_t __user *uaddr,
                         const struct futex_pi_owner *owner, bool try, bool more,
                         uint32_t *ret_tid);
/*
 * The call's thread, the current one, sleeps no more: is the lock its? `result`: what it says if not, and it waits no more then. May
 * sleep. No lock held.
 */
int futex_pi_finish(struct futex_pi_call *call, uint32_t __user *uaddr, int result);
