/*
 * Arenas: ranges of numbers, handed out and taken back; here addresses of the kernel's half, without memory behind them.
 *
 * An arena owns spans: added once, or imported from a source when it has nothing left, and given back when all of one is free. It never
 * looks at what the addresses stand for, so its own data lies elsewhere: a boundary tag for each piece, used or free.
 *
 * Locking: arena->lock (spin, irqsave); a source is called without it. Any context that the source allows, nothing here sleeps.
 * Source: Bonwick and Adams, "Magazines and Vmem", USENIX 2001, section 4.
 */
#pragma once

#include "kernel/base/list.h"
#include "kernel/base/types.h"
#include "kernel/sync/spinlock.h"

#define VMEM_BINS          64 /* bin b: free pieces of 2^b to 2^(b+1) - 1 quanta */
#define VMEM_FIRST_BUCKETS 16

/* Which of the free pieces that are large enough is cut. */
enum vmem_policy {
    VMEM_INSTANT_FIT, /* one of a size whose every piece is: constant time, until there are only pieces that may be */
    VMEM_BEST_FIT,  /* the smallest: looks at all pieces of about its size */
    VMEM_FIRST_FIT, /* the lowest: looks at all pieces below it */
};

/* Where an arena gets its spans. */
struct vmem_source {
    /* len_bytes (a multiple of `unit`) of address space; 0: none. */
    uint64_t (*import)(void *arg, uint64_t len_bytes);
    void (*release)(void *arg, uint64_t start, uint64_t len_bytes);
    void *arg;
    uint64_t unit; /* a power of two: spans are imported in multiples of it */
};

struct vmem_tag;

/* Locks:  I immutable   l lock   a atomic */
struct vmem {
    struct spinlock lock;
    const char *name;                 /* [I] */
    unsigned shift;                   /* [I] a quantum is 1 << shift bytes */
    const struct vmem_source *source; /* [I] or NULL */
    struct list_node spans;           /* [l] tags of spans, by address */
    struct list_node segments; /* [l] all tags, by address: a span's, then those of its pieces */
    struct list_node bins[VMEM_BINS]; /* [l] tags of free pieces */
    struct list_node spare;           /* [l] tags for the next allocations */
    unsigned nspare;                  /* [l] */
    uint64_t nonempty;                /* [l] a bit per bin */
    struct vmem_tag **buckets;        /* [l] tags of used pieces by address, hashed */
    unsigned bucket_bits;             /* [l] */
    struct vmem_tag **old_buckets;    /* [l] while the table grows: the former one. Else NULL */
    uint64_t nsplit;                  /* [l] chains of it that are in the new one */
    struct vmem_tag *first_buckets[VMEM_FIRST_BUCKETS];
    uint64_t nused, nfree;            /* [l] pieces */
    uint64_t used_bytes, total_bytes; /* [l] */
    uint64_t allocs, imports;         /* [l] so far */
    uint64_t failures;                /* [a] so far */
};

/* An arena without spans. quantum_bytes: a power of two; what is asked for is rounded up to it. `name` and `source` live as long. */
void vmem_init(struct vmem *arena, const char *name, uint64_t quantum_bytes,
               const struct vmem_source *source);
/* Nothing of it is in use. Imported spans go back to their source. */
void vmem_fini(struct vmem *arena);
/* The arena owns [start, start + len_bytes), multiples of its quantum; not 0, and no part of what it has. -ENOMEM. */
int vmem_add_span(struct vmem *arena, uint64_t start, uint64_t len_bytes);

/* 0: no room, or no memory for a tag. */
uint64_t vmem_alloc(struct vmem *arena, uint64_t len_bytes, enum vmem_policy policy) __must_check;
/* At a multiple of align_bytes, a power of two. */
uint64_t vmem_alloc_aligned(struct vmem *arena, uint64_t len_bytes, uint64_t align_bytes,
                            enum vmem_policy policy) __must_check;
/* As it was allocated; 0 is fine. Never fails; a range that is not in use is a defect, told and otherwise ignored. */
void vmem_free(struct vmem *arena, uint64_t start, uint64_t len_bytes);

struct vmem_stats {
    const char *name;
    uint64_t quantum_bytes, total_bytes, used_bytes;
    uint64_t nspans, nused, nfree; /* pieces */
    uint64_t allocs, failures, imports;
};
void vmem_stats(struct vmem *arena, struct vmem_stats *ret_stats);

struct vmem_piece {
    uint64_t start, len_bytes;
    bool used;
};
/* The lowest piece that begins at or above `from`; false: there is none. Walks all before it: for tests and figures. */
bool vmem_describe(struct vmem *arena, uint64_t from, struct vmem_piece *ret_piece);
