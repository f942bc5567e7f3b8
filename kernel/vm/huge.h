/*
 * Transparent huge pages: anonymous memory in leaves of 2 MiB, where a region covers an aligned 2 MiB whole.
 *
 * A fault takes a block of 512 frames if one is to be had at once, and small pages otherwise. There are no compound pages: the block is
 * 512 single frames that lie together (kernel/mm/page.h), so a leaf is split into entries at any moment, and fork, reverse mapping and
 * release count frames as ever. What was touched in small pages is gathered into a huge one later by a thread (khugepaged), or at once
 * for madvise(MADV_COLLAPSE).
 *
 * This header: the settings, as /sys/kernel/mm/transparent_hugepage shows them.
 */
#pragma once

#include "kernel/base/types.h"

struct vmspace;
struct vm_region;

#define HUGE_ORDER (HUGE_PAGE_SHIFT - PAGE_SHIFT)
#define HUGE_PAGES (1u << HUGE_ORDER) /* frames of a huge page */

enum huge_mode {
    HUGE_ALWAYS,
    HUGE_MADVISE, /* only where MADV_HUGEPAGE asked */
    HUGE_NEVER,
};

/* What a fault does for a block when none is free: compaction at once, or by the reclaim thread for later faults, or nothing. */
enum huge_defrag {
    DEFRAG_ALWAYS,        /* at once */
    DEFRAG_DEFER,         /* later */
    DEFRAG_DEFER_MADVISE, /* at once where MADV_HUGEPAGE asked, later elsewhere */
    DEFRAG_MADVISE,       /* at once where MADV_HUGEPAGE asked */
    DEFRAG_NEVER,
};

struct huge_settings {
    enum huge_mode mode;     /* [a] */
    enum huge_defrag defrag; /* [a] */
    uint32_t use_zero_page;  /* [a] 2 MiB of zeros for memory that is only read */
    /* khugepaged: */
    uint32_t khugepaged_defrag; /* [a] it compacts memory for a block */
    uint32_t alloc_sleep_ms;    /* [a] after it got none */
    uint32_t pages_to_scan;     /* [a] in one go */
    uint32_t scan_sleep_ms;     /* [a] between two goes */
    uint32_t max_ptes_none;     /* [a] most pages of 512 that may be missing */
    uint32_t max_ptes_shared;   /* [a] and that may be shared with another space */
    uint64_t pages_collapsed;   /* [a] huge pages made */
    uint64_t full_scans;        /* [a] rounds over all spaces */
};
extern struct huge_settings vm_huge;
void huge_set_mode(enum huge_mode mode);

struct huge_stats {
    uint64_t fault_alloc, fault_fallback; /* faults that got a block, and that did not */
    uint64_t collapse_alloc,
        collapse_failed;     /* blocks for collapsing, and how often there was none */
    uint64_t zero_alloc;     /* blocks of zeros made */
    uint64_t leaves, splits; /* huge leaves now; leaves split so far */
};
void huge_stats(struct huge_stats *ret_stats);

/* prctl(PR_SET_THP_DISABLE): no more huge pages for this space, and what it forks or executes. */
void vmspace_disable_huge(struct vmspace *vm, bool disable);
/* False for no space. */
bool vmspace_huge_is_disabled(const struct vmspace *vm);
/* Would a fault in the region take a huge page somewhere? vm->lock held. */
bool vm_region_huge_eligible(const struct vm_region *region);
/* Boot: khugepaged. */
void huge_start(void);
