/*
 * Giving cached names back: the LRU's hand for memory pressure, and the pruning of a whole tree.
 *
 * Locking: as dentry.c says.
 */
#include "kernel/vfs/dentry.h"

#include "kernel/sched/sched.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vm/reclaim.h"

#define SHRINK_TURN 256u

/* A reference to a dentry found by a list, which may be on its way out: false then. */
static bool dentry_try_get(struct dentry *dentry)
{
    uint32_t old = atomic_load_relaxed(&dentry->refs);

    do {
        if (old == 0) {
            return false;
        }
    } while (!atomic_cas(&dentry->refs, &old, old + 1));
    return true;
}

/* The first child at or after `from` that is not being freed, referenced; NULL: none. */
static struct dentry *child_from(struct dentry *parent, struct list_node *from)
{
    struct dentry *found = NULL;

    spin_lock(&parent->lock);
    if (from == NULL) {
        from = parent->children.next;
    } else {
        from = from->next;
    }
    for (; from != &parent->children; from = from->next) {
        struct dentry *child = list_entry(from, struct dentry, sibling);
        if (dentry_try_get(child)) {
            found = child;
            break;
        }
    }
    spin_unlock(&parent->lock);
    return found;
}

/*
 * A walk in post-order without recursion: every dentry from the root down to the current one is pinned. The rename lock keeps the
 * parents as they are; children may come and go beside us.
 */
void dentry_prune(struct dentry *root)
{
    struct dentry *dentry = root;

    mutex_lock(&root->super->rename_lock);
    for (;;) {
        struct dentry *child = child_from(dentry, NULL);
        while (child != NULL) {
            dentry = child;
            child = child_from(dentry, NULL);
        }
        struct dentry *next = NULL;
        while (dentry != root && next == NULL) {
            struct dentry *parent = dentry->parent;
            next = child_from(parent, &dentry->sibling);
            spin_lock(&dentry_tree_spin);
            (void)dentry_unhash_if(dentry, true);
            spin_unlock(&dentry_tree_spin);
            dentry_put(dentry);
            dentry = parent;
        }
        if (next == NULL) {
            break;
        }
        dentry = next;
    }
    mutex_unlock(&root->super->rename_lock);
}

void dentry_prune_all(struct dentry *root)
{
    dentry_prune(root);
    while (atomic_load_acquire(&root->refs) != 1) { /* pairs with dentry_release() */
        thread_sleep_ns(NS_PER_MS);
        dentry_prune(root);
    }
}

/*
 * Take up to `n` unused dentries off the cold end, pinned. Looks at no more than `budget`, and at SHRINK_TURN while it holds the lock: most
 * may be in use, or have been lately.
 */
static unsigned shrink_pin(struct dentry **victims, unsigned n, uint64_t *budget)
{
    unsigned count = 0;

    spin_lock(&dentry_lru_lock);
    if (list_empty(&dentry_lru)) {
        *budget = 0;
    }
    for (unsigned i = 0; i < SHRINK_TURN && count<n && * budget> 0; i++) {
        struct dentry *dentry = list_first_entry(&dentry_lru, struct dentry, lru);
        uint32_t unused = DENTRY_CACHED;
        (*budget)--;
        list_remove(&dentry->lru);
        list_push_back(&dentry_lru, &dentry->lru);
        if (dentry->referenced != 0) {
            dentry->referenced = 0;
        } else if (atomic_cas(&dentry->refs, &unused, DENTRY_CACHED | 1)) {
            victims[count++] = dentry;
        }
    }
    spin_unlock(&dentry_lru_lock);
    return count;
}

size_t dentry_shrink(size_t n)
{
    struct dentry *victims[DENTRY_SHRINK_BATCH];
    uint64_t budget = 2 * n + DENTRY_SHRINK_BATCH;
    size_t freed = 0;

    while (freed < n && budget > 0) {
        unsigned count =
            shrink_pin(victims, (unsigned)MIN(n - freed, (size_t)DENTRY_SHRINK_BATCH), &budget);
        for (unsigned i = 0; i < count; i++) {
            spin_lock(&dentry_tree_spin);
            freed += dentry_unhash_if(victims[i], true) ? 1 : 0;
            spin_unlock(&dentry_tree_spin);
            dentry_put(victims[i]);
        }
    }
    return freed;
}

static struct shrinker dentry_shrinker = {
    .count = dentry_count, .shrink = dentry_shrink, .names = true};

void dentry_reclaim_init(void)
{
    shrinker_register(&dentry_shrinker);
}
