/*
 * A space with 100,000 regions: what a look-up and a search for a hole cost, in nodes of the tree.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/vm/private.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/space.h"

#define MANY 100000u
#define BASE GIB(1)

struct cost {
    uint64_t total, most, n;
};

static uint64_t seed;

static void cost_start(void)
{
    regions_steps = 0;
}

static void cost_add(struct cost *cost)
{
    cost->total += regions_steps;
    cost->most = MAX(cost->most, regions_steps);
    cost->n++;
}

static void cost_print(const char *what, unsigned nregions, const struct cost *cost)
{
    uint64_t tenths = cost->total * 10 / cost->n;

    test_note("%u regions: %s looks at %llu.%llu nodes, at most %llu", nregions, what,
              (unsigned long long)(tenths / 10), (unsigned long long)(tenths % 10),
              (unsigned long long)cost->most);
}

/* A red-black tree of n nodes is at most so high (Cormen et al., lemma 13.1). */
static uint64_t tree_height(unsigned n)
{
    return 2 * (64 - (unsigned)__builtin_clzll(n + 1));
}

static uint64_t place(unsigned i)
{
    return BASE + (uint64_t)i * 4 * PAGE_SIZE;
}

static void measure(struct vmspace *vm, unsigned nregions)
{
    struct cost found = {0}, missed = {0}, hole = {0}, none = {0};

    for (unsigned i = 0; i < 2000; i++) {
        uint64_t at = place(1 + (unsigned)(test_random(&seed) % (nregions - 1)));
        cost_start();
        EXPECT_EQ(region_lookup(vm, at)->start, at);
        cost_add(&found);
        cost_start();
        EXPECT_EQ(region_lookup(vm, at + PAGE_SIZE)->start, at + 4 * PAGE_SIZE);
        cost_add(&missed);
        /* Three pages are free below each; nowhere are four. */
        uint64_t floor = place(1);
        cost_start();
        EXPECT_EQ(regions_find_gap(vm, 3 * PAGE_SIZE, floor, at + 4 * PAGE_SIZE), at + PAGE_SIZE);
        cost_add(&hole);
        cost_start();
        EXPECT_EQ(regions_find_gap(vm, 4 * PAGE_SIZE, floor, at + 4 * PAGE_SIZE), 0);
        cost_add(&none);
    }
    cost_print("a look-up", nregions, &found);
    cost_print("a look-up in a hole", nregions, &missed);
    cost_print("a search for a hole", nregions, &hole);
    cost_print("a search in vain", nregions, &none);
    uint64_t height = tree_height(nregions + 1);
    EXPECT_LE(found.most, height);
    EXPECT_LE(missed.most, height);
    EXPECT_LE(
        hole.most,
        3 * height); /* the one at the limit, then the best below it, then inside its subtree */
    EXPECT_LE(none.most, 3 * height);
}

static void map_one(struct vmspace *vm, unsigned i, struct cost *cost)
{
    cost_start();
    EXPECT_EQ(map_anon(vm, place(i), 1, TEST_RW), (int64_t)place(i));
    cost_add(cost);
}

TEST(many_regions, looking_up_and_finding_holes_stay_logarithmic)
{
    struct vmspace *vm = space_enter();
    uint32_t limit = vm_max_map_count;
    struct cost map = {0}, unmap = {0};

    seed = 5;
    vm_max_map_count = MANY + 1;
    for (unsigned i = 0; i < 1000; i++) {
        map_one(vm, i, &map);
    }
    EXPECT_EQ(map_anon(vm, place(1000), 1, TEST_RW), (int64_t)place(1000));
    measure(vm, 1000);
    EXPECT_EQ(vmspace_unmap(vm, place(1000), PAGE_SIZE), 0);
    for (unsigned i = 1000; i <= MANY; i++) {
        map_one(vm, i, &map);
    }
    EXPECT_EQ(vm->nregions, MANY + 1);
    EXPECT_EQ(map_anon(vm, place(MANY) + 2 * PAGE_SIZE, 1, VM_READ), -ENOMEM);
    measure(vm, MANY);
    for (unsigned i = 0; i < 2000; i++) {
        unsigned at = (unsigned)(test_random(&seed) % MANY);
        cost_start();
        EXPECT_EQ(vmspace_unmap(vm, place(at), PAGE_SIZE), 0);
        cost_add(&unmap);
        map_one(vm, at, &map);
    }
    cost_print("mmap", MANY, &map);
    cost_print("munmap", MANY, &unmap);
    EXPECT_LE(map.most, 4 * tree_height(MANY));
    EXPECT_LE(unmap.most, 2 * tree_height(MANY));
    vm_max_map_count = limit;
    space_leave();
}

TEST(many_regions, what_they_were_in_is_given_back)
{
    space_enter();
    space_leave();
    uint64_t before = frames_in_use();
    struct vmspace *vm = space_enter();

    for (unsigned i = 0; i < 2000; i++) {
        EXPECT(vmspace_map(vm, GIB(1) + i * 2 * PAGE_SIZE, PAGE_SIZE, TEST_RW, VMMAP_FIXED, NULL, 0,
                           NULL) > 0);
    }
    EXPECT_GT(frames_in_use(), before + 50);
    EXPECT_EQ(vmspace_unmap(vm, GIB(1), 2 * 2000 * PAGE_SIZE), 0);
    space_leave();
    EXPECT_EQ(frames_in_use(), before);
}
