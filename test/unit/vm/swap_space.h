/*
 * What tests that swap share: an area in ordinary memory, and a way to have one page reclaimed.
 */
#pragma once

#include "kernel/base/string.h"
#include "kernel/mm/lru.h"
#include "kernel/vm/reclaim.h"
#include "kernel/vm/swap.h"
#include "test/unit/vm/space.h"

#define SWAP_TEST_SLOTS 512u

struct swap_space {
    uint8_t slots[SWAP_TEST_SLOTS][PAGE_SIZE];
    bool stored[SWAP_TEST_SLOTS];
    unsigned stores, loads;
    int error, load_error; /* of stores and loads, when not 0 */
};

static inline int swap_space_store(void *device, uint64_t slot, struct page *page)
{
    struct swap_space *space = device;

    if (space->error != 0) {
        return space->error;
    }
    EXPECT_LT(slot, SWAP_TEST_SLOTS);
    space->stored[slot] = true;
    memcpy(space->slots[slot], page_to_virt(page), PAGE_SIZE);
    space->stores++;
    return 0;
}

static inline int swap_space_load(void *device, uint64_t slot, struct page *page)
{
    struct swap_space *space = device;

    if (space->load_error != 0) {
        return space->load_error;
    }
    EXPECT(slot < SWAP_TEST_SLOTS && space->stored[slot]);
    memcpy(page_to_virt(page), space->slots[slot], PAGE_SIZE);
    space->loads++;
    return 0;
}

static inline void swap_space_free(void *device, uint64_t slot)
{
    struct swap_space *space = device;

    space->stored[slot] = false;
}

static const struct swap_ops swap_space_ops = {
    .store = swap_space_store, .load = swap_space_load, .free = swap_space_free};

static inline void swap_space_add(struct swap_space *space)
{
    struct swap_header header = {.nslots = SWAP_TEST_SLOTS};
    struct swap_area_info info = {
        .path = "/dev/test", .is_partition = true, .priority = SWAP_PRIORITY_DEFAULT};
    unsigned area;

    memset(space, 0, sizeof(*space));
    EXPECT_EQ(swap_area_add(&swap_space_ops, space, &header, &info, &area), 0);
}

/* Nothing may be left in it. */
static inline void swap_space_remove(struct swap_space *space)
{
    struct swap_stats stats;

    swap_stats(&stats);
    EXPECT_EQ(stats.free, stats.total);
    EXPECT_EQ(stats.cached, 0);
    EXPECT_EQ(swap_area_remove(space), 0);
}

static inline struct page *page_shown(struct vmspace *vm, uint64_t va)
{
    paddr_t pa;
    unsigned flags;

    return mmu_query(&vm->mmu, va, &pa, &flags) && (flags & MMU_SPECIAL) == 0 ? phys_to_page(pa)
                                                                              : NULL;
}

/* What reclaim does with the page shown at va. RECLAIM_KEEP when there is none. */
static inline enum reclaim_fate reclaim_at(struct vmspace *vm, uint64_t va)
{
    struct page *page = page_shown(vm, va);

    if (page == NULL) {
        return RECLAIM_KEEP;
    }
    page_get(page);
    EXPECT(lru_take(page));
    enum reclaim_fate fate = reclaim_page(page, true);
    if (fate != RECLAIM_FREED) {
        lru_put_back(&page, 1);
    }
    return fate;
}
