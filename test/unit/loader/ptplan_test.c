/*
 * The page-table plan, read back by a walker that knows nothing of how it was built.
 */
#define TEST_SUITE "loader"
#include "loader/core/ptplan.h"

#include "kernel/base/errno.h"
#include "test/unit/test.h"

#define NPAGES 64

/* A pool of pages whose physical addresses start at 1 MiB. */
#define POOL_BASE 0x100000ull
static uint64_t pool[NPAGES][512] __aligned(4096);
static unsigned pool_used, pool_size;

static uint64_t pool_alloc(void *ctx)
{
    (void)ctx;
    return pool_used == pool_size ? 0 : POOL_BASE + 4096 * (uint64_t)pool_used++;
}

static void *pool_pointer(void *ctx, uint64_t phys)
{
    (void)ctx;
    EXPECT(phys >= POOL_BASE && phys < POOL_BASE + 4096 * NPAGES);
    return pool[(phys - POOL_BASE) / 4096];
}

static void plan_start(struct ptplan *plan, unsigned levels, bool gigabyte_pages)
{
    memset(pool, 0, sizeof(pool));
    pool_used = 0;
    pool_size = NPAGES;
    *plan = (struct ptplan){.levels = levels,
                            .gigabyte_pages = gigabyte_pages,
                            .nx = true,
                            .alloc_page = pool_alloc,
                            .phys_to_pointer = pool_pointer};
    EXPECT_EQ(ptplan_init(plan), 0);
}

struct found {
    uint64_t pa, entry, size;
};

static bool walk(const struct ptplan *plan, uint64_t va, struct found *ret_found)
{
    uint64_t entry = plan->root;

    for (unsigned level = plan->levels; level > 0; level--) {
        unsigned shift = 12 + 9 * (level - 1);
        const uint64_t *table = pool_pointer(NULL, entry & 0x000ffffffffff000ull);

        entry = table[va >> shift & 511];
        if ((entry & 1) == 0) {
            return false;
        }
        if (level == 1 || (entry & 0x80) != 0) {
            uint64_t mask = (1ull << shift) - 1;
            EXPECT(level <= 3);
            ret_found->size = mask + 1;
            ret_found->pa = (entry & 0x000ffffffffff000ull & ~mask) | (va & mask);
            ret_found->entry = entry;
            return true;
        }
    }
    return false;
}

TEST(ptplan, maps_a_range_with_the_largest_pages_that_fit)
{
    struct ptplan plan;
    struct found found;

    plan_start(&plan, 4, true);
    EXPECT_EQ(ptplan_map(&plan, BOOT_DIRECT_MAP + 0x1ff000, 0x1ff000, 0x80401000, PTPLAN_WRITE), 0);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0x1ff123, &found));
    EXPECT_EQ(found.size, 0x1000);
    EXPECT_EQ(found.pa, 0x1ff123);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0x200000, &found));
    EXPECT_EQ(found.size, 0x200000);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0x45678901, &found));
    EXPECT_EQ(found.size, 0x40000000);
    EXPECT_EQ(found.pa, 0x45678901);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0x805fffff, &found));
    EXPECT_EQ(found.size, 0x200000);
    EXPECT(!walk(&plan, BOOT_DIRECT_MAP + 0x80600000, &found));
    EXPECT(!walk(&plan, BOOT_DIRECT_MAP + 0x1fe000, &found));
}

TEST(ptplan, uses_no_gigabyte_pages_where_the_cpu_has_none)
{
    struct ptplan plan;
    struct found found;

    plan_start(&plan, 4, false);
    EXPECT_EQ(ptplan_map(&plan, BOOT_DIRECT_MAP, 0, 0x40000000, PTPLAN_WRITE), 0);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0x3fffffff, &found));
    EXPECT_EQ(found.size, 0x200000);
}

TEST(ptplan, gives_each_leaf_the_rights_asked_for_and_no_others)
{
    struct ptplan plan;
    struct found found;

    plan_start(&plan, 4, true);
    EXPECT_EQ(ptplan_map(&plan, BOOT_IMAGE, 0x200000, 0x1000, PTPLAN_EXEC), 0);
    EXPECT_EQ(ptplan_map(&plan, BOOT_IMAGE + 0x1000, 0x201000, 0x1000, PTPLAN_WRITE), 0);
    EXPECT_EQ(ptplan_map(&plan, BOOT_IMAGE + 0x2000, 0x202000, 0x1000, PTPLAN_GLOBAL), 0);
    EXPECT(walk(&plan, BOOT_IMAGE, &found));
    EXPECT_EQ(found.entry & (1ull << 63 | 0x102), 0);
    EXPECT(walk(&plan, BOOT_IMAGE + 0x1000, &found));
    EXPECT_EQ(found.entry & (1ull << 63 | 0x102), 1ull << 63 | 2);
    EXPECT(walk(&plan, BOOT_IMAGE + 0x2000, &found));
    EXPECT_EQ(found.entry & (1ull << 63 | 0x102), 1ull << 63 | 0x100);
}

TEST(ptplan, marks_write_combining_by_the_pat_bit_of_the_page_size)
{
    struct ptplan plan;
    struct found found;

    plan_start(&plan, 4, true);
    EXPECT_EQ(ptplan_map(&plan, BOOT_DIRECT_MAP, 0, 0x1000, PTPLAN_WC | PTPLAN_WRITE), 0);
    EXPECT_EQ(ptplan_map(&plan, BOOT_DIRECT_MAP + 0x200000, 0x200000, 0x200000, PTPLAN_WC), 0);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP, &found));
    EXPECT_EQ(found.entry & 0x98, 0x80);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0x200000, &found));
    EXPECT_EQ(found.entry & 0x1098, 0x1080);
}

TEST(ptplan, builds_five_levels_whose_top_has_one_entry_for_the_kernel_half)
{
    struct ptplan plan;
    struct found found;

    plan_start(&plan, 5, true);
    EXPECT_EQ(ptplan_map(&plan, BOOT_DIRECT_MAP, 0, 0x40000000, PTPLAN_WRITE), 0);
    EXPECT_EQ(ptplan_map(&plan, BOOT_IMAGE, 0x200000, 0x1000, PTPLAN_EXEC), 0);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 5, &found));
    EXPECT_EQ(found.pa, 5);
    EXPECT(walk(&plan, BOOT_IMAGE, &found));
    EXPECT_EQ(found.pa, 0x200000);
    const uint64_t *top = pool_pointer(NULL, plan.root);
    for (unsigned i = 0; i < 511; i++) {
        EXPECT_EQ(top[i], 0);
    }
}

TEST(ptplan, refuses_what_it_cannot_map)
{
    struct ptplan plan;

    plan_start(&plan, 4, true);
    EXPECT_EQ(ptplan_map(&plan, BOOT_IMAGE + 1, 0, 0x1000, 0), -EINVAL);
    EXPECT_EQ(ptplan_map(&plan, BOOT_IMAGE, 0x10, 0x1000, 0), -EINVAL);
    EXPECT_EQ(ptplan_map(&plan, BOOT_IMAGE, 0, 0, 0), -EINVAL);
    EXPECT_EQ(ptplan_map(&plan, 0x0000800000000000ull, 0, 0x1000, 0), -EINVAL);
    EXPECT_EQ(ptplan_map(&plan, 0xfffffffffffff000ull, 0, 0x2000, 0), -EINVAL);
    EXPECT_EQ(ptplan_map(&plan, BOOT_IMAGE, 0x0010000000000000ull, 0x1000, 0), -EINVAL);
    EXPECT_EQ(ptplan_map(&plan, BOOT_IMAGE, 0, 0x1000, 0), 0);
    EXPECT_EQ(ptplan_map(&plan, BOOT_IMAGE, 0x5000, 0x1000, 0), -EEXIST);
    EXPECT_EQ(ptplan_map(&plan, BOOT_DIRECT_MAP, 0, 0x40000000, 0), 0);
    EXPECT_EQ(ptplan_map(&plan, BOOT_DIRECT_MAP + 0x1000, 0, 0x1000, 0), -EEXIST);
}

TEST(ptplan, reports_when_memory_for_tables_runs_out)
{
    struct ptplan plan;

    plan_start(&plan, 4, true);
    pool_size = 3;
    EXPECT_EQ(ptplan_map(&plan, BOOT_IMAGE, 0, 0x1000, 0), -ENOMEM);
    EXPECT_EQ(plan.ntables, 3);
}

TEST(ptplan, direct_map_has_the_first_4_gib_and_all_memory_above)
{
    const struct boot_mem mem[] = {
        {.base = 0x100000, .length_bytes = 0x7ff00000, .type = BOOT_MEM_USABLE},
        {.base = 0x100000000, .length_bytes = 0x1000000, .type = BOOT_MEM_USABLE},
        {.base = 0x101000000, .length_bytes = 0x1000000, .type = BOOT_MEM_INITRAMFS},
        {.base = 0x102000000, .length_bytes = 0x1000000, .type = BOOT_MEM_RESERVED},
        {.base = 0xfd00000000, .length_bytes = 0x300000000, .type = BOOT_MEM_RESERVED},
    };
    const struct boot_framebuffer none = {0};
    struct ptplan plan;
    struct found found;

    plan_start(&plan, 4, true);
    EXPECT_EQ(ptplan_direct_map(&plan, mem, ARRAY_SIZE(mem), &none), 0);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP, &found));
    EXPECT_EQ(found.entry & (1ull << 63 | 2), 1ull << 63 | 2);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0xffffffff, &found));
    EXPECT_EQ(found.pa, 0xffffffff);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0x101ffffff, &found));
    EXPECT_EQ(found.pa, 0x101ffffff);
    EXPECT(!walk(&plan, BOOT_DIRECT_MAP + 0x102000000, &found));
    EXPECT(!walk(&plan, BOOT_DIRECT_MAP + 0xfd00000000, &found));
}

TEST(ptplan, direct_map_has_the_framebuffer_write_combining_wherever_it_is)
{
    const struct boot_framebuffer low = {.base = 0x80000000, .size_bytes = 1920 * 1080 * 4};
    const struct boot_framebuffer high = {.base = 0x4000000000, .size_bytes = 0x300000};
    const struct boot_mem mem[] = {{.base = 0, .length_bytes = 0x1000000, .type = BOOT_MEM_USABLE}};
    struct ptplan plan;
    struct found found;

    plan_start(&plan, 4, true);
    EXPECT_EQ(ptplan_direct_map(&plan, mem, 1, &low), 0);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0x80000000, &found));
    EXPECT_EQ(found.size, 0x200000);
    EXPECT_EQ(found.entry & 0x1000, 0x1000);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0x807e8fff, &found));
    EXPECT_EQ(found.entry & 0x80, 0x80);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0x807e9000, &found));
    EXPECT_EQ(found.size, 0x1000);
    EXPECT_EQ(found.entry & 0x80, 0);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0x7fffffff, &found));
    EXPECT_EQ(found.entry & 0x1000, 0);

    plan_start(&plan, 4, true);
    EXPECT_EQ(ptplan_direct_map(&plan, mem, 1, &high), 0);
    EXPECT(walk(&plan, BOOT_DIRECT_MAP + 0x4000000000, &found));
    EXPECT_EQ(found.entry & 0x1000, 0x1000);
    EXPECT(!walk(&plan, BOOT_DIRECT_MAP + 0x4000300000, &found));
}
