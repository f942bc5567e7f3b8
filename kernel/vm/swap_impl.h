/*
 * What the files of swap share. Private to kernel/vm/swap*.c.
 *
 * An area's slots lie in clusters of 512. A cluster has a bitmap of its free slots, and, while any is taken, one page with a word for
 * each slot: its count and the page that the swap cache has for it. So swap that is not used costs about a hundred bytes for 2 MiB.
 *
 * Each CPU takes slots from a cluster of its own of each area, so CPUs that swap out do not meet, and what is swapped out together
 * lies together. Clusters that no CPU has are on the area's list `empty` or `partial`, or on none when they are full.
 *
 * Areas are static and come and go; a stale entry may name one that has gone. Every access to clusters therefore lies between
 * swap_enter() and swap_leave(), with preemption off, and removal waits until every CPU was seen outside: see swap_quiesce().
 */
#pragma once

#include "kernel/core/percpu.h"
#include "kernel/sync/spinlock.h"
#include "kernel/vm/swap.h"

#define CLUSTER_SLOTS 512u
#define CLUSTER_NONE  UINT32_MAX

enum cluster_state {
    CLUSTER_EMPTY,   /* on area->empty */
    CLUSTER_PARTIAL, /* on area->partial */
    CLUSTER_OWNED,   /* some CPU's */
    CLUSTER_FULL,
};

/* Locks:  c cluster->lock   A area->lock   cA both to change, either to read */
struct swap_cluster {
    struct spinlock lock;
    uint16_t nfree;                    /* [c] */
    uint16_t nusable;                  /* [I] slots that are neither bad nor beyond the end */
    uint8_t state;                     /* [A] enum cluster_state */
    struct list_node node;             /* [A] */
    uint64_t free[CLUSTER_SLOTS / 64]; /* [c] bitmap */
    uint64_t *words;                   /* [c] a page, or NULL when no slot is taken */
};

/* A word: the cached page's frame number, or the shadow of one that went; and the count. 0: free (or unusable). */
#define WORD_PFN_MASK    (BIT(40) - 1)
#define WORD_SHADOW      BIT(40) /* the latter */
#define WORD_PAGE_MASK   (WORD_SHADOW | WORD_PFN_MASK)
#define WORD_COUNT_SHIFT 41
#define WORD_COUNT_ONE   BIT(WORD_COUNT_SHIFT)
#define WORD_COUNT_MAX   (BIT(23) - 1)

enum area_state {
    AREA_UNUSED,
    AREA_ACTIVE,
    AREA_LEAVING, /* no new slots; old ones are still valid */
};

struct swap_area {
    enum area_state state;      /* [swap_mutex] */
    bool live;                  /* [a] clusters may be looked at, inside swap_enter() */
    const struct swap_ops *ops; /* [I] while live, like the next five */
    void *device;
    char *path;
    bool is_partition;
    int priority;
    uint64_t nslots;               /* with unusable ones */
    uint64_t nusable;              /* [I] while live */
    struct swap_cluster *clusters; /* [I] while live */
    uint64_t nused;                /* [a] */
    struct spinlock lock;
    struct list_node empty;   /* [lock] */
    struct list_node partial; /* [lock] the longest waiting first */
};

extern struct swap_area swap_areas[SWAP_AREAS_MAX];

/* Areas that slots are taken from, by priority. Immutable; replaced as a whole. */
struct swap_order {
    unsigned n;
    struct swap_area *areas[SWAP_AREAS_MAX];
};
extern const struct swap_order *swap_order; /* [a] read inside swap_enter() */

struct swap_cpu {
    uint32_t sequence; /* [a] odd: inside swap_enter() */
    uint32_t turn;     /* which of the areas of one priority is next */
    uint64_t pages_in, pages_out;
    int64_t cached;
    uint32_t cluster[SWAP_AREAS_MAX]; /* [swap_enter()] CLUSTER_NONE: none */
};
DECLARE_PER_CPU(struct swap_cpu, swap_cpus);

/* Not nested, and not in interrupts. */
static inline struct swap_cpu *swap_enter(void)
{
    preempt_disable();
    struct swap_cpu *cpu = this_cpu_ptr(swap_cpus);
    /* Before any look at an area. Pairs with the fence of swap_quiesce(): it sees us inside, or we see what it changed. */
    (void)__atomic_fetch_add(&cpu->sequence, 1, __ATOMIC_SEQ_CST);
    return cpu;
}

static inline void swap_leave(struct swap_cpu *cpu)
{
    __atomic_store_n(&cpu->sequence, cpu->sequence + 1, __ATOMIC_RELEASE);
    preempt_enable();
}

/* Wait until nobody is inside who was when this was called. */
void swap_quiesce(void);
/* The clusters of a fresh area, all slots free but the header's and bad ones. -ENOMEM, -EINVAL. Not live yet. */
int swap_clusters_create(struct swap_area *area, const struct swap_header *header);
/* No slot is taken, and nobody is inside. */
void swap_clusters_destroy(struct swap_area *area);
