/*
 * The dentry cache: a hash of (parent, name), an LRU of what is hashed, and the tree of parents and children.
 *
 * A dentry's count starts at 1 for its maker. Hashing sets DENTRY_CACHED in the count, so that the last put leaves the dentry where
 * it is; dentry_find() brings it back under the bucket lock. The LRU's hand (dentry_reclaim.c) pins a dentry whose count is exactly
 * DENTRY_CACHED, and under the bucket lock, if it is still alone, unhashes it: then its own put frees the dentry, which drops
 * the parent in turn. Unhashing is always done by somebody who holds a reference, so whoever brings a count without the bit to
 * zero is the last one, and nobody can find the dentry any more.
 *
 * A user who stats missing names makes negative dentries: beyond dentry_limit each new one pays by shrinking a few old ones.
 */
#include "kernel/vfs/dentry.h"

#include "kernel/base/bitmap.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/core/random.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"
#include "kernel/vfs/dentry_cache.h"
#include "kernel/vfs/name.h"
#include "kernel/vfs/notify.h"

struct dentry_bucket {
    struct spinlock lock;
    struct dentry *head; /* [lock] */
};

/* A name that has no room in its dentry. Dentries share it when one is renamed over the other, so that this allocates nothing. */
struct long_name {
    uint32_t refs;            /* [a] */
    char text[] __aligned(8); /* [I] */
};

uint64_t name_hash_seed __ro_after_init;
static struct slab_cache *dentry_slab __ro_after_init;
static struct dentry_bucket *buckets __ro_after_init;
static unsigned bucket_shift __ro_after_init;
static uint64_t dentry_limit __ro_after_init;
static uint64_t ndentries; /* [a] */
struct spinlock dentry_tree_spin = SPINLOCK_INIT("dentry tree");
struct spinlock dentry_lru_lock = SPINLOCK_INIT("dentry lru");
struct list_node dentry_lru = LIST_INIT(dentry_lru); /* [dentry_lru_lock] oldest first */

uint64_t name_load_slow(const char *text)
{
    uint64_t word = 0;

    for (unsigned i = 0; i < 8 && text[i] != '\0'; i++) {
        word |= (uint64_t)(uint8_t)text[i] << (8 * i);
    }
    return word;
}

uint32_t name_hash(const char *text, unsigned len)
{
    uint64_t hash = name_hash_seed;

    for (; len >= 8; len -= 8, text += 8) {
        hash = name_mix(hash, *(const name_word_t *)text);
    }
    uint64_t word = 0;
    memcpy(&word, text, len);
    return (uint32_t)name_mix(hash, word);
}

void dentry_tree_lock(void)
{
    spin_lock(&dentry_tree_spin);
}

void dentry_tree_unlock(void)
{
    spin_unlock(&dentry_tree_spin);
}

static inline struct dentry_bucket *bucket_of(const struct dentry *parent, uint32_t hash)
{
    uint64_t key = ((uintptr_t)parent >> 4) ^ hash;

    return &buckets[(key * NAME_MULT) >> bucket_shift];
}

static void dentry_construct(void *object)
{
    struct dentry *dentry = object;

    spin_init(&dentry->lock, "dentry");
    list_init(&dentry->lru);
    list_init(&dentry->children);
    list_init(&dentry->sibling);
}

static struct long_name *long_name_of(const struct dentry *dentry)
{
    if (dentry->name == dentry->inline_name) {
        return NULL;
    }
    return (struct long_name *)((uintptr_t)dentry->name - offsetof(struct long_name, text));
}

static void long_name_put(struct long_name *name)
{
    if (name != NULL && __atomic_sub_fetch(&name->refs, 1, __ATOMIC_ACQ_REL) == 0) {
        kfree(name);
    }
}

/* A fresh dentry with refs 1, not hashed, below `parent` (NULL: itself). NULL: no memory. */
static struct dentry *dentry_alloc(struct super *super, struct dentry *parent,
                                   const struct name *name)
{
    struct dentry *dentry = slab_alloc(dentry_slab, 0);

    if (dentry == NULL) {
        return NULL;
    }
    char *text = dentry->inline_name;
    if (name->len >= DNAME_INLINE) {
        struct long_name *long_name =
            kmalloc(sizeof(struct long_name) + ALIGN_UP(name->len + 1, 8));
        if (long_name == NULL) {
            slab_free(dentry_slab, dentry);
            return NULL;
        }
        long_name->refs = 1;
        text = long_name->text;
    }
    *(uint64_t *)(text + (name->len & ~7u)) = 0;
    memcpy(text, name->text, name->len);
    dentry->name = text;
    dentry->name_len = (uint16_t)name->len;
    dentry->hash = name->hash;
    dentry->hash_next = NULL;
    dentry->inode = NULL;
    dentry->flags = DENTRY_UNHASHED;
    dentry->refs = 1;
    dentry->super = super;
    dentry->referenced = 0;
    if (parent == NULL) {
        dentry->parent = dentry;
    } else {
        dentry->parent = dentry_get(parent);
        spin_lock(&parent->lock);
        list_push_back(&parent->children, &dentry->sibling);
        spin_unlock(&parent->lock);
    }
    (void)atomic_fetch_add_relaxed(&ndentries, 1);
    return dentry;
}

void dentry_release(struct dentry *dentry)
{
    for (;;) {
        struct dentry *parent = dentry->parent;
        if (parent != dentry) {
            spin_lock(&parent->lock);
            list_remove(&dentry->sibling);
            spin_unlock(&parent->lock);
        }
        ASSERT(list_empty(&dentry->children));
        if (dentry->inode != NULL) {
            notify_inode_removed(dentry->inode);
            inode_put(dentry->inode);
        }
        long_name_put(long_name_of(dentry));
        slab_free(dentry_slab, dentry);
        (void)atomic_fetch_sub_relaxed(&ndentries, 1);
        if (parent == dentry || __atomic_sub_fetch(&parent->refs, 1, __ATOMIC_ACQ_REL) != 0) {
            return;
        }
        dentry = parent;
    }
}

static void dentry_set_inode(struct dentry *dentry, struct inode *inode)
{
    if (inode != NULL && inode->ops->revalidate != NULL) {
        (void)atomic_fetch_or(&dentry->flags, (uint16_t)DENTRY_REVALIDATE);
    }
    atomic_store_release(&dentry->inode, inode);
}

struct dentry *dentry_create_root(struct super *super, struct inode *inode)
{
    struct name name = {.text = "/", .len = 1, .hash = 0};
    struct dentry *dentry = dentry_alloc(super, NULL, &name);

    if (dentry == NULL) {
        inode_put(inode);
        return NULL;
    }
    dentry->flags = 0; /* a root counts as hashed: it is not deleted */
    dentry_set_inode(dentry, inode);
    return dentry;
}

struct dentry *dentry_create_anonymous(struct inode *inode, const char *text)
{
    struct name name = {.text = text, .len = (uint32_t)strlen(text), .hash = 0};
    struct dentry *dentry = dentry_alloc(inode->super, NULL, &name);

    if (dentry != NULL) {
        dentry->flags = DENTRY_ANON;
        dentry_set_inode(dentry, inode);
    }
    return dentry;
}

struct dentry *dentry_create_unhashed(struct dentry *parent, struct inode *inode, const char *text)
{
    struct name name = {.text = text, .len = (uint32_t)strlen(text), .hash = 0};
    struct dentry *dentry = dentry_alloc(inode->super, parent, &name);

    if (dentry != NULL) {
        dentry_set_inode(dentry, inode);
    }
    return dentry;
}

static inline struct dentry *bucket_find(const struct dentry_bucket *bucket,
                                         const struct dentry *parent, const struct name *name)
{
    for (struct dentry *dentry = bucket->head; dentry != NULL; dentry = dentry->hash_next) {
        if (dentry->hash == name->hash && dentry->parent == parent &&
            dentry->name_len == name->len && name_equal(dentry->name, name->text, name->len)) {
            return dentry;
        }
    }
    return NULL;
}

struct dentry *dentry_find(struct dentry *parent, const struct name *name)
{
    struct dentry_bucket *bucket = bucket_of(parent, name->hash);

    spin_lock(&bucket->lock);
    struct dentry *dentry = bucket_find(bucket, parent, name);
    if (likely(dentry != NULL)) {
        (void)dentry_get(dentry);
        dentry->referenced = 1;
    }
    spin_unlock(&bucket->lock);
    return dentry;
}

/* Hash a dentry of the caller's; if somebody was faster with the same name, that one is returned, referenced. */
static struct dentry *dentry_hash(struct dentry *dentry)
{
    struct dentry_bucket *bucket = bucket_of(dentry->parent, dentry->hash);
    struct name name = {.text = dentry->name, .len = dentry->name_len, .hash = dentry->hash};

    spin_lock(&bucket->lock);
    struct dentry *other = bucket_find(bucket, dentry->parent, &name);
    if (other != NULL) {
        (void)dentry_get(other);
    } else {
        dentry->hash_next = bucket->head;
        bucket->head = dentry;
        (void)atomic_fetch_and(&dentry->flags, (uint16_t)~DENTRY_UNHASHED);
        (void)atomic_fetch_or(&dentry->refs, DENTRY_CACHED);
        spin_lock(&dentry_lru_lock);
        list_push_back(&dentry_lru, &dentry->lru);
        spin_unlock(&dentry_lru_lock);
    }
    spin_unlock(&bucket->lock);
    return other;
}

static void bucket_remove(struct dentry_bucket *bucket, struct dentry *dentry)
{
    struct dentry **link = &bucket->head;

    while (*link != dentry) {
        link = &(*link)->hash_next;
    }
    *link = dentry->hash_next;
    dentry->hash_next = NULL;
    (void)atomic_fetch_or(&dentry->flags, (uint16_t)DENTRY_UNHASHED);
    (void)atomic_fetch_and(&dentry->refs, ~DENTRY_CACHED);
    spin_lock(&dentry_lru_lock);
    list_remove(&dentry->lru);
    spin_unlock(&dentry_lru_lock);
}

bool dentry_unhash_if(struct dentry *dentry, bool only_alone)
{
    struct dentry_bucket *bucket = bucket_of(dentry->parent, dentry->hash);

    spin_lock(&bucket->lock);
    bool cached = (atomic_load_relaxed(&dentry->refs) & DENTRY_CACHED) != 0;
    bool done =
        cached && (!only_alone || atomic_load_relaxed(&dentry->refs) == (DENTRY_CACHED | 1));
    if (done) {
        bucket_remove(bucket, dentry);
    }
    spin_unlock(&bucket->lock);
    return done;
}

void dentry_unhash(struct dentry *dentry)
{
    /* A rename may move it to another bucket between the two look-ups of its place. */
    while ((atomic_load_relaxed(&dentry->refs) & DENTRY_CACHED) != 0) {
        spin_lock(&dentry_tree_spin);
        (void)dentry_unhash_if(dentry, false);
        spin_unlock(&dentry_tree_spin);
    }
}

/* A cached dentry that its file system still vouches for, or NULL (then the reference is gone). */
static struct dentry *dentry_revalidate(struct dentry *dentry)
{
    struct inode *inode = atomic_load_acquire(&dentry->inode);

    if ((dentry_flags(dentry) & DENTRY_REVALIDATE) == 0 || inode == NULL ||
        inode->ops->revalidate(inode)) {
        return dentry;
    }
    dentry_unhash(dentry);
    dentry_put(dentry);
    return NULL;
}

/* Ask the file system; parent's inode lock is held. */
static int dentry_lookup_slow(struct dentry *parent, const struct name *name,
                              struct dentry **ret_dentry)
{
    struct inode *dir = parent->inode;
    struct inode *inode = NULL;
    struct dentry *dentry = dentry_alloc(parent->super, parent, name);

    if (dentry == NULL) {
        return -ENOMEM;
    }
    int err = dir->ops->lookup(dir, name->text, name->len, &inode);
    if (err < 0 && err != -ENOENT) {
        dentry_put(dentry);
        return err;
    }
    dentry_set_inode(dentry, err == 0 ? inode : NULL);
    bool remember = err == 0 || (parent->super->fs->flags & FS_NO_NEGATIVE) == 0;
    if ((dentry_flags(dentry) & DENTRY_REVALIDATE) != 0) {
        /* A name that may go without our being told (a process, a pty) would stay for nothing: it lives as long as its users. */
        dentry->flags = DENTRY_NOCACHE | DENTRY_REVALIDATE;
    } else if (remember && dir->nlink != 0) {
        struct dentry *other = dentry_hash(dentry);
        if (other != NULL) {
            dentry_put(dentry);
            dentry = other;
        }
    }
    *ret_dentry = dentry;
    return 0;
}

int dentry_lookup_name(struct dentry *parent, const struct name *name, bool locked,
                       struct dentry **ret_dentry)
{
    struct dentry *dentry = dentry_find(parent, name);

    if (dentry != NULL) {
        if (likely((dentry_flags(dentry) & DENTRY_REVALIDATE) == 0) ||
            dentry_revalidate(dentry) != NULL) {
            *ret_dentry = dentry;
            return 0;
        }
    }
    if (name->len > NAME_MAX_BYTES) {
        return -ENAMETOOLONG;
    }
    struct inode *dir = parent->inode;
    if (dir->ops->lookup == NULL) {
        return -ENOTDIR;
    }
    if (atomic_load_relaxed(&ndentries) > dentry_limit) {
        (void)dentry_shrink(DENTRY_SHRINK_BATCH);
    }
    if (!locked) {
        rwsem_lock_read(&dir->lock);
    }
    int err = 0;
    dentry = dentry_find(parent, name); /* somebody may have been faster */
    if (dentry != NULL) {
        *ret_dentry = dentry;
    } else {
        err = dentry_lookup_slow(parent, name, ret_dentry);
    }
    if (!locked) {
        rwsem_unlock_read(&dir->lock);
    }
    return err;
}

int dentry_lookup(struct dentry *parent, const char *text, unsigned len, bool locked,
                  struct dentry **ret_dentry)
{
    char copy[ALIGN_UP(NAME_MAX_BYTES + 1, 8)];
    struct name name;

    if (len > NAME_MAX_BYTES) {
        return -ENAMETOOLONG;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    name_scan(copy, &name);
    return dentry_lookup_name(parent, &name, locked, ret_dentry);
}

void dentry_instantiate(struct dentry *dentry, struct inode *inode)
{
    ASSERT(dentry->inode == NULL);
    dentry_set_inode(dentry, inode);
    if ((dentry_flags(dentry) & (DENTRY_UNHASHED | DENTRY_NOCACHE)) == DENTRY_UNHASHED) {
        struct dentry *other =
            dentry_hash(dentry); /* was not remembered as missing: is there now */
        dentry_put(other);
    }
}

void dentry_delete(struct dentry *dentry)
{
    struct dentry_bucket *bucket = bucket_of(dentry->parent, dentry->hash);
    struct inode *inode = NULL;

    spin_lock(&bucket->lock);
    uint32_t refs = atomic_load_relaxed(&dentry->refs);
    if (refs == (DENTRY_CACHED | 1) && (dentry->super->fs->flags & FS_NO_NEGATIVE) == 0) {
        inode = dentry->inode;
        atomic_store_release(&dentry->inode, NULL);
        (void)atomic_fetch_and(&dentry->flags, (uint16_t) ~(DENTRY_REVALIDATE | DENTRY_MOUNTPOINT));
    } else if ((refs & DENTRY_CACHED) != 0) {
        bucket_remove(bucket, dentry);
    }
    spin_unlock(&bucket->lock);
    if (inode != NULL) {
        notify_inode_removed(inode);
        inode_put(inode);
    }
}

/* Give `dentry` the name that `from` has and keeps. The tree is locked, both unhashed: nobody reads the old one. */
static void dentry_copy_name(struct dentry *dentry, const struct dentry *from)
{
    struct long_name *shared = long_name_of(from);

    long_name_put(long_name_of(dentry));
    if (shared != NULL) {
        (void)atomic_fetch_add_relaxed(&shared->refs, 1);
        dentry->name = shared->text;
    } else {
        memcpy(dentry->inline_name, from->inline_name, sizeof(dentry->inline_name));
        dentry->name = dentry->inline_name;
    }
    dentry->name_len = from->name_len;
    dentry->hash = from->hash;
}

/* Exchange names (text, length, hash) of two dentries. the tree is locked, both unhashed. */
static void dentry_swap_names(struct dentry *a, struct dentry *b)
{
    char text[DNAME_INLINE];
    bool a_inline = a->name == a->inline_name;
    bool b_inline = b->name == b->inline_name;
    const char *a_name = a->name;
    uint16_t len = a->name_len;
    uint32_t hash = a->hash;

    memcpy(text, a->inline_name, sizeof(text));
    memcpy(a->inline_name, b->inline_name, sizeof(text));
    memcpy(b->inline_name, text, sizeof(text));
    a->name = b_inline ? a->inline_name : b->name;
    b->name = a_inline ? b->inline_name : a_name;
    a->name_len = b->name_len;
    a->hash = b->hash;
    b->name_len = len;
    b->hash = hash;
}

/* Hang the dentry below another parent, where it gets a reference from the caller; that to the old one becomes the caller's. */
static void dentry_set_parent(struct dentry *dentry, struct dentry *parent)
{
    struct dentry *old = dentry->parent;

    spin_lock(&old->lock);
    list_remove(&dentry->sibling);
    spin_unlock(&old->lock);
    spin_lock(&parent->lock);
    list_push_back(&parent->children, &dentry->sibling);
    spin_unlock(&parent->lock);
    dentry->parent = parent;
}

void dentry_move(struct dentry *dentry, struct dentry *target)
{
    struct dentry *old_parent = NULL;

    spin_lock(&dentry_tree_spin);
    (void)dentry_unhash_if(dentry, false);
    (void)dentry_unhash_if(target, false);
    dentry_copy_name(dentry, target);
    if (dentry->parent != target->parent) {
        old_parent = dentry->parent;
        dentry_set_parent(dentry, dentry_get(target->parent));
    }
    struct dentry *other = dentry_hash(dentry);
    spin_unlock(&dentry_tree_spin);
    WARN_ON(other != NULL);
    dentry_put(other);
    dentry_put(old_parent);
}

void dentry_exchange(struct dentry *a, struct dentry *b)
{
    spin_lock(&dentry_tree_spin);
    (void)dentry_unhash_if(a, false);
    (void)dentry_unhash_if(b, false);
    dentry_swap_names(a, b);
    if (a->parent != b->parent) {
        struct dentry *a_parent = a->parent;
        dentry_set_parent(a, b->parent); /* the references to the parents change hands */
        dentry_set_parent(b, a_parent);
    }
    struct dentry *other_a = dentry_hash(a);
    struct dentry *other_b = dentry_hash(b);
    spin_unlock(&dentry_tree_spin);
    WARN_ON(other_a != NULL || other_b != NULL);
    dentry_put(other_a);
    dentry_put(other_b);
}

bool dentry_is_below(struct dentry *dentry, struct dentry *ancestor)
{
    bool below = true;

    spin_lock(&dentry_tree_spin);
    while (dentry != ancestor) {
        if (dentry->parent == dentry) {
            below = false;
            break;
        }
        dentry = dentry->parent;
    }
    spin_unlock(&dentry_tree_spin);
    return below;
}

struct dentry *dentry_get_parent(struct dentry *dentry)
{
    spin_lock(&dentry_tree_spin);
    struct dentry *parent = dentry_get(dentry->parent);
    spin_unlock(&dentry_tree_spin);
    return parent;
}

uint64_t dentry_count(void)
{
    return atomic_load_relaxed(&ndentries);
}

void dentry_cache_init(void)
{
    struct frame_stats stats;

    frame_stats(&stats);
    uint64_t want = CLAMP(stats.total / 32, 256ull, 1ull << 18);
    unsigned bits = log2_ceil(want);
    bucket_shift = 64 - bits;
    buckets = kvmalloc(sizeof(*buckets) << bits);
    dentry_slab =
        slab_cache_create("dentry", sizeof(struct dentry), 0, SLAB_RECLAIMABLE, dentry_construct);
    if (buckets == NULL || dentry_slab == NULL) {
        panic("vfs: no memory for the dentry cache");
    }
    for (size_t i = 0; i < (size_t)1 << bits; i++) {
        spin_init(&buckets[i].lock, "dentry bucket");
        buckets[i].head = NULL;
    }
    name_hash_seed = random_u64();
    dentry_limit = MAX(stats.total / 4, 1024ull);
    dentry_reclaim_init();
}
