/*
 * A pool of small objects of any length, packed so that the memory used is close to their sum: what is compressed lives here.
 *
 * Objects have no address, only a handle: they may straddle the border between two frames, and zpool_compact() moves them. Each carries
 * the number of its owner (a slot of the store), by which the mover asks who may be moved.
 *
 * Locking: a spin lock per size class. The content of an object is its owner's matter: nobody reads, frees or moves it at the same time.
 * Nothing here sleeps.
 */
#pragma once

#include "kernel/base/list.h"
#include "kernel/mm/page.h"
#include "kernel/sync/spinlock.h"

#define ZPOOL_STEP        64u
#define ZPOOL_OBJECT_MAX  3264u /* five of these and the block's head are four frames */
#define ZPOOL_LEN_MAX     (ZPOOL_OBJECT_MAX - 8) /* what fits into one */
#define ZPOOL_CLASSES     (ZPOOL_OBJECT_MAX / ZPOOL_STEP)
#define ZPOOL_GROUPS      4
#define ZPOOL_HANDLE_BITS 46 /* frame number and index */

typedef uint64_t zhandle_t; /* never 0 */

/* Locks:  I immutable   c class->lock   a atomic */
struct zpool_class {
    struct spinlock lock;
    uint16_t size;    /* [I] of an object, its head included */
    uint8_t npages;   /* [I] in a block */
    uint8_t nobjects; /* [I] in a block */
    uint32_t nblocks; /* [c] */
    uint64_t nused;   /* [c] objects */
    struct list_node
        groups[ZPOOL_GROUPS]; /* [c] blocks that are not full, by quarters of fullness */
};

struct zpool {
    struct zpool_class
        classes[ZPOOL_CLASSES];      /* sizes whose blocks would be alike share the largest's */
    uint8_t class_of[ZPOOL_CLASSES]; /* [I] by size in steps, less 1 */
    uint64_t npages;                 /* [a] frames in use */
    uint64_t limit_pages;            /* [a] not to be exceeded; 0: none */
};

struct zpool_move_ops {
    /* The owner lets its object at `handle` be moved, and keeps it as it is until moved() is called. False: not now, or not its own. */
    bool (*may_move)(void *arg, uint32_t owner, zhandle_t handle);
    /* The object is at `handle` now (or still, when nothing came of it). */
    void (*moved)(void *arg, uint32_t owner, zhandle_t handle);
};

void zpool_init(struct zpool *pool);
/* Everything was freed. */
void zpool_fini(struct zpool *pool);

/*
 * Keep `len` (1 to ZPOOL_LEN_MAX) bytes. Takes from the reserve of memory. -ENOMEM. Any thread, spin locks may be held.
 */
int zpool_store(struct zpool *pool, uint32_t owner, const void *data, size_t len,
                zhandle_t *ret_handle);
void zpool_free(struct zpool *pool, zhandle_t handle);
size_t zpool_len(const struct zpool *pool, zhandle_t handle);
/*
 * The whole content, where it lies or, when it lies in two pieces, copied to `buffer` of ZPOOL_LEN_MAX bytes; without a buffer NULL says
 * so.
 */
const void *zpool_read(const struct zpool *pool, zhandle_t handle, void *buffer);
/* Frames that zpool_compact() would free if every object could be moved. */
uint64_t zpool_compactable(struct zpool *pool);
/* Move objects out of blocks that are nearly empty, into others. Returns the frames freed. */
uint64_t zpool_compact(struct zpool *pool, const struct zpool_move_ops *ops, void *arg);
