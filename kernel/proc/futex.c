/*
 * Futexes: a hash table of the threads that wait, keyed by what the user address means.
 *
 * A word in memory that one address space alone uses is known by (space, address); one in a shared mapping by (page cache, byte offset),
 * so that every process that maps it finds the same waiters. A key is only compared, never followed.
 *
 * No wake is lost: the waiter compares the word and joins its bucket's list under the bucket's lock; a waker changes the word
 * first and then takes that lock.
 *
 * Locks: b the bucket's lock
 */
#include "kernel/proc/futex.h"

#include "kernel/base/hash.h"
#include "kernel/machine/user.h"
#include "kernel/sched/sched.h"
#include "kernel/vm/vmspace.h"

struct futex_key {
    const void *what; /* struct vmspace or struct pagecache */
    uint64_t offset;
};

struct futex_waiter {
    struct list_node node; /* [b] */
    struct futex_key key;  /* [I] */
    uint32_t bitset;       /* [I] */
    bool woken;            /* [b] written; read without it by the waiter itself */
    struct thread *thread; /* [I] */
};

struct futex_bucket {
    struct spinlock lock;
    struct list_node waiters; /* [b] in the order they came */
} __cacheline;

#define FUTEX_BUCKETS 256

static struct futex_bucket buckets[FUTEX_BUCKETS];

/* Ready on first use: an all-zero bucket is an unlocked one whose list was never made. */
static struct futex_bucket *bucket_lock(const struct futex_key *key)
{
    uint64_t hash = hash_u64((uintptr_t)key->what + key->offset * 31);
    struct futex_bucket *bucket = &buckets[hash >> 56];

    spin_lock(&bucket->lock);
    if (unlikely(bucket->waiters.next == NULL)) {
        list_init(&bucket->waiters);
    }
    return bucket;
}

static int futex_key(uint32_t __user *uaddr, bool private, struct futex_key *ret_key)
{
    struct vmspace *vm = current_thread()->vm;
    uint64_t addr = (uintptr_t)uaddr;

    if (addr % sizeof(uint32_t) != 0) {
        return -EINVAL;
    }
    if (!user_range_ok(uaddr, sizeof(uint32_t))) {
        return -EFAULT;
    }
    *ret_key = (struct futex_key){vm, addr};
    if (private) {
        return 0;
    }
    rwsem_lock_read(&vm->lock);
    const struct vm_region *region = vmspace_find(vm, addr);
    int err = region == NULL || region->start > addr ? -EFAULT : 0;
    if (err == 0 && (region->flags & VM_SHARED) != 0 && region->source != NULL &&
        region->source->cache != NULL) {
        *ret_key = (struct futex_key){region->source->cache,
                                      addr - region->start + (region->pgoff << PAGE_SHIFT)};
    }
    rwsem_unlock_read(&vm->lock);
    return err;
}

/* Read the word with a bucket locked: preemption is off, so a fault is not resolved but told. */
static int load_locked(uint32_t *ret_value, const uint32_t __user *uaddr)
{
    uint32_t value;
    int err = get_user(value, uaddr);

    if (err == 0) {
        *ret_value = value;
    }
    return err;
}

/* Join the bucket if the word still has `value`. */
static int enqueue(struct futex_waiter *waiter, uint32_t __user *uaddr, uint32_t value)
{
    for (;;) {
        uint32_t now;
        struct futex_bucket *bucket = bucket_lock(&waiter->key);
        int err = load_locked(&now, uaddr);
        if (err == 0 && now == value) {
            list_push_back(&bucket->waiters, &waiter->node);
        }
        spin_unlock(&bucket->lock);
        if (err == 0) {
            return now == value ? 0 : -EAGAIN;
        }
        err = get_user(now, uaddr); /* bring the page in, and look again */
        if (err < 0) {
            return err;
        }
    }
}

static int sleep_until_woken(struct futex_waiter *waiter, ktime_t deadline)
{
    int result = 0;

    for (;;) {
        thread_prepare_sleep(THREAD_SLEEPING);
        if (READ_ONCE(waiter->woken)) {
            break;
        }
        if (thread_signal_pending(waiter->thread)) {
            result = -ERESTARTSYS;
            break;
        }
        if (schedule_until(deadline)) {
            result = -ETIMEDOUT;
            break;
        }
    }
    thread_finish_sleep();
    return result;
}

int futex_wait(uint32_t __user *uaddr, bool private, uint32_t value, uint32_t bitset,
               ktime_t deadline)
{
    struct futex_waiter waiter = {.bitset = bitset, .thread = current_thread()};
    int err = bitset == 0 ? -EINVAL : futex_key(uaddr, private, &waiter.key);

    if (err == 0) {
        err = enqueue(&waiter, uaddr, value);
    }
    if (err < 0) {
        return err;
    }
    err = sleep_until_woken(&waiter, deadline);
    struct futex_bucket *bucket = bucket_lock(&waiter.key);
    if (waiter.woken) {
        err =
            0; /* a wake that came together with a signal or the deadline has been counted: take it */
    } else {
        list_remove(&waiter.node);
    }
    spin_unlock(&bucket->lock);
    return err;
}

int futex_wake(uint32_t __user *uaddr, bool private, unsigned count, uint32_t bitset)
{
    struct futex_waiter *waiter, *next;
    struct futex_key key;
    unsigned woken = 0;
    int err = bitset == 0 ? -EINVAL : futex_key(uaddr, private, &key);

    if (err < 0) {
        return err;
    }
    struct futex_bucket *bucket = bucket_lock(&key);
    list_for_each_safe (waiter, next, &bucket->waiters, node) {
        if (woken == count) {
            break;
        }
        if (waiter->key.what == key.what && waiter->key.offset == key.offset &&
            (waiter->bitset & bitset) != 0) {
            struct thread *thread = waiter->thread;
            list_remove(&waiter->node);
            WRITE_ONCE(waiter->woken, true); /* its stack may be gone as soon as the lock is free */
            (void)thread_wake(thread);
            woken++;
        }
    }
    spin_unlock(&bucket->lock);
    return (int)woken;
}
