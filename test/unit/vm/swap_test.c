#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"
#include "kernel/vm/swap.h"
#include "test/unit/base/random.h"

/* A device that keeps one word of each page. */
#define NSLOTS 3000u
struct fake {
    uint64_t words[NSLOTS];
    bool stored[NSLOTS];
    unsigned frees;
    int error;
};

static int fake_store(void *device, uint64_t slot, struct page *page)
{
    struct fake *fake = device;

    if (fake->error != 0) {
        return fake->error;
    }
    EXPECT_LT(slot, NSLOTS);
    fake->words[slot] = *(uint64_t *)page_to_virt(page);
    fake->stored[slot] = true;
    return 0;
}

static int fake_load(void *device, uint64_t slot, struct page *page)
{
    struct fake *fake = device;

    if (fake->error != 0) {
        return fake->error;
    }
    EXPECT(slot < NSLOTS && fake->stored[slot]);
    *(uint64_t *)page_to_virt(page) = fake->words[slot];
    return 0;
}

static void fake_free(void *device, uint64_t slot)
{
    struct fake *fake = device;

    EXPECT_LT(slot, NSLOTS);
    fake->stored[slot] = false;
    (void)atomic_fetch_add_relaxed(&fake->frees, 1);
}

static const struct swap_ops fake_ops = {.store = fake_store, .load = fake_load, .free = fake_free};
static struct fake fakes[3];

static uint64_t frames_in_use(void)
{
    struct frame_stats stats;

    (void)slab_shrink_all();
    frame_stats(&stats);
    return stats.total - stats.free;
}

static unsigned area_add(struct fake *fake, uint64_t nslots, int priority)
{
    struct swap_header header = {.nslots = nslots};
    struct swap_area_info info = {.path = "/dev/fake", .is_partition = true, .priority = priority};
    unsigned area = 0;

    memset(fake, 0, sizeof(*fake));
    EXPECT_EQ(swap_area_add(&fake_ops, fake, &header, &info, &area), 0);
    return area;
}

static struct page *page_with(uint64_t word)
{
    struct page *page = frame_alloc(0, 0, PAGE_ANON);

    EXPECT(page != NULL);
    *(uint64_t *)page_to_virt(page) = word;
    return page;
}

TEST(swap, entries_name_area_and_slot_and_are_never_none)
{
    swap_entry_t entry = swap_entry(31, SWAP_SLOTS_MAX - 1);

    EXPECT_EQ(swap_entry_area(entry), 31);
    EXPECT_EQ(swap_entry_slot(entry), SWAP_SLOTS_MAX - 1);
    EXPECT_NE(swap_entry(0, 1), SWAP_ENTRY_NONE);
}

TEST(swap, without_areas_there_are_no_slots)
{
    swap_entry_t entry = 77;

    EXPECT_EQ(swap_slot_alloc(&entry), -ENOSPC);
    EXPECT_EQ(entry, 77);
    EXPECT_EQ(swap_free_slots(), 0);
    EXPECT(!swap_slot_tryget(5));
    EXPECT_EQ(swap_slot_refs(5), 0);
    EXPECT_PTR_EQ(swap_cache_find(swap_entry(4, 2)), NULL);
}

TEST(swap, gives_out_each_usable_slot_once_and_never_the_header_or_a_bad_one)
{
    static bool seen[NSLOTS];
    uint32_t bad[] = {7, 600, 601, NSLOTS - 1};
    struct swap_header header = {.nslots = NSLOTS, .nbad = ARRAY_SIZE(bad), .bad = bad};
    struct swap_area_info info = {.path = "x", .priority = 3};
    (void)area_add(&fakes[0], NSLOTS, 0);
    EXPECT_EQ(swap_area_remove(&fakes[0]), 0); /* what the heap keeps of it, it has now */
    uint64_t before = frames_in_use();
    swap_entry_t entry;
    unsigned area;

    memset(seen, 0, sizeof(seen));
    EXPECT_EQ(swap_area_add(&fake_ops, &fakes[0], &header, &info, &area), 0);
    EXPECT_EQ(swap_free_slots(), NSLOTS - 1 - ARRAY_SIZE(bad));
    for (unsigned i = 0; i < NSLOTS - 1 - ARRAY_SIZE(bad); i++) {
        EXPECT_EQ(swap_slot_alloc(&entry), 0);
        EXPECT_EQ(swap_entry_area(entry), area);
        EXPECT(!seen[swap_entry_slot(entry)] && swap_entry_slot(entry) < NSLOTS);
        seen[swap_entry_slot(entry)] = true;
    }
    EXPECT(!seen[0] && !seen[7] && !seen[600] && !seen[601] && !seen[NSLOTS - 1]);
    EXPECT_EQ(swap_slot_alloc(&entry), -ENOSPC);
    EXPECT_EQ(swap_free_slots(), 0);
    EXPECT(!swap_slot_tryget(swap_entry(area, 600)));
    EXPECT(!swap_slot_tryget(swap_entry(area, 0)));
    EXPECT(!swap_slot_tryget(swap_entry(area, NSLOTS)));
    for (unsigned slot = 1; slot < NSLOTS; slot++) {
        if (seen[slot]) {
            swap_slot_put(swap_entry(area, slot));
        }
    }
    EXPECT_EQ(swap_free_slots(), NSLOTS - 1 - ARRAY_SIZE(bad));
    EXPECT_EQ(swap_area_remove(&fakes[0]), 0);
    EXPECT_EQ(frames_in_use(), before);
}

TEST(swap, counts_references_and_frees_with_the_last)
{
    unsigned area = area_add(&fakes[0], 100, 0);
    struct page *page = page_with(42), *back = page_with(0);
    swap_entry_t entry;

    (void)area;
    EXPECT_EQ(swap_slot_alloc(&entry), 0);
    EXPECT_EQ(swap_store(entry, page), 0);
    swap_slot_get(entry);
    EXPECT(swap_slot_tryget(entry));
    EXPECT_EQ(swap_slot_refs(entry), 3);
    swap_slot_put(entry);
    swap_slot_put(entry);
    EXPECT_EQ(fakes[0].frees, 0);
    EXPECT_EQ(swap_load(entry, back), 0);
    EXPECT_EQ(*(uint64_t *)page_to_virt(back), 42);
    swap_slot_put(entry);
    EXPECT_EQ(fakes[0].frees, 1);
    EXPECT(!swap_slot_tryget(entry));
    EXPECT_EQ(swap_slot_refs(entry), 0);
    page_put(page);
    page_put(back);
    EXPECT_EQ(swap_area_remove(&fakes[0]), 0);
}

TEST(swap, errors_of_the_device_are_passed_on_and_not_counted)
{
    struct page *page = page_with(1);
    struct swap_stats before, after;
    swap_entry_t entry;

    (void)area_add(&fakes[0], 100, 0);
    EXPECT_EQ(swap_slot_alloc(&entry), 0);
    swap_stats(&before);
    fakes[0].error = -EIO;
    EXPECT_EQ(swap_store(entry, page), -EIO);
    EXPECT_EQ(swap_load(entry, page), -EIO);
    swap_stats(&after);
    EXPECT_EQ(before.pages_in, after.pages_in);
    EXPECT_EQ(before.pages_out, after.pages_out);
    swap_slot_put(entry);
    page_put(page);
    EXPECT_EQ(swap_area_remove(&fakes[0]), 0);
}

TEST(swap, the_cache_makes_all_meet_at_one_page)
{
    struct page *page = page_with(1), *second = page_with(2), *other = NULL;
    struct swap_stats stats;
    swap_entry_t entry;

    (void)area_add(&fakes[0], 100, 0);
    EXPECT_EQ(swap_slot_alloc(&entry), 0);
    EXPECT_PTR_EQ(swap_cache_find(entry), NULL);
    EXPECT_EQ(swap_cache_add(entry, page, NULL, NULL), 0);
    EXPECT_EQ(page->refs, 2);
    EXPECT_EQ(page->private, entry);
    EXPECT((page->flags & PAGE_FLAG_SWAPCACHE) != 0);
    EXPECT_EQ(swap_cache_add(entry, second, &other, NULL), -EEXIST);
    EXPECT_PTR_EQ(other, page);
    EXPECT_EQ(page->refs, 3);
    EXPECT_EQ(swap_slot_refs(entry), 1);
    swap_stats(&stats);
    EXPECT_EQ(stats.cached, 1);
    EXPECT(!swap_cache_remove(entry, second));
    EXPECT(!swap_cache_remove_unused(entry, page, 2, 0));
    page_put(other);
    EXPECT(swap_cache_remove_unused(entry, page, 2, 0));
    EXPECT_EQ(page->refs, 1);
    EXPECT((page->flags & PAGE_FLAG_SWAPCACHE) == 0);
    EXPECT_PTR_EQ(swap_cache_find(entry), NULL);
    EXPECT_EQ(swap_slot_refs(entry), 1);

    /* The last reference to the slot takes the page out. */
    EXPECT_EQ(swap_cache_add(entry, second, NULL, NULL), 0);
    swap_slot_put(entry);
    EXPECT_EQ(second->refs, 1);
    EXPECT((second->flags & PAGE_FLAG_SWAPCACHE) == 0);
    swap_stats(&stats);
    EXPECT_EQ(stats.cached, 0);
    page_put(page);
    page_put(second);
    EXPECT_EQ(swap_area_remove(&fakes[0]), 0);
}

TEST(swap, higher_priorities_are_filled_first_and_equal_ones_take_turns)
{
    unsigned low = area_add(&fakes[0], 2000, 1), a = area_add(&fakes[1], 2000, 5),
             b = area_add(&fakes[2], 2000, 5);
    static swap_entry_t entries[4100];
    unsigned count[SWAP_AREAS_MAX] = {0};

    for (unsigned i = 0; i < 2000; i++) {
        EXPECT_EQ(swap_slot_alloc(&entries[i]), 0);
        count[swap_entry_area(entries[i])]++;
    }
    EXPECT_EQ(count[low], 0);
    EXPECT_GT(count[a], 500);
    EXPECT_GT(count[b], 500);
    for (unsigned i = 2000; i < 4100; i++) {
        EXPECT_EQ(swap_slot_alloc(&entries[i]), 0);
        count[swap_entry_area(entries[i])]++;
    }
    EXPECT_EQ(count[a], 1999);
    EXPECT_EQ(count[b], 1999);
    EXPECT_EQ(count[low], 4100 - 2 * 1999);
    for (unsigned i = 0; i < 4100; i++) {
        swap_slot_put(entries[i]);
    }
    for (unsigned i = 0; i < 3; i++) {
        EXPECT_EQ(swap_area_remove(&fakes[i]), 0);
    }
}

TEST(swap, default_priorities_fall_and_areas_are_described)
{
    struct swap_area_stats first, second, none;
    swap_entry_t entry;

    (void)area_add(&fakes[0], 1000, SWAP_PRIORITY_DEFAULT);
    (void)area_add(&fakes[1], 2000, SWAP_PRIORITY_DEFAULT);
    EXPECT_EQ(swap_slot_alloc(&entry), 0);
    EXPECT(swap_area_describe(0, &first));
    EXPECT(swap_area_describe(1, &second));
    EXPECT(!swap_area_describe(2, &none));
    EXPECT_STR_EQ(first.path, "/dev/fake");
    EXPECT_LT(first.priority, -1);
    EXPECT_EQ(second.priority, first.priority - 1);
    EXPECT_EQ(first.nslots, 999);
    EXPECT_EQ(first.nused, 1);
    EXPECT_EQ(second.nused, 0);
    EXPECT(first.is_partition);
    swap_slot_put(entry);
    EXPECT_EQ(swap_area_remove(&fakes[0]), 0);
    EXPECT_EQ(swap_area_remove(&fakes[1]), 0);
}

TEST(swap, one_device_is_one_area_and_there_is_a_limit)
{
    static struct fake many[SWAP_AREAS_MAX + 1];
    struct swap_header header = {.nslots = 10};
    struct swap_area_info info = {.path = "x", .priority = 0};
    unsigned area;

    EXPECT_EQ(swap_area_remove(&many[0]), -EINVAL);
    for (unsigned i = 0; i < SWAP_AREAS_MAX; i++) {
        (void)area_add(&many[i], 10, 0);
    }
    EXPECT_EQ(swap_area_add(&fake_ops, &many[3], &header, &info, &area), -EBUSY);
    EXPECT_EQ(swap_area_add(&fake_ops, &many[SWAP_AREAS_MAX], &header, &info, &area), -EPERM);
    for (unsigned i = 0; i < SWAP_AREAS_MAX; i++) {
        EXPECT_EQ(swap_area_remove(&many[i]), 0);
    }
    header.nslots = 1;
    EXPECT_EQ(swap_area_add(&fake_ops, &many[0], &header, &info, &area), -EINVAL);
}

static swap_entry_t standing[3];

static int bring_back(unsigned area)
{
    static swap_entry_t entry;

    /* New slots are not taken in an area that leaves. */
    EXPECT_EQ(swap_slot_alloc(&entry), -ENOSPC);
    for (unsigned i = 0; i < ARRAY_SIZE(standing); i++) {
        EXPECT_EQ(swap_entry_area(standing[i]), area);
        swap_slot_put(standing[i]);
    }
    return 0;
}

static int cannot_bring_back(unsigned area)
{
    (void)area;
    return -ENOMEM;
}

TEST(swap, removal_brings_everything_back_or_leaves_the_area_in_use)
{
    int (*hook)(unsigned) = swap_unuse_hook;

    (void)area_add(&fakes[0], 1000, 0);
    for (unsigned i = 0; i < ARRAY_SIZE(standing); i++) {
        EXPECT_EQ(swap_slot_alloc(&standing[i]), 0);
    }
    swap_unuse_hook = cannot_bring_back;
    EXPECT_EQ(swap_area_remove(&fakes[0]), -ENOMEM);
    EXPECT_EQ(swap_free_slots(), 996);
    EXPECT_EQ(swap_slot_refs(standing[2]), 1);
    swap_unuse_hook = bring_back;
    EXPECT_EQ(swap_area_remove(&fakes[0]), 0);
    swap_unuse_hook = hook;
    EXPECT(!swap_slot_tryget(standing[0]));
}

/* ---- several CPUs ---- */

#define NCPUS 3
#define OWN   200

struct smp {
    unsigned failures;
    swap_entry_t shared;
};

static void use_slots(void *arg, unsigned cpu)
{
    struct smp *smp = arg;
    swap_entry_t own[OWN] = {0};
    uint64_t seed = cpu + 1;
    struct page *page = frame_alloc(0, 0, PAGE_ANON);

    for (unsigned round = 0; round < 20000 && page != NULL; round++) {
        unsigned i = (unsigned)(test_random(&seed) % OWN);
        uint64_t *word = page_to_virt(page);
        if (own[i] == 0) {
            *word = (uint64_t)cpu << 32 | i;
            smp->failures += swap_slot_alloc(&own[i]) != 0 || swap_store(own[i], page) != 0;
        } else {
            smp->failures += swap_load(own[i], page) != 0 || *word != ((uint64_t)cpu << 32 | i);
            swap_slot_put(own[i]);
            own[i] = 0;
        }
        if (swap_slot_tryget(smp->shared)) {
            struct page *cached = swap_cache_find(smp->shared);
            if (cached != NULL) {
                page_put(cached);
            }
            swap_slot_put(smp->shared);
        } else {
            smp->failures++;
        }
    }
    for (unsigned i = 0; i < OWN; i++) {
        if (own[i] != 0) {
            swap_slot_put(own[i]);
        }
    }
    page_put(page);
}

TEST(swap, cpus_take_and_give_slots_side_by_side)
{
    struct smp smp = {0};
    host_set_cpu_count(
        NCPUS); /* what earlier tests left in their stacks is seen now, as it will be then */
    uint64_t before = frames_in_use();
    struct page *page = page_with(3);

    (void)area_add(&fakes[0], 700, 0); /* fewer clusters than CPUs: they meet */
    EXPECT_EQ(swap_slot_alloc(&smp.shared), 0);
    EXPECT_EQ(swap_cache_add(smp.shared, page, NULL, NULL), 0);
    host_run_on_cpus(NCPUS, use_slots, &smp);
    EXPECT_EQ(smp.failures, 0);
    EXPECT_EQ(page->refs, 2);
    EXPECT_EQ(swap_slot_refs(smp.shared), 1);
    EXPECT_EQ(swap_free_slots(), 698);
    swap_slot_put(smp.shared);
    page_put(page);
    EXPECT_EQ(swap_area_remove(&fakes[0]), 0);
    EXPECT_EQ(frames_in_use(), before);
}

/* A CPU's cluster of 512 slots is its own, so another one takes from the next; when it is gone that is where there is most room. */
static void take_one(void *arg, unsigned cpu)
{
    if (cpu == 1) {
        EXPECT_EQ(swap_slot_alloc(arg), 0);
    }
}

TEST(swap, the_slots_of_a_cpu_that_has_gone_are_taken_by_others)
{
    swap_entry_t theirs, ours[3];

    host_set_cpu_count(2);
    (void)area_add(&fakes[0], 1024, 0); /* two clusters */
    EXPECT_EQ(swap_slot_alloc(&ours[0]), 0);
    host_run_on_cpus(2, take_one, &theirs);
    uint64_t cluster = swap_entry_slot(theirs) / 512;
    EXPECT_NE(swap_entry_slot(ours[0]) / 512, cluster);
    swap_cpu_dead(0);
    swap_cpu_dead(1); /* both are on the list, the longest waiting first */
    EXPECT_EQ(swap_slot_alloc(&ours[1]), 0);
    EXPECT_EQ(swap_entry_slot(ours[1]) / 512, swap_entry_slot(ours[0]) / 512);
    swap_cpu_dead(0);
    EXPECT_EQ(swap_slot_alloc(&ours[2]), 0);
    EXPECT_EQ(swap_entry_slot(ours[2]) / 512, cluster);
    swap_slot_put(theirs);
    for (unsigned i = 0; i < 3; i++) {
        swap_slot_put(ours[i]);
    }
    EXPECT_EQ(swap_area_remove(&fakes[0]), 0);
    host_set_cpu_count(1);
}
