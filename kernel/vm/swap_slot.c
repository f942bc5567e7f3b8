/*
 * Slots of swap: taking and giving them back, their counts, and the swap cache. See swap_impl.h for how they are kept.
 */
#include "kernel/base/bitmap.h"
#include "kernel/base/errno.h"
#include "kernel/core/panic.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/vm/swap_impl.h"

/* ---- one slot, locked ---- */

struct slot {
    struct swap_cpu *cpu;
    struct swap_area *area;
    struct swap_cluster *cluster;
    unsigned index;
    uint64_t *word;
};

/* Find and lock an entry's slot. False: there is none, or it is free; nothing is locked. */
static bool slot_lock(swap_entry_t entry, struct slot *slot)
{
    uint64_t number = swap_entry_slot(entry);

    slot->cpu = swap_enter();
    slot->area = &swap_areas[swap_entry_area(entry)];
    if (unlikely(!atomic_load_acquire(&slot->area->live) || number >= slot->area->nslots)) {
        swap_leave(slot->cpu);
        return false;
    }
    slot->cluster = &slot->area->clusters[number / CLUSTER_SLOTS];
    slot->index = number % CLUSTER_SLOTS;
    spin_lock(&slot->cluster->lock);
    slot->word = slot->cluster->words + slot->index;
    if (unlikely(slot->cluster->words == NULL || *slot->word == 0)) {
        spin_unlock(&slot->cluster->lock);
        swap_leave(slot->cpu);
        return false;
    }
    return true;
}

static void slot_unlock(struct slot *slot)
{
    spin_unlock(&slot->cluster->lock);
    swap_leave(slot->cpu);
}

static uint64_t word_count(uint64_t word)
{
    return word >> WORD_COUNT_SHIFT;
}

static struct page *word_page(uint64_t word)
{
    bool none = (word & WORD_PFN_MASK) == 0 || (word & WORD_SHADOW) != 0;

    return none ? NULL : pfn_to_page(word & WORD_PFN_MASK);
}

/* ---- clusters ---- */

static void words_free(struct swap_cluster *cluster)
{
    if (cluster->words != NULL) {
        page_put(virt_to_page(cluster->words));
        cluster->words = NULL;
    }
}

int swap_clusters_create(struct swap_area *area, const struct swap_header *header)
{
    uint64_t n = DIV_ROUND_UP(header->nslots, CLUSTER_SLOTS);
    struct swap_cluster *clusters = kvmalloc(n * sizeof(*clusters));

    if (clusters == NULL) {
        return -ENOMEM;
    }
    spin_init(&area->lock, "swap area");
    list_init(&area->empty);
    list_init(&area->partial);
    for (uint64_t i = 0; i < n; i++) {
        clusters[i] = (struct swap_cluster){.state = CLUSTER_FULL};
        spin_init(&clusters[i].lock, "swap cluster");
        bitmap_set_range(clusters[i].free, 0,
                         MIN(header->nslots - i * CLUSTER_SLOTS, (uint64_t)CLUSTER_SLOTS));
    }
    bitmap_clear(clusters[0].free, 0);
    for (uint32_t i = 0; i < header->nbad; i++) {
        uint64_t bad = swap_header_bad(header, i);
        if (bad < header->nslots) {
            bitmap_clear(clusters[bad / CLUSTER_SLOTS].free, bad % CLUSTER_SLOTS);
        }
    }
    area->nusable = 0;
    for (uint64_t i = 0; i < n; i++) {
        struct swap_cluster *cluster = &clusters[i];
        cluster->nusable = cluster->nfree = (uint16_t)bitmap_count(cluster->free, CLUSTER_SLOTS);
        area->nusable += cluster->nusable;
        if (cluster->nusable > 0) {
            cluster->state = CLUSTER_EMPTY;
            list_push_back(&area->empty, &cluster->node);
        }
    }
    if (area->nusable == 0) {
        kvfree(clusters);
        return -EINVAL;
    }
    area->nslots = header->nslots;
    area->clusters = clusters;
    return 0;
}

void swap_clusters_destroy(struct swap_area *area)
{
    for (uint64_t i = 0; i < DIV_ROUND_UP(area->nslots, CLUSTER_SLOTS); i++) {
        words_free(&area->clusters[i]); /* CPUs' own clusters keep theirs when they get empty */
    }
    kvfree(area->clusters);
    area->clusters = NULL;
}

/* A cluster for this CPU alone. CLUSTER_NONE: all have an owner or are full. */
static uint32_t cluster_claim(struct swap_area *area)
{
    struct list_node *node;

    spin_lock(&area->lock);
    node = list_pop_front(list_empty(&area->empty) ? &area->partial : &area->empty);
    if (node == NULL) {
        spin_unlock(&area->lock);
        return CLUSTER_NONE;
    }
    struct swap_cluster *cluster = container_of(node, struct swap_cluster, node);
    cluster->state = CLUSTER_OWNED;
    spin_unlock(&area->lock);
    return (uint32_t)(cluster - area->clusters);
}

/* The cluster that a CPU had, as it is, for whoever wants one. */
static void cluster_release(struct swap_area *area, uint32_t number)
{
    struct swap_cluster *cluster = &area->clusters[number];

    spin_lock(&cluster->lock);
    spin_lock(&area->lock);
    if (cluster->state == CLUSTER_OWNED && cluster->nfree == cluster->nusable) {
        cluster->state = CLUSTER_EMPTY;
        list_push_front(&area->empty, &cluster->node);
        words_free(cluster);
    } else if (cluster->state == CLUSTER_OWNED) {
        cluster->state = CLUSTER_PARTIAL;
        list_push_back(&area->partial, &cluster->node);
    }
    spin_unlock(&area->lock);
    spin_unlock(&cluster->lock);
}

void swap_cpu_dead(unsigned id)
{
    struct swap_cpu *self = swap_enter();

    for (unsigned i = 0; i < SWAP_AREAS_MAX; i++) {
        uint32_t *own = &per_cpu_ptr(swap_cpus, id)->cluster[i], number = *own;
        if (atomic_load_acquire(&swap_areas[i].live) && number != CLUSTER_NONE) {
            atomic_store_relaxed(own, CLUSTER_NONE);
            cluster_release(&swap_areas[i], number);
        }
    }
    swap_leave(self);
}

/* A slot of a cluster, with count 1. -ENOSPC, -ENOMEM. */
static int cluster_take(struct swap_area *area, uint32_t number, swap_entry_t *ret_entry)
{
    struct swap_cluster *cluster = &area->clusters[number];
    int err = -ENOSPC;

    spin_lock(&cluster->lock);
    if (cluster->nfree == 0) {
        goto unlock;
    }
    if (cluster->words == NULL) {
        struct page *page = frame_alloc(0, FRAME_ZERO | FRAME_RESERVE, PAGE_KERNEL);
        err = -ENOMEM;
        if (page == NULL) {
            goto unlock;
        }
        cluster->words = page_to_virt(page);
    }
    size_t index = bitmap_find_set(cluster->free, CLUSTER_SLOTS, 0);
    bitmap_clear(cluster->free, index);
    cluster->words[index] = WORD_COUNT_ONE;
    (void)atomic_fetch_add_relaxed(&area->nused, 1);
    if (--cluster->nfree == 0) {
        spin_lock(&area->lock);
        if (cluster->state == CLUSTER_PARTIAL || cluster->state == CLUSTER_EMPTY) {
            list_remove(&cluster->node); /* was taken from by a CPU that does not own it */
        }
        cluster->state = CLUSTER_FULL;
        spin_unlock(&area->lock);
    }
    *ret_entry =
        swap_entry((unsigned)(area - swap_areas), (uint64_t)number * CLUSTER_SLOTS + index);
    err = 0;
unlock:
    spin_unlock(&cluster->lock);
    return err;
}

/* The slot, whose word is 0 by now, is free. */
static void cluster_give(struct swap_area *area, struct swap_cluster *cluster, unsigned index)
{
    bitmap_set(cluster->free, index);
    cluster->nfree++;
    if (cluster->nfree == 1 || cluster->nfree == cluster->nusable) {
        spin_lock(&area->lock);
        if (cluster->state == CLUSTER_FULL) {
            cluster->state = CLUSTER_PARTIAL;
            list_push_back(&area->partial, &cluster->node);
        }
        if (cluster->state != CLUSTER_OWNED && cluster->nfree == cluster->nusable) {
            list_remove(&cluster->node);
            cluster->state = CLUSTER_EMPTY;
            list_push_front(&area->empty, &cluster->node);
            words_free(cluster);
        }
        spin_unlock(&area->lock);
    }
    (void)__atomic_fetch_sub(&area->nused, 1, __ATOMIC_RELEASE); /* pairs with swap_area_remove() */
}

/* ---- slots ---- */

/* Everything that is left belongs to CPUs: take from whoever has some. */
static int area_take_any(struct swap_area *area, swap_entry_t *ret_entry)
{
    unsigned id;

    for_each_cpu (id) {
        uint32_t *own = &per_cpu_ptr(swap_cpus, id)->cluster[area - swap_areas];
        uint32_t number = atomic_load_relaxed(own);
        if (number != CLUSTER_NONE) {
            int err = cluster_take(area, number, ret_entry);
            if (err != -ENOSPC) {
                return err;
            }
        }
    }
    return -ENOSPC;
}

static int area_take(struct swap_area *area, struct swap_cpu *cpu, swap_entry_t *ret_entry)
{
    uint32_t *own = &cpu->cluster[area - swap_areas];

    if (atomic_load_relaxed(&area->nused) >= area->nusable) {
        return -ENOSPC;
    }
    for (;;) {
        if (*own != CLUSTER_NONE) {
            int err = cluster_take(area, *own, ret_entry);
            if (err != -ENOSPC) {
                return err;
            }
        }
        atomic_store_relaxed(own, cluster_claim(area));
        if (*own == CLUSTER_NONE) {
            return area_take_any(area, ret_entry);
        }
        cpu->turn++;
    }
}

int swap_slot_alloc(swap_entry_t *ret_entry)
{
    struct swap_cpu *cpu = swap_enter();
    const struct swap_order *order = atomic_load_acquire(&swap_order);
    int err = -ENOSPC;
    unsigned end;

    for (unsigned i = 0; i < order->n && err == -ENOSPC; i = end) {
        for (end = i + 1;
             end < order->n && order->areas[end]->priority == order->areas[i]->priority;) {
            end++;
        }
        unsigned turn = end - i == 1 ? 0 : cpu->turn % (end - i);
        for (unsigned k = 0; k < end - i && err == -ENOSPC; k++) {
            err = area_take(order->areas[i + (turn + k) % (end - i)], cpu, ret_entry);
        }
    }
    swap_leave(cpu);
    return err;
}

bool swap_slot_tryget(swap_entry_t entry)
{
    struct slot slot;

    if (!slot_lock(entry, &slot)) {
        return false;
    }
    if (likely(word_count(*slot.word) < WORD_COUNT_MAX)) {
        *slot.word += WORD_COUNT_ONE;
    }
    slot_unlock(&slot);
    return true;
}

void swap_slot_get(swap_entry_t entry)
{
    bool taken = swap_slot_tryget(entry);

    BUG_ON(!taken);
}

/* Nothing refers to the slot any more. Returns the page that the cache had for it. */
static struct page *slot_free(struct slot *slot, swap_entry_t entry)
{
    struct page *page = word_page(*slot->word);

    if (page != NULL) {
        page->private = 0;
        (void)atomic_fetch_and(&page->flags, (uint16_t)~PAGE_FLAG_SWAPCACHE);
        slot->cpu->cached--;
    }
    *slot->word = 0;
    if (slot->area->ops->free != NULL) {
        slot->area->ops->free(slot->area->device, swap_entry_slot(entry));
    }
    cluster_give(slot->area, slot->cluster, slot->index);
    return page;
}

void swap_slot_put(swap_entry_t entry)
{
    struct page *page = NULL;
    struct slot slot;
    bool found = slot_lock(entry, &slot);

    BUG_ON(!found);
    uint64_t count = word_count(*slot.word);
    if (count == 1) {
        page = slot_free(&slot, entry);
    } else if (likely(count < WORD_COUNT_MAX)) {
        *slot.word -= WORD_COUNT_ONE;
    }
    slot_unlock(&slot);
    if (page != NULL) {
        page_put(page);
    }
}

unsigned swap_slot_refs(swap_entry_t entry)
{
    struct slot slot;

    if (!slot_lock(entry, &slot)) {
        return 0;
    }
    uint64_t count = word_count(*slot.word);
    slot_unlock(&slot);
    return (unsigned)count;
}

/* ---- the cache ---- */

struct page *swap_cache_find(swap_entry_t entry)
{
    struct slot slot;

    if (!slot_lock(entry, &slot)) {
        return NULL;
    }
    struct page *page = word_page(*slot.word);
    if (page != NULL) {
        page_get(page);
    }
    slot_unlock(&slot);
    return page;
}

int swap_cache_add(swap_entry_t entry, struct page *page, struct page **ret_other,
                   uint64_t *ret_shadow)
{
    struct slot slot;
    bool found = slot_lock(entry, &slot);

    BUG_ON(!found);
    struct page *other = word_page(*slot.word);
    if (other != NULL) {
        if (ret_other != NULL) {
            page_get(other);
            *ret_other = other;
        }
        slot_unlock(&slot);
        return -EEXIST;
    }
    page_get(page);
    page->private = entry;
    (void)atomic_fetch_or(&page->flags, (uint16_t)PAGE_FLAG_SWAPCACHE);
    if (ret_shadow != NULL) {
        *ret_shadow = *slot.word & WORD_PFN_MASK; /* no page is there */
    }
    *slot.word = (*slot.word & ~WORD_PAGE_MASK) | page_to_pfn(page);
    slot.cpu->cached++;
    slot_unlock(&slot);
    return 0;
}

/* refs 0: however many there are. */
static bool cache_remove(swap_entry_t entry, struct page *page, uint32_t refs, uint64_t shadow)
{
    struct slot slot;

    if (!slot_lock(entry, &slot)) {
        return false;
    }
    /* swap_cache_find() takes references under this lock alone: what is unused now is not found any more afterwards. */
    bool removed =
        word_page(*slot.word) == page && (refs == 0 || atomic_load_acquire(&page->refs) == refs);
    if (removed) {
        page->private = 0;
        (void)atomic_fetch_and(&page->flags, (uint16_t)~PAGE_FLAG_SWAPCACHE);
        *slot.word = (*slot.word & ~WORD_PAGE_MASK) | (shadow != 0 ? WORD_SHADOW | shadow : 0);
        slot.cpu->cached--;
    }
    slot_unlock(&slot);
    if (removed) {
        page_put(page);
    }
    return removed;
}

bool swap_cache_remove(swap_entry_t entry, struct page *page)
{
    return cache_remove(entry, page, 0, 0);
}

bool swap_cache_remove_unused(swap_entry_t entry, struct page *page, uint32_t refs, uint64_t shadow)
{
    return cache_remove(entry, page, refs, shadow);
}
