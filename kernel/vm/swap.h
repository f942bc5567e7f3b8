/*
 * Swap: where pages go that memory has no room for, behind one interface whatever keeps them.
 *
 * An *area* is what swapon(2) adds: a device with operations to store and load pages by slot, and a priority. An *entry* names one slot
 * of one area in 32 bits; it stands in soft page table entries (kernel/machine/mmu.h), in the value entries of page caches of shared
 * memory, and in page->private of a page in the swap cache. The *swap cache* says which page in memory holds a slot's content (or is
 * just getting it), so that all who ask for a slot meet at the same page.
 *
 * References: a slot is taken while its count is above 0. Every entry that stands somewhere holds one, and so does everybody who works
 * with a slot: who stores to or loads from it holds a reference from before until after. The cache holds none: when the last reference
 * to a slot goes, its page leaves the cache and the slot is free.
 *
 * Out (the page is locked and off the lists, the caller has a reference to it):
 *     swap_slot_alloc(&entry);                    one reference, the caller's
 *     swap_cache_add(entry, page, NULL, NULL);
 *     per mapping, under its table lock:          swap_slot_get(entry); mmu_replace_soft(va, entry); page_unmap...
 *     swap_store(entry, page);                    on failure: leave it in the cache, where faults find it
 *     swap_cache_remove_unused(entry, page, 2, 0);  nobody took it meanwhile: the caller's page_put() frees it
 *     swap_slot_put(entry);
 *
 * In (a fault found `entry`, and holds no table lock):
 *     if (!swap_slot_tryget(entry)) return;       it has gone: the access is tried again
 *     page = swap_cache_find(entry);              wait for its lock; or, when NULL:
 *         page = a new one, locked;  swap_cache_add(entry, page, &other, NULL);  swap_load(entry, page);  unlock
 *     under the table lock, when the soft entry is still there: mmu_replace(page...), then swap_slot_put(entry) for what stood there
 *     swap_slot_put(entry);                       the last one takes the page out of the cache: it is the faulting process's alone
 *
 * Locking: everything about a slot is under its cluster's lock (spin, no interrupts), which is taken inside table locks and page
 * cache locks, and takes only the allocator's and the back end's locks inside. Nothing here needs a lock of the caller's.
 */
#pragma once

#include "kernel/mm/page.h"

#define SWAP_AREAS_MAX 32u
#define SWAP_SLOT_BITS 27u /* 512 GiB an area; what a device has beyond is not used */
#define SWAP_SLOTS_MAX BIT(SWAP_SLOT_BITS)
#define SWAP_PATH_MAX  256u

typedef uint32_t swap_entry_t;
#define SWAP_ENTRY_NONE 0u /* never an entry: slot 0 is an area's header */

static inline swap_entry_t swap_entry(unsigned area, uint64_t slot)
{
    return (swap_entry_t)((uint64_t)area << SWAP_SLOT_BITS | slot);
}

static inline unsigned swap_entry_area(swap_entry_t entry)
{
    return entry >> SWAP_SLOT_BITS;
}

static inline uint64_t swap_entry_slot(swap_entry_t entry)
{
    return entry & (SWAP_SLOTS_MAX - 1);
}

/* ---- what an area stands on ---- */

/*
 * A back end. `device` is the pointer given to swap_area_add(). A slot's content is what was stored last; loads only ask for slots
 * that were stored to since they were last freed. store, load and free of one slot never run at the same time (but loads do).
 */
struct swap_ops {
    /* Keep the page's content at `slot`. May sleep; uses only the reserve of memory. -ENOMEM or -ENOSPC: full, -EIO. */
    int (*store)(void *device, uint64_t slot, struct page *page);
    /* Fill the page with what is at `slot`. May sleep. -EIO. */
    int (*load)(void *device, uint64_t slot, struct page *page);
    /* The content of `slot` is not needed any more. NULL: nothing to do. Spin locks are held: must not sleep. */
    void (*free)(void *device, uint64_t slot);
};

/* ---- slots ---- */

/* A free slot of the area with the highest priority; areas of the same one take turns. Count 1. Never sleeps. -ENOSPC, -ENOMEM. */
int swap_slot_alloc(swap_entry_t *ret_entry);
/* A CPU does not run any more (struct cpu_step): others may take the slots that it had for itself. Thread context. */
void swap_cpu_dead(unsigned id);
/* One reference more; the caller has one, or holds the lock of where one stands. A count that is full stays full for ever. */
void swap_slot_get(swap_entry_t entry);
/* The same for an entry that may be stale. False: there is no such area or its slot is free. */
bool swap_slot_tryget(swap_entry_t entry) __must_check;
/* One reference less. The last one takes the slot's page out of the cache and frees the slot. Spin locks may be held. */
void swap_slot_put(swap_entry_t entry);
/* How many there are; 0: free, or nonsense. For /proc/PID/smaps (SwapPss) and for the decision whether a page is shared. */
unsigned swap_slot_refs(swap_entry_t entry);

/* Move content. The caller holds a reference to the slot, and the page's lock. May sleep. Results as in struct swap_ops. */
int swap_store(swap_entry_t entry, struct page *page);
int swap_load(swap_entry_t entry, struct page *page);

/*
 * The page with the slot's content, from the cache or read in anew as a page of `kind` (PAGE_ANON, PAGE_SHARED); locked and referenced.
 * *ret_major: it was read. The caller holds a reference to the slot. May sleep and reclaim. -ENOMEM, -EIO. (swap_in.c)
 */
int swap_read(swap_entry_t entry, enum page_kind kind, bool *ret_major, struct page **ret_page);

/* ---- the cache ---- */

/* The page that holds the slot's content or is getting it (then it is locked), referenced; NULL: none. Never sleeps. */
struct page *swap_cache_find(swap_entry_t entry);
/*
 * Make `page` the slot's; the cache takes a reference of its own, sets PAGE_FLAG_SWAPCACHE and page->private. The caller holds a
 * reference to the slot, and the page's lock. -EEXIST: there is one, *ret_other, referenced (when not NULL). *ret_shadow (when not NULL): what
 * swap_cache_remove_unused() left there last, or 0.
 */
int swap_cache_add(swap_entry_t entry, struct page *page, struct page **ret_other,
                   uint64_t *ret_shadow);
/* Take `page` out, and drop the cache's reference to it. False: it was not in. The caller has a reference to the page. */
bool swap_cache_remove(swap_entry_t entry, struct page *page);
/*
 * The same, only if the page has exactly `refs` references, the cache's counted: what was got by swap_cache_find() is among them. `shadow`
 * (workingset.h; 0: none) stays in its place.
 */
bool swap_cache_remove_unused(swap_entry_t entry, struct page *page, uint32_t refs,
                              uint64_t shadow);

/* ---- areas ---- */

/* What the first page of an area says (swap_header.c). */
struct swap_header {
    uint64_t nslots; /* with slot 0; at most SWAP_SLOTS_MAX */
    uint32_t nbad;
    const uint32_t *bad; /* [nbad] inside the page that was parsed: swap_header_bad() */
    bool swapped;        /* written by a machine of the other byte order */
    uint8_t uuid[16];
    char label[17];
};
/*
 * Parse the page (aligned to 4) that mkswap(8) wrote at the start of a device of device_bytes. -EINVAL: not swap space, of another
 * version, larger than the device, or nonsense.
 */
int swap_header_parse(const void *page, uint64_t device_bytes, struct swap_header *ret_header);
/* Slot `index` (below nbad) of those not to be used; above 0, perhaps beyond nslots. */
uint64_t swap_header_bad(const struct swap_header *header, uint32_t index);

#define SWAP_PRIORITY_DEFAULT (-1) /* below all areas so far */

struct swap_area_info {
    const char *path;  /* as /proc/swaps shows it; copied */
    bool is_partition; /* a block device, else a file */
    int priority;      /* 0 .. 32767, or SWAP_PRIORITY_DEFAULT */
    bool discard;      /* free all slots of the device first: it need not keep what was in them */
};
/*
 * Add an area. May sleep. *ret_area is its number. -EPERM: there are SWAP_AREAS_MAX; -ENOMEM; -EINVAL: no usable slot; -EBUSY: `device`
 * is an area already.
 */
int swap_area_add(const struct swap_ops *ops, void *device, const struct swap_header *header,
                  const struct swap_area_info *info, unsigned *ret_area);
/*
 * Bring back what is in the area, and forget it. May sleep for long. -EINVAL: `device` is no area (or one that is just leaving);
 * -ENOMEM: not all of it fits, the area is in use as before; -EINTR: a signal came, likewise.
 */
int swap_area_remove(void *device);
/*
 * Set by whoever keeps entries: bring all pages of the area back into memory, wherever an entry of it stands. No new slot is taken in
 * it meanwhile. 0 (call again when slots are left), -ENOMEM, -EINTR.
 */
extern int (*swap_unuse_hook)(unsigned area);

/* /proc/swaps. Area `index` of those there are, in the order of their numbers; false: no more. */
struct swap_area_stats {
    char path[SWAP_PATH_MAX];
    bool is_partition;
    int priority;
    uint64_t nslots, nused; /* usable slots */
};
bool swap_area_describe(unsigned index, struct swap_area_stats *ret_stats);

struct swap_stats {
    uint64_t total, free; /* pages */
    uint64_t cached;      /* pages in the swap cache */
    uint64_t pages_in;    /* swap_load() so far */
    uint64_t pages_out;   /* swap_store() so far */
};
void swap_stats(struct swap_stats *ret_stats);
/* Slots that can still be had: whether reclaim should look at anonymous pages at all. Any context, a few instructions. */
uint64_t swap_free_slots(void);
