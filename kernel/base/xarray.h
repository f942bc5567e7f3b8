/*
 * Sparse array of pointers indexed by 64-bit integers: a radix tree of 64-way nodes that is only as high as needed.
 *
 * Entries are non-NULL pointers aligned to 4 or more. Each entry carries up to three marks, kept summarised in the
 * inner nodes so that finding the next marked entry skips unmarked subtrees. No locks: the owner protects it. Memory for
 * nodes comes from the callbacks given at init, so that this file allocates nothing itself.
 */
#pragma once

#include "kernel/base/types.h"

struct xarray_node;

struct xarray_memory {
    void *(*alloc)(size_t size_bytes); /* zeroed, or NULL */
    void (*free)(void *node);
};

struct xarray {
    struct xarray_node
        *root; /* a node with its low bit set, or the entry at index 0 when there is no other */
    const struct xarray_memory *memory;
    uint64_t nentries : 61;
    uint64_t root_marks : 3; /* marks of an entry that hangs on the root */
};

enum xarray_mark { XARRAY_MARK_0, XARRAY_MARK_1, XARRAY_MARK_2, XARRAY_NMARKS };

void xarray_init(struct xarray *xa, const struct xarray_memory *memory);
/* The one size that memory->alloc is asked for. */
size_t xarray_node_size(void);
/* Free the nodes. The entries themselves are the caller's. */
void xarray_fini(struct xarray *xa);

/* The entry at `index`, or NULL. */
void *xarray_load(const struct xarray *xa, uint64_t index);
/* The entries at [index, index + n), NULL where there is none; returns how many there are. Cheaper than n look-ups. */
unsigned xarray_load_many(const struct xarray *xa, uint64_t index, unsigned n, void **entries);
/* Store `entry` (NULL erases) at `index`; *ret_old, when not NULL, receives what was there. -ENOMEM changes nothing. */
int xarray_store(struct xarray *xa, uint64_t index, void *entry, void **ret_old);
/* Remove and return the entry at `index`; emptied nodes are freed. */
void *xarray_erase(struct xarray *xa, uint64_t index);

/* First entry at or after *index and at most `last`; *index becomes its index. NULL: none. */
void *xarray_find(const struct xarray *xa, uint64_t *index, uint64_t last);
void *xarray_find_marked(const struct xarray *xa, uint64_t *index, uint64_t last,
                         enum xarray_mark mark);
/* First index at or after `from`, at most `last`, that holds nothing. Returns false when there is none. */
bool xarray_find_free(const struct xarray *xa, uint64_t from, uint64_t last, uint64_t *ret_index);

/* Marks are set on entries only: nothing happens where there is none. Storing over an entry keeps its marks. */
void xarray_set_mark(struct xarray *xa, uint64_t index, enum xarray_mark mark);
void xarray_clear_mark(struct xarray *xa, uint64_t index, enum xarray_mark mark);
bool xarray_get_mark(const struct xarray *xa, uint64_t index, enum xarray_mark mark);

#define xarray_for_each(xa, index, last, entry)                                                    \
    for ((entry) = xarray_find((xa), &(index), (last)); (entry) != NULL;                           \
         (entry) = (index) == (last) ? NULL : ((index)++, xarray_find((xa), &(index), (last))))
