/*
 * Futexes: a hash table of the threads that wait, keyed by what the user address means.
 *
 * A word in memory that one address space alone uses is known by (space, address); one in a shared mapping by (page cache, byte offset),
 * so that every process that maps it finds the same waiters. A key is only compared, never followed.
 *
 * No wake is lost: the waiter compares the word and joins its bucket's list under the bucket's lock; a waker changes the word
 * first and then takes that lock. A requeue moves waiters to another word and so to another bucket: it holds both locks, and
 * whoever looks for a waiter's bucket locks what it finds and looks again.
 *
 * Thousands may wait for one word. They are woken, or requeued, some at a time; a mark in the list says where those end who waited when the call
 * began.
 *
 * Locks: b the bucket's lock. Two buckets: the one at the lower address first.
 */
#include "kernel/proc/futex.h"

#include <linux/futex.h>

#include "kernel/base/hash.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/futex_impl.h"
#include "kernel/vm/pagecache.h"
#include "kernel/vm/vmspace.h"

#define FUTEX_BUCKETS 256
#define WAKE_TURN     6u  /* woken, at most, while a bucket is locked */
#define REQUEUE_TURN  96u /* requeued; who is woken counts for several */

static struct futex_bucket buckets[FUTEX_BUCKETS];

struct futex_bucket *futex_bucket_of(const struct futex_key *key)
{
    uint64_t hash = hash_u64(key->what + key->offset * 31);

    return &buckets[hash >> 56];
}

/* Ready on first use: an all-zero bucket is an unlocked one whose lists were never made. */
void futex_bucket_lock(struct futex_bucket *bucket)
{
    spin_lock(&bucket->lock);
    if (unlikely(bucket->waiters.next == NULL)) {
        list_init(&bucket->waiters);
        list_init(&bucket->locks);
    }
}

void futex_bucket_lock_two(struct futex_bucket *one, struct futex_bucket *two)
{
    futex_bucket_lock(MIN(one, two));
    if (one != two) {
        futex_bucket_lock(MAX(one, two));
    }
}

void futex_bucket_unlock_two(struct futex_bucket *one, struct futex_bucket *two)
{
    if (one != two) {
        spin_unlock(&MAX(one, two)->lock);
    }
    spin_unlock(&MIN(one, two)->lock);
}

bool futex_key_equal(const struct futex_key *one, const struct futex_key *two)
{
    return one->what == two->what && one->offset == two->offset;
}

int futex_key(uint32_t __user *uaddr, bool private, struct futex_key *ret_key)
{
    struct vmspace *vm = current_thread()->vm;
    uint64_t addr = (uintptr_t)uaddr;

    if (addr % sizeof(uint32_t) != 0) {
        return -EINVAL;
    }
    if (!user_range_ok(uaddr, sizeof(uint32_t))) {
        return -EFAULT;
    }
    *ret_key = (struct futex_key){(uintptr_t)vm, addr};
    if (private) {
        return 0;
    }
    rwsem_lock_read(&vm->lock);
    const struct vm_region *region = vmspace_find(vm, addr);
    int err = region == NULL || region->start > addr ? -EFAULT : 0;
    if (err == 0 && (region->flags & VM_SHARED) != 0 && region->source != NULL &&
        region->source->cache != NULL) {
        *ret_key = (struct futex_key){pagecache_number(region->source->cache),
                                      addr - region->start + (region->pgoff << PAGE_SHIFT)};
    }
    rwsem_unlock_read(&vm->lock);
    return err;
}

int futex_load_locked(uint32_t *ret_value, const uint32_t __user *uaddr)
{
    uint32_t value;
    int err = get_user(value, uaddr);

    if (err == 0) {
        *ret_value = value;
    }
    return err;
}

/* ---- waiting ---- */

int futex_waiter_join(struct futex_waiter *waiter, uint32_t __user *uaddr, uint32_t value)
{
    struct futex_bucket *bucket = futex_bucket_of(&waiter->key);

    for (;;) {
        uint32_t now;
        futex_bucket_lock(bucket);
        int err = futex_load_locked(&now, uaddr);
        if (err == 0 && now == value) {
            waiter->bucket = bucket;
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

/* Leave the bucket, wherever a requeue has put us. True: somebody has woken us, and counts on it. */
static bool waiter_leave(struct futex_waiter *waiter)
{
    for (;;) {
        struct futex_bucket *bucket = READ_ONCE(waiter->bucket);
        futex_bucket_lock(bucket);
        bool here = bucket == waiter->bucket, woken = waiter->woken;
        if (here && !woken) {
            list_remove(&waiter->node);
        }
        spin_unlock(&bucket->lock);
        if (here) {
            return woken;
        }
    }
}

static bool any_woken(const struct futex_waiter *waiters, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (READ_ONCE(waiters[i].woken)) {
            return true;
        }
    }
    return false;
}

static int sleep_until_woken(const struct futex_waiter *waiters, unsigned count,
                             struct time_limit limit)
{
    int err = thread_sleep_within(any_woken(waiters, count), limit);

    return err == -EINTR ? -ERESTARTSYS : err;
}

int futex_wait(uint32_t __user *uaddr, bool private, uint32_t value, uint32_t bitset,
               struct time_limit limit)
{
    struct futex_waiter waiter = {.bitset = bitset, .thread = current_thread()};
    int err = bitset == 0 ? -EINVAL : futex_key(uaddr, private, &waiter.key);

    if (err == 0) {
        err = futex_waiter_join(&waiter, uaddr, value);
    }
    if (err < 0) {
        return err;
    }
    err = sleep_until_woken(&waiter, 1, limit);
    /* A wake that came together with a signal or the deadline has been counted: take it. */
    return waiter_leave(&waiter) ? 0 : err;
}

/* Leave all; the last that was woken, or -1. */
static int waiters_leave(struct futex_waiter *waiters, unsigned count)
{
    int woken = -1;

    for (unsigned i = 0; i < count; i++) {
        if (waiter_leave(&waiters[i])) {
            woken = (int)i;
        }
    }
    return woken;
}

int futex_wait_any(const struct futex_word *words, unsigned count, struct time_limit limit)
{
    struct futex_waiter *waiters = kcalloc(count, sizeof(*waiters));
    unsigned joined = 0;
    int err = 0;

    if (waiters == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < count && err == 0; i++) {
        waiters[i].bitset = FUTEX_ANY;
        waiters[i].thread = current_thread();
        err = futex_key(words[i].uaddr, words[i].private, &waiters[i].key);
    }
    while (joined < count && err == 0) {
        err = futex_waiter_join(&waiters[joined], words[joined].uaddr, words[joined].value);
        joined += err == 0;
    }
    if (err == 0) {
        err = sleep_until_woken(waiters, count, limit);
    }
    int woken = waiters_leave(waiters, joined);
    kfree(waiters);
    return woken >= 0 ? woken : err;
}

/* ---- waking ---- */

/* Take a waiter off its bucket, which is locked, and wake it. */
static void waiter_wake_locked(struct futex_waiter *waiter)
{
    struct thread *thread = waiter->thread;

    list_remove(&waiter->node);
    WRITE_ONCE(waiter->woken, true); /* its stack may be gone as soon as the lock is free */
    (void)thread_wake(thread);
}

/* The bucket's end as it is now, known by a waiter of no key: those before it are who waited when the call began. */
static void mark_put_locked(struct futex_bucket *bucket, struct futex_waiter *mark)
{
    *mark = (struct futex_waiter){.bucket = bucket};
    list_push_back(&bucket->waiters, &mark->node);
}

/*
 * A turn of a wake: waiters of the key up to `mark` (NULL: all), `count` at most but one at least, as Linux does, and not more than WAKE_TURN:
 * *ret_more then. How many there were; -EINVAL: they wait for a lock.
 */
static inline int wake_locked(struct futex_bucket *bucket, const struct futex_key *key, int count,
                              uint32_t bitset, const struct futex_waiter *mark, bool *ret_more)
{
    struct futex_waiter *waiter, *next;
    int woken = 0;

    list_for_each_safe (waiter, next, &bucket->waiters, node) {
        if (!futex_key_equal(&waiter->key, key) || (waiter->bitset & bitset) == 0) {
            if (unlikely(waiter == mark)) {
                break;
            }
            continue;
        }
        if (waiter->call != NULL) {
            return -EINVAL; /* it wants to be given a lock: FUTEX_CMP_REQUEUE_PI's */
        }
        waiter_wake_locked(waiter);
        if (++woken >= count) {
            break;
        }
        if (unlikely(woken == WAKE_TURN)) {
            *ret_more = true;
            break;
        }
    }
    if (woken == 0 && unlikely(!list_empty(&bucket->locks)) && mark == NULL &&
        futex_pi_waits_locked(bucket, key)) {
        return -EINVAL;
    }
    return woken;
}

/* The turns behind the first one, which woke `woken`. Returns how many they all were, or -EINVAL. */
static __noinline int wake_rest(struct futex_bucket *bucket, const struct futex_key *key, int woken,
                                int count, uint32_t bitset)
{
    struct futex_waiter mark;
    bool more = true;
    int result = 0;

    futex_bucket_lock(bucket);
    mark_put_locked(bucket, &mark);
    spin_unlock(&bucket->lock);
    while (more && result >= 0) {
        more = false;
        futex_bucket_lock(bucket);
        result = wake_locked(bucket, key, count - woken, bitset, &mark, &more);
        if (!more || result < 0) {
            list_remove(&mark.node);
        }
        spin_unlock(&bucket->lock);
        woken += MAX(result, 0);
    }
    return result < 0 ? result : woken;
}

int futex_wake(uint32_t __user *uaddr, bool private, int count, uint32_t bitset)
{
    struct futex_key key;
    int result = bitset == 0 ? -EINVAL : futex_key(uaddr, private, &key);
    bool more = false;

    if (result < 0) {
        return result;
    }
    struct futex_bucket *bucket = futex_bucket_of(&key);
    futex_bucket_lock(bucket);
    result = wake_locked(bucket, &key, count, bitset, NULL, &more);
    spin_unlock(&bucket->lock);
    return likely(!more) ? result : wake_rest(bucket, &key, result, count, bitset);
}

/* ---- requeueing ---- */

/* A requeue in turns, like a wake: of those that are met before `mark`. */
struct futex_requeue {
    struct futex_bucket *from, *to;
    const struct futex_key *key, *key2;
    unsigned wake, move; /* that may still be */
    int met;             /* so far; negative error */
    bool unfinished;
    struct futex_waiter mark;
};

static void waiter_move_locked(const struct futex_requeue *requeue, struct futex_waiter *waiter)
{
    waiter->key = *requeue->key2;
    if (requeue->from != requeue->to) {
        list_remove(&waiter->node);
        list_push_back(&requeue->to->waiters, &waiter->node);
        WRITE_ONCE(waiter->bucket, requeue->to);
    }
}

/* A turn. Where a word's waiters go to the word itself there is but one: the next would meet them again. */
static void requeue_locked(struct futex_requeue *requeue)
{
    struct futex_bucket *from = requeue->from;
    struct futex_waiter *waiter, *next;
    unsigned cost = futex_key_equal(requeue->key, requeue->key2) ? 0 : 1, spent = 0;
    bool more = false;

    list_for_each_safe (waiter, next, &from->waiters, node) {
        if ((unlikely(requeue->unfinished) && waiter == &requeue->mark) ||
            (requeue->wake == 0 && requeue->move == 0)) {
            break;
        }
        if (!futex_key_equal(&waiter->key, requeue->key)) {
            continue;
        }
        if (unlikely(spent >= REQUEUE_TURN)) {
            more = true;
            break;
        }
        if (waiter->call != NULL) {
            requeue->met = -EINVAL;
            break;
        }
        requeue->met++;
        if (requeue->wake > 0) {
            requeue->wake--;
            spent += cost * (REQUEUE_TURN / WAKE_TURN);
            waiter_wake_locked(waiter);
        } else {
            requeue->move--;
            spent += cost;
            waiter_move_locked(requeue, waiter);
        }
    }
    if (requeue->met == 0 && unlikely(!list_empty(&from->locks)) &&
        futex_pi_waits_locked(from, requeue->key)) {
        requeue->met = -EINVAL;
    }
    if (unlikely(more != requeue->unfinished)) {
        if (more) {
            mark_put_locked(from, &requeue->mark);
        } else {
            list_remove(&requeue->mark.node);
        }
        requeue->unfinished = more;
    }
}

static void requeue_rest(struct futex_requeue *requeue)
{
    while (unlikely(requeue->unfinished)) {
        futex_bucket_lock_two(requeue->from, requeue->to);
        requeue_locked(requeue);
        futex_bucket_unlock_two(requeue->from, requeue->to);
    }
}

int futex_requeue(uint32_t __user *uaddr, uint32_t __user *uaddr2, bool private, int wake, int move,
                  const uint32_t *expected)
{
    struct futex_key key, key2;
    int err = wake < 0 || move < 0 ? -EINVAL : futex_key(uaddr, private, &key);

    if (err == 0) {
        err = futex_key(uaddr2, private, &key2);
    }
    if (err < 0) {
        return err;
    }
    struct futex_bucket *from = futex_bucket_of(&key), *to = futex_bucket_of(&key2);
    struct futex_requeue requeue = {.from = from, .to = to, .key = &key, .key2 = &key2};
    requeue.wake = (unsigned)wake;
    requeue.move = (unsigned)move;
    for (;;) {
        uint32_t now;
        futex_bucket_lock_two(from, to);
        err = expected != NULL ? futex_load_locked(&now, uaddr) : 0;
        if (err == 0 && expected != NULL && now != *expected) {
            err = -EAGAIN;
        }
        if (err == 0) {
            requeue_locked(&requeue);
        }
        futex_bucket_unlock_two(from, to);
        if (err == -EFAULT) {
            err = get_user(now, uaddr);
            if (err == 0) {
                continue;
            }
        }
        requeue_rest(&requeue);
        return err < 0 ? err : requeue.met;
    }
}

/* ---- changing one word and waking the waiters of two (FUTEX_WAKE_OP of futex(2)) ---- */

static int wake_op_value(unsigned op, uint32_t old, uint32_t arg, uint32_t *ret_new)
{
    switch (op) {
    case FUTEX_OP_SET:
        *ret_new = arg;
        return 0;
    case FUTEX_OP_ADD:
        *ret_new = old + arg;
        return 0;
    case FUTEX_OP_OR:
        *ret_new = old | arg;
        return 0;
    case FUTEX_OP_ANDN:
        *ret_new = old & ~arg;
        return 0;
    case FUTEX_OP_XOR:
        *ret_new = old ^ arg;
        return 0;
    default:
        return -ENOSYS;
    }
}

/* 1: the second word's waiters are woken too; 0: they are not; -ENOSYS. */
static int wake_op_compare(unsigned cmp, int old, int arg)
{
    switch (cmp) {
    case FUTEX_OP_CMP_EQ:
        return old == arg;
    case FUTEX_OP_CMP_NE:
        return old != arg;
    case FUTEX_OP_CMP_LT:
        return old < arg;
    case FUTEX_OP_CMP_GE:
        return old >= arg;
    case FUTEX_OP_CMP_LE:
        return old <= arg;
    case FUTEX_OP_CMP_GT:
        return old > arg;
    default:
        return -ENOSYS;
    }
}

/* Twelve bits of an encoded operation, with their sign. */
static int wake_op_arg(uint32_t bits)
{
    return (int)(bits << 20) >> 20;
}

/*
 * Do what `encoded` says to *uaddr at once, whatever else happens to it; *ret_old: its former value. -EFAULT, and that is also said of a
 * page that is only not there yet, as a bucket is locked; -ENOSYS.
 */
static int wake_op_apply(uint32_t __user *uaddr, uint32_t encoded, uint32_t *ret_old)
{
    unsigned op = encoded >> 28;
    uint32_t arg = (uint32_t)wake_op_arg(encoded >> 12), old, new, seen;

    if ((op & FUTEX_OP_OPARG_SHIFT) != 0) {
        arg = 1u << (arg & 31);
    }
    int err = get_user(seen, uaddr);
    while (err == 0) {
        old = seen;
        err = wake_op_value(op & ~(unsigned)FUTEX_OP_OPARG_SHIFT, old, arg, &new);
        if (err == 0) {
            err = user_cmpxchg_u32(uaddr, old, new, &seen);
        }
        if (err == 0 && seen == old) {
            *ret_old = old;
            return 0;
        }
    }
    return err;
}

int futex_fault_in(uint32_t __user *uaddr)
{
    uint32_t seen;

    return user_cmpxchg_u32(uaddr, 0, 0, &seen);
}

int futex_wake_op(uint32_t __user *uaddr, uint32_t __user *uaddr2, bool private, int wake,
                  int wake2, uint32_t encoded)
{
    struct futex_key key, key2;
    int result = futex_key(uaddr, private, &key);

    if (result == 0) {
        result = futex_key(uaddr2, private, &key2);
    }
    if (result < 0) {
        return result;
    }
    struct futex_bucket *bucket = futex_bucket_of(&key), *bucket2 = futex_bucket_of(&key2);
    for (;;) {
        bool more = false, more2 = false;
        int result2 = 0;
        uint32_t old;
        futex_bucket_lock_two(bucket, bucket2);
        int err = wake_op_apply(uaddr2, encoded, &old);
        if (err == 0) {
            err = wake_op_compare(encoded >> 24 & 15, (int)old, wake_op_arg(encoded));
        }
        if (err >= 0) {
            result = wake_locked(bucket, &key, wake, FUTEX_ANY, NULL, &more);
        }
        if (err > 0 && result >= 0) {
            result2 = wake_locked(bucket2, &key2, wake2, FUTEX_ANY, NULL, &more2);
        }
        futex_bucket_unlock_two(bucket, bucket2);
        if (unlikely(more)) {
            result = wake_rest(bucket, &key, result, wake, FUTEX_ANY);
        }
        if (unlikely(more2)) {
            result2 = wake_rest(bucket2, &key2, result2, wake2, FUTEX_ANY);
        }
        if (err >= 0) {
            return MIN(result, result2) < 0 ? -EINVAL : result + result2;
        }
        err = err == -EFAULT ? futex_fault_in(uaddr2) : err;
        if (err < 0) {
            return err;
        }
    }
}
