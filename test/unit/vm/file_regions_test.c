/*
 * The interval tree of a file's mappings against a model: a plain array that is looked through whole.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/vm/file_regions.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/space.h"

#define NREGIONS 120u
#define NPAGES   400u

static struct vm_region regions[NREGIONS];
static bool present[NREGIONS];
static struct pagecache cache;
static uint64_t seed;

static unsigned below(unsigned n)
{
    return (unsigned)(test_random(&seed) % n);
}

static uint64_t last_of(const struct vm_region *region)
{
    return region->pgoff + ((region->end - region->start) >> PAGE_SHIFT) - 1;
}

/* Each region that meets [first, last] is met once, in order. */
static void check_range(uint64_t first, uint64_t last)
{
    struct vm_region *region;
    unsigned expected = 0;
    unsigned met = 0;
    uint64_t before = 0;

    for (unsigned i = 0; i < NREGIONS; i++) {
        expected += present[i] && regions[i].pgoff <= last && last_of(&regions[i]) >= first;
    }
    for_each_file_region (region, &cache, first, last) {
        EXPECT(present[region - regions]);
        EXPECT_LE(region->pgoff, last);
        EXPECT_LE(first, last_of(region));
        EXPECT_LE(before, region->pgoff);
        before = region->pgoff;
        met++;
    }
    EXPECT_EQ(met, expected);
}

static uint64_t check_node(struct rb_node *node)
{
    if (node == NULL) {
        return 0;
    }
    struct vm_region *region = rb_entry(node, struct vm_region, rmap_node);
    uint64_t left = check_node(node->left);
    uint64_t right = check_node(node->right);
    uint64_t reach = MAX(left, right);
    reach = MAX(reach, last_of(region));
    EXPECT_EQ(region->rmap_reach, reach);
    return reach;
}

static void add(unsigned i)
{
    uint64_t npages = below(8) == 0 ? 1 + below(NPAGES) : 1 + below(10);

    regions[i] = (struct vm_region){.start = MIB(1),
                                    .end = MIB(1) + npages * PAGE_SIZE,
                                    .pgoff = below(NPAGES),
                                    .flags = below(2) == 0 ? VM_SHARED | VM_MAYWRITE : VM_SHARED};
    file_regions_add(&cache, &regions[i]);
    present[i] = true;
}

static void change(unsigned i)
{
    if (!present[i]) {
        add(i);
    } else if (below(3) != 0) {
        file_regions_remove(&cache, &regions[i]);
        present[i] = false;
    } else {
        regions[i].end = MIB(1) + (1 + below(50)) * PAGE_SIZE;
        file_region_resized(&regions[i]);
    }
}

TEST(file_regions, agree_with_a_list_that_is_looked_through)
{
    unsigned writable = 0;

    vm_test_init();
    seed = 11;
    pagecache_init(&cache, NULL, NULL);
    check_range(0, NPAGES);
    for (unsigned step = 0; step < 4000; step++) {
        change(below(NREGIONS));
        uint64_t first = below(NPAGES);
        check_range(first, first + (below(4) == 0 ? below(NPAGES) : 0));
        if (step % 100 == 0) {
            (void)check_node(cache.regions.node);
        }
    }
    check_range(0, UINT64_MAX >> PAGE_SHIFT);
    for (unsigned i = 0; i < NREGIONS; i++) {
        writable += present[i] && (regions[i].flags & VM_MAYWRITE) != 0;
    }
    EXPECT_EQ(cache.writable_shared, writable);
    for (unsigned i = 0; i < NREGIONS; i++) {
        if (present[i]) {
            file_regions_remove(&cache, &regions[i]);
            present[i] = false;
        }
    }
    EXPECT(file_regions_empty(&cache));
    EXPECT_EQ(cache.writable_shared, 0);
    pagecache_fini(&cache);
}
