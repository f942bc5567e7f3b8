#define TEST_SUITE "mm"
#include "test/unit/test.h"

#include "hal/host/host.h"
#include "kernel/abi/boot.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/zone.h"
#include "test/unit/base/random.h"

#define NBLOCKS 600u

static struct {
    struct page *page;
    unsigned order;
    enum page_kind kind;
} blocks[NBLOCKS];

/* Which frames are in use by the test: one byte each. */
static uint8_t owned[HOST_MEMORY_BYTES / 4096];

static void own(struct page *page, unsigned order, bool value)
{
    for (pfn_t pfn = page_to_pfn(page); pfn < page_to_pfn(page) + (1ull << order); pfn++) {
        EXPECT(pfn_valid(pfn));
        EXPECT_NE(owned[pfn], value);
        owned[pfn] = value;
    }
}

static void zone_lists_of(uint64_t free_by_order[ZONE_COUNT][FRAME_MAX_ORDER + 1])
{
    struct zone_stats stats;

    (void)slab_shrink_all();
    frames_drain_local();
    for (unsigned id = 0; id < ZONE_COUNT; id++) {
        memset(free_by_order[id], 0, sizeof(free_by_order[id]));
        if (zone_stats(0, (enum zone_id)id, &stats)) {
            memcpy(free_by_order[id], stats.free_by_order, sizeof(free_by_order[id]));
        }
    }
}

static struct frame_stats stats_now(void)
{
    struct frame_stats stats;

    frame_stats(&stats);
    return stats;
}

TEST(frame, blocks_never_overlap_and_all_of_them_coalesce_again)
{
    uint64_t before[ZONE_COUNT][FRAME_MAX_ORDER + 1], after[ZONE_COUNT][FRAME_MAX_ORDER + 1];
    uint64_t seed = 3;

    memset(owned, 0, sizeof(owned));
    memset(blocks, 0, sizeof(blocks));
    zone_lists_of(before);
    struct frame_stats stats = stats_now();
    for (unsigned i = 0; i < 40000; i++) {
        unsigned slot = (unsigned)(test_random(&seed) % NBLOCKS);
        if (blocks[slot].page != NULL) {
            EXPECT_EQ(blocks[slot].page->kind, blocks[slot].kind);
            EXPECT_EQ(blocks[slot].page->order, blocks[slot].order);
            own(blocks[slot].page, blocks[slot].order, false);
            frame_free(blocks[slot].page);
            blocks[slot].page = NULL;
            continue;
        }
        unsigned order = (unsigned)(test_random(&seed) % 3 == 0 ? test_random(&seed) % 7 : 0);
        unsigned flags = test_random(&seed) % 16 == 0 ? FRAME_DMA : 0;
        enum page_kind kind = test_random(&seed) % 2 == 0 ? PAGE_ANON : PAGE_KERNEL;
        struct page *page = frame_alloc(order, flags, kind);
        if (page == NULL) {
            EXPECT_EQ(flags, FRAME_DMA);
            continue;
        }
        EXPECT_EQ(page->refs, 1);
        EXPECT_EQ(page->mapcount, 0);
        EXPECT_EQ(page_to_pfn(page) % (1ull << order), 0);
        EXPECT(flags == 0 || page_to_phys(page) < MIB(16));
        own(page, order, true);
        blocks[slot].page = page;
        blocks[slot].order = order;
        blocks[slot].kind = kind;
    }
    for (unsigned slot = 0; slot < NBLOCKS; slot++) {
        if (blocks[slot].page != NULL) {
            frame_free(blocks[slot].page);
        }
    }
    zone_lists_of(after);
    EXPECT_MEM_EQ(before, after, sizeof(before));
    EXPECT_EQ(stats_now().free, stats.free);
    EXPECT_EQ(stats_now().by_kind[PAGE_ANON], stats.by_kind[PAGE_ANON]);
}

TEST(frame, all_memory_can_be_taken_and_given_back)
{
    uint64_t before[ZONE_COUNT][FRAME_MAX_ORDER + 1], after[ZONE_COUNT][FRAME_MAX_ORDER + 1];
    struct page *first = NULL, *page;
    uint64_t taken = 0, free = stats_now().free;

    zone_lists_of(before);
    while ((page = frame_alloc(0, 0, PAGE_KERNEL)) != NULL) {
        page->next_table = first;
        first = page;
        taken++;
    }
    EXPECT_GT(taken, free - free / 32 - 1100); /* but for the reserves */
    EXPECT(frame_alloc(0, 0, PAGE_KERNEL) == NULL);
    page = frame_alloc(0, FRAME_RESERVE, PAGE_KERNEL);
    EXPECT(page != NULL);
    frame_free(page);
    page = frame_alloc(0, FRAME_DMA, PAGE_DMA);
    EXPECT(page != NULL);
    frame_free(page);
    while (first != NULL) {
        page = first;
        first = page->next_table;
        page_put(page);
    }
    zone_lists_of(after);
    EXPECT_MEM_EQ(before, after, sizeof(before));
}

/* A few blocks of 2 to 8 frames stay with the CPU: the last freed is the next given. They count as free, and draining joins them again. */
TEST(frame, small_blocks_are_kept_for_the_next)
{
    uint64_t before[ZONE_COUNT][FRAME_MAX_ORDER + 1], after[ZONE_COUNT][FRAME_MAX_ORDER + 1];
    struct page *pages[12];

    for (unsigned order = 1; order <= 4; order++) {
        zone_lists_of(before);
        struct frame_stats stats = stats_now();
        for (unsigned i = 0; i < 12; i++) {
            pages[i] = frame_alloc(order, 0, PAGE_KERNEL);
            EXPECT(pages[i] != NULL);
        }
        EXPECT_EQ(stats_now().free, stats.free - (12u << order));
        EXPECT_EQ(stats_now().by_kind[PAGE_KERNEL], stats.by_kind[PAGE_KERNEL] + (12u << order));
        for (unsigned i = 0; i < 12; i++) {
            frame_free(pages[i]);
        }
        EXPECT_EQ(stats_now().free, stats.free);
        EXPECT_EQ(stats_now().by_kind[PAGE_KERNEL], stats.by_kind[PAGE_KERNEL]);
        struct page *movable = frame_alloc(order, FRAME_ZERO, PAGE_ANON);
        struct page *other = frame_alloc(order, FRAME_ZERO, PAGE_KERNEL);
        if (order <= 3) {
            EXPECT(other == pages[3]); /* there was room for four */
            for (unsigned i = 0; i < 4; i++) {
                EXPECT(movable != pages[i]);
            }
        }
        EXPECT_EQ(other->order, order);
        EXPECT_EQ(*(uint64_t *)page_to_virt(other), 0);
        frame_free(movable);
        frame_free(other);
        zone_lists_of(after);
        EXPECT_EQ(memcmp(before, after, sizeof(before)), 0);
    }
}

TEST(frame, the_last_reference_frees)
{
    uint64_t frees = stats_now().frees;
    struct page *page = frame_alloc(0, FRAME_ZERO, PAGE_ANON);

    EXPECT(page != NULL);
    for (unsigned i = 0; i < PAGE_SIZE; i++) {
        EXPECT_EQ(((uint8_t *)page_to_virt(page))[i], 0);
    }
    page_get(page);
    page_put(page);
    EXPECT_EQ(stats_now().frees, frees);
    page_put(page);
    EXPECT_EQ(stats_now().frees, frees + 1);
}

TEST(frame, bulk_gives_distinct_frames_of_the_kind)
{
    struct page *pages[300];

    EXPECT_EQ(frame_alloc_bulk(300, FRAME_ZERO, PAGE_FILE, pages), 300);
    memset(owned, 0, sizeof(owned));
    for (unsigned i = 0; i < 300; i++) {
        EXPECT_EQ(pages[i]->kind, PAGE_FILE);
        EXPECT_EQ(pages[i]->refs, 1);
        own(pages[i], 0, true);
    }
    page_get(pages[7]);
    pages_put(pages, 300);
    EXPECT_EQ(pages[7]->refs, 1);
    page_put(pages[7]);
}

TEST(frame, impossible_requests_are_refused)
{
    EXPECT(frame_alloc(FRAME_MAX_ORDER + 1, 0, PAGE_KERNEL) == NULL);
    EXPECT(!pfn_valid(0xa0)); /* the hole below 1 MiB */
    EXPECT(!pfn_valid(HOST_MEMORY_BYTES / 4096));
    EXPECT(pfn_valid(0x100));
}

TEST(frame, the_boot_map_is_kept)
{
    struct boot_mem mem;
    uint64_t end = 0;
    unsigned n = 0;

    while (boot_memory(n, &mem)) {
        EXPECT_LE(end, mem.base);
        end = mem.base + mem.length_bytes;
        n++;
    }
    EXPECT_EQ(n, 7); /* one more than was given: the page for starting processors */
    EXPECT_EQ(end, HOST_MEMORY_BYTES);
}

TEST(frame, one_page_below_640_KiB_is_nobodys)
{
    struct boot_mem mem;

    EXPECT_EQ(boot_low_page(), 0x9e000);
    EXPECT(boot_memory(1, &mem));
    EXPECT_EQ(mem.base, boot_low_page());
    EXPECT_EQ(mem.length_bytes, PAGE_SIZE);
    EXPECT_EQ(phys_to_page(boot_low_page())->kind, PAGE_RESERVED);
}

TEST(frame, boot_memory_comes_to_use)
{
    uint64_t total = stats_now().total;
    struct boot_mem mem;

    EXPECT(boot_memory(6, &mem));
    EXPECT_EQ(mem.type, BOOT_MEM_ACPI_RECLAIM);
    frames_release_boot(mem.base, mem.length_bytes);
    EXPECT_EQ(stats_now().total, total + mem.length_bytes / PAGE_SIZE);
}

#define NCPUS  4u
#define ROUNDS 20000u

static void hammer(void *arg, unsigned cpu)
{
    uint64_t seed = cpu + 100;
    struct page *held[64] = {NULL};

    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        unsigned slot = (unsigned)(test_random(&seed) % 64);
        if (held[slot] != NULL) {
            if (page_to_virt(held[slot]) != *(void **)page_to_virt(held[slot])) {
                __builtin_trap(); /* somebody else owns it too */
            }
            page_put(held[slot]);
            held[slot] = NULL;
        } else if ((held[slot] = frame_alloc((unsigned)(test_random(&seed) % 4 == 0), 0,
                                             PAGE_KERNEL)) != NULL) {
            *(void **)page_to_virt(held[slot]) = page_to_virt(held[slot]);
        }
    }
    for (unsigned slot = 0; slot < 64; slot++) {
        if (held[slot] != NULL) {
            page_put(held[slot]);
        }
    }
    frames_drain_local();
}

TEST(frame, several_cpus_do_not_get_in_each_others_way)
{
    uint64_t before[ZONE_COUNT][FRAME_MAX_ORDER + 1], after[ZONE_COUNT][FRAME_MAX_ORDER + 1];

    zone_lists_of(before);
    host_run_on_cpus(NCPUS, hammer, NULL);
    zone_lists_of(after);
    EXPECT_MEM_EQ(before, after, sizeof(before));
    host_set_cpu_count(1);
}

/* Two buddies: one goes in and out of the lists, while the other one is had and given back by another CPU, and is in no list at any time. */
static struct page *buddies[2];
static bool over; /* [a] */

static void give_beside_a_living_one(void *arg, unsigned cpu)
{
    struct zone *zone = zone_of(page_to_pfn(buddies[0]));

    (void)arg;
    for (unsigned i = 0; cpu == 0 && i < 2000000; i++) {
        uint64_t irq = spin_lock_irqsave(&zone->lock);
        page_set_meta(buddies[0], page_meta(0, PAGE_FREE, FRAME_ORDER_HOT));
        zone_give_locked(zone, buddies[0], 0);
        if (!page_is_free_block_of(buddies[0], 0)) {
            __builtin_trap(); /* merged with what somebody else owns */
        }
        zone_remove_locked(zone, buddies[0]);
        spin_unlock_irqrestore(&zone->lock, irq);
    }
    if (cpu == 0) {
        __atomic_store_n(&over, true, __ATOMIC_RELAXED);
    }
    while (cpu == 1 && !__atomic_load_n(&over, __ATOMIC_RELAXED)) {
        page_set_meta(buddies[1], page_meta(0, PAGE_FREE, FRAME_ORDER_HOT));
        page_set_meta(buddies[1], page_meta(0, PAGE_KERNEL, 0));
    }
}

TEST(frame, a_buddy_that_begins_its_life_is_no_free_one)
{
    struct page *block = frame_alloc(1, 0, PAGE_KERNEL);

    EXPECT_NE(block, NULL);
    frame_split(block);
    buddies[0] = block;
    buddies[1] = block + 1;
    over = false;
    host_run_on_cpus(2, give_beside_a_living_one, NULL);
    page_set_meta(buddies[0], page_meta(0, PAGE_KERNEL, 0));
    page_put(buddies[0]);
    page_put(buddies[1]);
    host_set_cpu_count(1);
}
