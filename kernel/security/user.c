/*
 * Users, as accounts of what a real user ID uses. One exists as long as credentials or counted things refer to it.
 *
 * Locking: user_lock (spin, irqsave) guards the hash table; a user found under it whose last reference just went is skipped, and
 * its owner is waiting for the lock to take it out.
 */
#include "kernel/base/hash.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/security/cred.h"

#define USER_BUCKETS_SHIFT 6

struct user user_root = {.refs = {.value = 1}};
struct pipe_limits pipe_limits = {.max_bytes = 1u << 20, .soft_pages = 16384};

static struct spinlock user_lock = SPINLOCK_INIT("users");
static struct user *user_table[1 << USER_BUCKETS_SHIFT]; /* [user_lock] but for user_root */

static struct user **user_bucket(uint32_t uid)
{
    return &user_table[hash_u64(uid) >> (64 - USER_BUCKETS_SHIFT)];
}

static struct user *user_find_locked(uint32_t uid)
{
    for (struct user *user = *user_bucket(uid); user != NULL; user = user->next) {
        if (user->uid == uid && refcount_get_unless_zero(&user->refs)) {
            return user;
        }
    }
    return NULL;
}

struct user *user_find(uint32_t uid)
{
    if (uid == 0) {
        return user_get(&user_root);
    }
    struct user *fresh = kzalloc(sizeof(*fresh));
    uint64_t flags = spin_lock_irqsave(&user_lock);
    struct user *user = user_find_locked(uid);
    if (user == NULL && fresh != NULL) {
        refcount_init(&fresh->refs, 1);
        fresh->uid = uid;
        fresh->next = *user_bucket(uid);
        *user_bucket(uid) = user = fresh;
        fresh = NULL;
    }
    spin_unlock_irqrestore(&user_lock, flags);
    kfree(fresh);
    return user;
}

void user_put(struct user *user)
{
    if (!refcount_put(&user->refs)) {
        return;
    }
    uint64_t flags = spin_lock_irqsave(&user_lock);
    struct user **link = user_bucket(user->uid);
    while (*link != user) {
        link = &(*link)->next;
    }
    *link = user->next;
    spin_unlock_irqrestore(&user_lock, flags);
    kfree(user);
}
