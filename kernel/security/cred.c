/*
 * Credentials: shared, never changed in place. A thread that changes its own makes a copy, changes that, and commits it.
 *
 * Interface: cred_clone, cred_commit, cred_put; cred_in_group, cred_has_cap; group lists, sorted for the search.
 */
#include "kernel/security/cred.h"

#include <linux/capability.h>

#include "kernel/base/sort.h"
#include "kernel/base/string.h"
#include "kernel/mm/kmalloc.h"

#define CAP_ALL (BIT(CAP_LAST_CAP + 1) - 1)

/* capabilities(7): init starts with all of them permitted and effective, none inheritable. */
struct cred cred_init_user = {
    .refs = {.value = 1},
    .cap_permitted = CAP_ALL,
    .cap_effective = CAP_ALL,
    .cap_bounding = CAP_ALL,
    .user = &user_root,
};

void cred_put(struct cred *cred)
{
    if (cred != NULL && refcount_put(&cred->refs)) {
        group_list_put(cred->groups);
        user_put(cred->user);
        rcu_free(cred, rcu);
    }
}

struct cred *cred_clone(const struct cred *cred)
{
    struct cred *copy = kmalloc(sizeof(*copy));

    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, cred, sizeof(*copy));
    refcount_init(&copy->refs, 1);
    (void)user_get(copy->user);
    if (copy->groups != NULL) {
        refcount_get(&copy->groups->refs);
    }
    return copy;
}

void cred_commit(struct cred *cred)
{
    if (cred->user->uid != cred->uid) {
        /* Without memory for it the account stays the old one's: limits are then a little off, nothing else. */
        struct user *user = user_find(cred->uid);
        if (user != NULL) {
            user_put(cred->user);
            cred->user = user;
        }
    }
    cred_put(cred_replace(cred));
}

bool cred_acts_as_other(const struct cred *new, const struct cred *old)
{
    return new->euid != old->euid || new->fsuid != old->fsuid || new->egid != old->egid ||
           new->fsgid != old->fsgid || (new->cap_permitted & ~old->cap_permitted) != 0;
}

bool cred_in_group(const struct cred *cred, uint32_t gid)
{
    const struct group_list *groups = cred->groups;

    if (gid == cred->fsgid) {
        return true;
    }
    if (groups == NULL) {
        return false;
    }
    for (uint32_t low = 0, high = groups->count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        if (groups->gids[middle] == gid) {
            return true;
        }
        if (groups->gids[middle] < gid) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return false;
}

bool cred_has_cap(const struct cred *cred, unsigned cap)
{
    return ((cred->cap_effective >> cap) & 1) != 0;
}

static int gid_compare(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

struct group_list *group_list_create(const uint32_t *gids, uint32_t count)
{
    struct group_list *groups = kmalloc(sizeof(*groups) + count * sizeof(uint32_t));

    if (groups != NULL) {
        refcount_init(&groups->refs, 1);
        groups->count = count;
        if (count > 0) {
            memcpy(groups->gids, gids, count * sizeof(uint32_t));
            sort_array(groups->gids, count, sizeof(uint32_t), gid_compare);
        }
    }
    return groups;
}

void group_list_put(struct group_list *groups)
{
    if (groups != NULL && refcount_put(&groups->refs)) {
        kfree(groups);
    }
}
