/*
 * Blocks of one to four frames, each of objects of one size class.
 *
 * A block begins with its head, in its first frame; its frames need not be neighbours. An object begins with a head of its own: owner
 * and length. Heads never straddle, for all sizes are multiples of 64 bytes. Blocks with free objects hang on their class's lists
 * by fullness: new objects go into the fullest, so that others drain and are freed; compaction empties the emptiest.
 */
#include "kernel/vm/zpool.h"

#include "kernel/base/bitmap.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/mm/frame.h"

#define BLOCK_PAGES   4u
#define BLOCK_OBJECTS 64u
#define GROUP_NONE    0xffu /* full, or being emptied: on no list */

struct block {
    struct list_node node; /* [c] */
    struct page *pages[BLOCK_PAGES];
    uint64_t used; /* [c] bitmap */
    uint8_t nused; /* [c] */
    uint8_t group; /* [c] of the list it is on, or GROUP_NONE */
    uint8_t class; /* [I] */
    bool draining; /* [c] compaction is at it: it comes on no list */
};

_Static_assert(sizeof(struct block) <= ZPOOL_STEP, "objects begin behind it");

struct object {
    uint32_t owner;
    uint16_t len;
    uint16_t unused;
    uint8_t data[];
};

_Static_assert(sizeof(struct object) == ZPOOL_OBJECT_MAX - ZPOOL_LEN_MAX, "see zpool.h");

/* ---- where things are ---- */

static struct block *handle_block(zhandle_t handle)
{
    return page_to_virt(pfn_to_page(handle / BLOCK_OBJECTS));
}

static zhandle_t block_handle(const struct block *block, unsigned index)
{
    return page_to_pfn(block->pages[0]) * BLOCK_OBJECTS + index;
}

static size_t object_offset(const struct zpool_class *class, unsigned index)
{
    return ZPOOL_STEP + (size_t)index * class->size;
}

static struct object *block_object(const struct zpool_class *class, const struct block *block,
                                   unsigned index)
{
    size_t offset = object_offset(class, index);

    return (struct object *)((uint8_t *)page_to_virt(block->pages[offset / PAGE_SIZE]) +
                             offset % PAGE_SIZE);
}

/* Bytes of the object, its head included, before the border of its first frame. */
static size_t bytes_to_border(const struct zpool_class *class, unsigned index)
{
    return PAGE_SIZE - object_offset(class, index) % PAGE_SIZE;
}

/* Where the object goes on, when it straddles. */
static uint8_t *object_rest(const struct zpool_class *class, const struct block *block,
                            unsigned index)
{
    return page_to_virt(block->pages[object_offset(class, index) / PAGE_SIZE + 1]);
}

/* ---- classes ---- */

static unsigned objects_in(unsigned npages, unsigned size)
{
    return MIN((npages * (unsigned)PAGE_SIZE - ZPOOL_STEP) / size, BLOCK_OBJECTS);
}

/* How many frames a block of objects of `size` has: more only when that saves more than 3 % of memory. */
static unsigned choose_pages(unsigned size)
{
    unsigned best = 1;

    for (unsigned npages = 2; npages <= BLOCK_PAGES; npages++) {
        /* Memory per object: npages / objects. */
        if (npages * objects_in(best, size) * 100 < best * objects_in(npages, size) * 97) {
            best = npages;
        }
    }
    return best;
}

void zpool_init(struct zpool *pool)
{
    memset(pool, 0, sizeof(*pool));
    for (unsigned i = ZPOOL_CLASSES; i-- > 0;) {
        struct zpool_class *class = &pool->classes[i];
        const struct zpool_class *larger =
            i + 1 < ZPOOL_CLASSES ? &pool->classes[pool->class_of[i + 1]] : NULL;
        class->size = (uint16_t)((i + 1) * ZPOOL_STEP);
        class->npages = (uint8_t)choose_pages(class->size);
        class->nobjects = (uint8_t)objects_in(class->npages, class->size);
        spin_init(&class->lock, "zpool class");
        for (unsigned group = 0; group < ZPOOL_GROUPS; group++) {
            list_init(&class->groups[group]);
        }
        bool alike = larger != NULL && larger->npages == class->npages &&
                     larger->nobjects == class->nobjects;
        pool->class_of[i] = alike ? pool->class_of[i + 1] : (uint8_t)i;
    }
}

/* ---- blocks ---- */

static void block_free(struct zpool *pool, const struct zpool_class *class, struct block *block)
{
    struct page *pages[BLOCK_PAGES];

    memcpy(pages, block->pages, sizeof(pages)); /* the head lies in the first */
    pages_put(pages, class->npages);
    (void)atomic_fetch_sub_relaxed(&pool->npages, class->npages);
}

static struct block *block_create(struct zpool *pool, struct zpool_class *class)
{
    struct page *pages[BLOCK_PAGES];
    uint64_t limit = atomic_load_relaxed(&pool->limit_pages);

    if (atomic_fetch_add_relaxed(&pool->npages, class->npages) + class->npages > limit &&
        limit != 0) {
        goto uncount;
    }
    for (unsigned i = 0; i < class->npages; i++) {
        pages[i] = frame_alloc(0, FRAME_RESERVE, PAGE_KERNEL);
        if (pages[i] == NULL) {
            pages_put(pages, i);
            goto uncount;
        }
    }
    struct block *block = page_to_virt(pages[0]);
    *block = (struct block){.group = GROUP_NONE, .class = (uint8_t)(class - pool->classes)};
    memcpy(block->pages, pages, class->npages * sizeof(pages[0]));
    return block;

uncount:
    (void)atomic_fetch_sub_relaxed(&pool->npages, class->npages);
    return NULL;
}

/* Put the block on the list that its fullness says. */
static void block_regroup(struct zpool_class *class, struct block *block)
{
    unsigned group = block->nused == class->nobjects
                         ? GROUP_NONE
                         : (unsigned)block->nused * ZPOOL_GROUPS / class->nobjects;

    if (block->draining) {
        group = GROUP_NONE;
    }
    if (group == block->group) {
        return;
    }
    if (block->group != GROUP_NONE) {
        list_remove(&block->node);
    }
    if (group != GROUP_NONE) {
        list_push_front(&class->groups[group], &block->node);
    }
    block->group = (uint8_t)group;
}

/* An object of the fullest block there is. Class locked. NULL: all are full. */
static struct block *class_take(struct zpool_class *class, unsigned *ret_index)
{
    for (unsigned group = ZPOOL_GROUPS; group-- > 0;) {
        struct list_node *node = list_first(&class->groups[group]);
        if (node != NULL) {
            struct block *block = container_of(node, struct block, node);
            *ret_index = bit_ffs(~block->used);
            block->used |= BIT(*ret_index);
            block->nused++;
            class->nused++;
            block_regroup(class, block);
            return block;
        }
    }
    return NULL;
}

/* The object is free. Class locked. True: so is the block, and it belongs to the caller. */
static bool class_give(struct zpool_class *class, struct block *block, unsigned index)
{
    block->used &= ~BIT(index);
    block->nused--;
    class->nused--;
    if (block->nused > 0 || block->draining) {
        block_regroup(class, block);
        return false;
    }
    if (block->group != GROUP_NONE) {
        list_remove(&block->node);
    }
    class->nblocks--;
    return true;
}

void zpool_fini(struct zpool *pool)
{
    BUG_ON(atomic_load_relaxed(&pool->npages) != 0);
}

/* ---- objects ---- */

int zpool_store(struct zpool *pool, uint32_t owner, const void *data, size_t len,
                zhandle_t *ret_handle)
{
    unsigned step = (unsigned)DIV_ROUND_UP(len + sizeof(struct object), ZPOOL_STEP) - 1, index;
    struct zpool_class *class = &pool->classes[pool->class_of[step]];

    spin_lock(&class->lock);
    struct block *block = class_take(class, &index);
    if (block == NULL) {
        spin_unlock(&class->lock);
        struct block *fresh = block_create(pool, class);
        if (fresh == NULL) {
            return -ENOMEM;
        }
        spin_lock(&class->lock);
        class->nblocks++;
        block_regroup(class, fresh);
        block =
            class_take(class, &index); /* perhaps from another: the fresh one stays on its list */
    }
    spin_unlock(&class->lock);

    struct object *object = block_object(class, block, index);
    size_t first = MIN(len, bytes_to_border(class, index) - sizeof(*object));
    object->owner = owner;
    object->len = (uint16_t)len;
    memcpy(object->data, data, first);
    if (first < len) {
        memcpy(object_rest(class, block, index), (const uint8_t *)data + first, len - first);
    }
    *ret_handle = block_handle(block, index);
    return 0;
}

void zpool_free(struct zpool *pool, zhandle_t handle)
{
    struct block *block = handle_block(handle);
    struct zpool_class *class = &pool->classes[block->class];

    spin_lock(&class->lock);
    bool empty = class_give(class, block, handle % BLOCK_OBJECTS);
    spin_unlock(&class->lock);
    if (empty) {
        block_free(pool, class, block);
    }
}

size_t zpool_len(const struct zpool *pool, zhandle_t handle)
{
    const struct block *block = handle_block(handle);

    return block_object(&pool->classes[block->class], block, handle % BLOCK_OBJECTS)->len;
}

const void *zpool_read(const struct zpool *pool, zhandle_t handle, void *buffer)
{
    const struct block *block = handle_block(handle);
    const struct zpool_class *class = &pool->classes[block->class];
    unsigned index = handle % BLOCK_OBJECTS;
    const struct object *object = block_object(class, block, index);
    size_t first = bytes_to_border(class, index) - sizeof(*object);

    if (object->len <= first) {
        return object->data;
    }
    if (buffer == NULL) {
        return NULL;
    }
    memcpy(buffer, object->data, first);
    memcpy((uint8_t *)buffer + first, object_rest(class, block, index), object->len - first);
    return buffer;
}

/* ---- compaction ---- */

/* Copy an object, of the same class. */
static void object_copy(const struct zpool_class *class, const struct block *from, unsigned index,
                        const struct block *to, unsigned to_index)
{
    const struct object *object = block_object(class, from, index);
    struct object *copy = block_object(class, to, to_index);

    /* In pieces that straddle neither here nor there. */
    for (size_t done = 0, len = sizeof(*object) + object->len, n; done < len; done += n) {
        size_t from_border = bytes_to_border(class, index);
        size_t to_border = bytes_to_border(class, to_index);
        const uint8_t *src = done < from_border
                                 ? (const uint8_t *)object + done
                                 : object_rest(class, from, index) + (done - from_border);
        uint8_t *dst = done < to_border ? (uint8_t *)copy + done
                                        : object_rest(class, to, to_index) + (done - to_border);
        n = len - done;
        n = done < from_border ? MIN(n, from_border - done) : n;
        n = done < to_border ? MIN(n, to_border - done) : n;
        memcpy(dst, src, n);
    }
}

/* The emptiest block, off its list, when the others have room for what is in it. NULL: none. */
static struct block *drain_begin(struct zpool_class *class)
{
    struct block *block = NULL;

    spin_lock(&class->lock);
    for (unsigned group = 0; group < ZPOOL_GROUPS && block == NULL; group++) {
        struct list_node *node = list_last(&class->groups[group]);
        block = node == NULL ? NULL : container_of(node, struct block, node);
    }
    uint64_t nfree = (uint64_t) class->nblocks * class->nobjects - class->nused;
    if (block != NULL && nfree < class->nobjects) {
        block = NULL;
    }
    if (block != NULL) {
        block->draining = true;
        block_regroup(class, block);
    }
    spin_unlock(&class->lock);
    return block;
}

/* Frames freed; 0: something stayed. */
static unsigned drain_end(struct zpool *pool, struct zpool_class *class, struct block *block)
{
    spin_lock(&class->lock);
    bool empty = block->nused == 0;
    block->draining = false;
    if (empty) {
        class->nblocks--;
    } else {
        block_regroup(class, block);
    }
    spin_unlock(&class->lock);
    if (!empty) {
        return 0;
    }
    block_free(pool, class, block);
    return class->npages;
}

/* Move one object to another block. False: its owner does not let it go, or there is no room. */
static bool object_move(struct zpool_class *class, struct block *block, unsigned index,
                        const struct zpool_move_ops *ops, void *arg)
{
    zhandle_t handle = block_handle(block, index);
    uint32_t owner = READ_ONCE(block_object(class, block, index)->owner);
    unsigned to_index;

    /* It may have been freed just now; then nobody owns the handle, for nothing new comes into a block that drains. */
    if (!ops->may_move(arg, owner, handle)) {
        return false;
    }
    spin_lock(&class->lock);
    struct block *to = class_take(class, &to_index);
    spin_unlock(&class->lock);
    if (to == NULL) {
        ops->moved(arg, owner, handle);
        return false;
    }
    object_copy(class, block, index, to, to_index);
    ops->moved(arg, owner, block_handle(to, to_index));
    spin_lock(&class->lock);
    (void)class_give(class, block, index);
    spin_unlock(&class->lock);
    return true;
}

uint64_t zpool_compactable(struct zpool *pool)
{
    uint64_t frames = 0;

    for (unsigned i = 0; i < ZPOOL_CLASSES; i++) {
        struct zpool_class *class = &pool->classes[i];
        spin_lock(&class->lock);
        uint64_t nfree = (uint64_t) class->nblocks * class->nobjects - class->nused;
        frames += nfree / MAX(class->nobjects, 1u) * class->npages;
        spin_unlock(&class->lock);
    }
    return frames;
}

uint64_t zpool_compact(struct zpool *pool, const struct zpool_move_ops *ops, void *arg)
{
    uint64_t freed = 0;

    for (unsigned i = 0; i < ZPOOL_CLASSES; i++) {
        struct zpool_class *class = &pool->classes[i];
        struct block *block;
        unsigned npages = 1;
        while (npages > 0 && (block = drain_begin(class)) != NULL) {
            for (unsigned index = 0; index < class->nobjects; index++) {
                if ((atomic_load_relaxed(&block->used) & BIT(index)) != 0) {
                    (void)object_move(class, block, index, ops, arg);
                }
            }
            npages = drain_end(pool, class, block);
            freed += npages;
        }
    }
    return freed;
}
