/*
 * The pieces of an arena, and the hash table in which those in use are found by their address: between vmem.c, vmem_hash.c and vmem_figures.c.
 *
 * While the table grows there are two: a chain of the old one is split between two of the new one, from the first chain on, some in each turn.
 * What hashes to a chain that is not split yet is in the old table. The hash's upper bits are the chain's number, so that chain c of the
 * old table becomes chains 2c and 2c + 1.
 */
#pragma once

#include "kernel/mm/vmem.h"

enum tag_kind { TAG_SPAN, TAG_IMPORTED_SPAN, TAG_FREE, TAG_USED };

/* All under the lock of its arena. */
struct vmem_tag {
    struct list_node segment; /* in arena->segments */
    union {
        struct list_node
            link; /* spans: in arena->spans; free: in its bin; spare: in arena->spare */
        struct vmem_tag *hash_next; /* used */
    };
    uint64_t start, len;
    enum tag_kind kind;
};

static inline struct vmem_tag *vmem_tag_of(struct list_node *segment)
{
    return list_entry(segment, struct vmem_tag, segment);
}

/* Multiplicative hashing (Knuth, TAOCP volume 3, 6.4). */
static inline struct vmem_tag **vmem_bucket_of_locked(struct vmem *arena, uint64_t start)
{
    uint64_t key = (start >> arena->shift) * 0x9e3779b97f4a7c15ull;
    uint64_t chain = key >> (64 - arena->bucket_bits);

    if (unlikely(arena->old_buckets != NULL) && chain / 2 >= arena->nsplit) {
        return &arena->old_buckets[chain / 2];
    }
    return &arena->buckets[chain];
}

static inline void vmem_used_insert_locked(struct vmem *arena, struct vmem_tag *tag)
{
    struct vmem_tag **bucket = vmem_bucket_of_locked(arena, tag->start);

    tag->kind = TAG_USED;
    tag->hash_next = *bucket;
    *bucket = tag;
}

/* NULL: no piece in use begins there with that length. */
static inline struct vmem_tag *vmem_used_remove_locked(struct vmem *arena, uint64_t start,
                                                       uint64_t len)
{
    struct vmem_tag **link = vmem_bucket_of_locked(arena, start), *tag;

    while ((tag = *link) != NULL && tag->start != start) {
        link = &tag->hash_next;
    }
    if (tag == NULL || tag->len != len) {
        return NULL;
    }
    *link = tag->hash_next;
    return tag;
}

/* More chains, if there is memory; else they get longer. Unlocked; others use the arena meanwhile. */
void vmem_buckets_grow(struct vmem *arena);

/* Its steps. A larger table, empty, takes the place of the one there is, which becomes the old one; false: another CPU came first. */
bool vmem_grow_begin_locked(struct vmem *arena, struct vmem_tag **fresh, unsigned old_bits);
/* Split VMEM_SPLIT_TURN chains. False: those were the last, and nobody uses the old table any more. */
#define VMEM_SPLIT_TURN 32u
bool vmem_grow_turn_locked(struct vmem *arena);
