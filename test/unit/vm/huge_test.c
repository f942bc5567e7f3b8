/*
 * Transparent huge pages: when there is one, and that nobody can tell but by the figures.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "kernel/vm/huge_fault.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/space.h"

#define BASE  GIB(2)
#define BLOCK HUGE_PAGE_SIZE

static uint64_t leaves(void)
{
    struct huge_stats stats;

    huge_stats(&stats);
    return stats.leaves;
}

/* Free blocks of a huge page's size or more, in huge pages. */
static uint64_t free_blocks(void)
{
    struct zone_stats zone;
    uint64_t n = 0;

    for (enum zone_id id = ZONE_DMA; id < ZONE_COUNT; id++) {
        if (zone_stats(0, id, &zone)) {
            for (unsigned order = HUGE_ORDER; order <= FRAME_MAX_ORDER; order++) {
                n += zone.free_by_order[order] << (order - HUGE_ORDER);
            }
        }
    }
    return n;
}

/* A space with n MiB at BASE. */
static struct vmspace *enter(uint64_t mib)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, MIB(mib) / PAGE_SIZE, TEST_RW), (int64_t)BASE);
    return vm;
}

TEST(huge, the_first_write_brings_all_of_it)
{
    struct vmspace *vm = enter(4);
    uint64_t blocks = free_blocks();
    uint64_t before = leaves();

    EXPECT_EQ(poke(BASE + 5 * PAGE_SIZE, 7), 0);
    EXPECT_EQ(vm->rss_anon, HUGE_PAGES);
    EXPECT_EQ(leaves(), before + 1);
    EXPECT_EQ(free_blocks(), blocks - 1);
    uint64_t faults = host_user_faults();
    for (uint64_t at = BASE; at < BASE + BLOCK; at += PAGE_SIZE) {
        EXPECT_EQ(peek(at), at == BASE + 5 * PAGE_SIZE ? 7 : 0);
    }
    EXPECT_EQ(host_user_faults(), faults);
    EXPECT_EQ(vmspace_unmap(vm, BASE, MIB(4)), 0);
    EXPECT_EQ(vm->rss_anon, 0);
    EXPECT_EQ(vm->mmu.ntables, 0);
    EXPECT_EQ(leaves(), before);
    EXPECT_EQ(free_blocks(), blocks);
    space_leave();
}

TEST(huge, only_where_a_region_covers_it_and_nothing_is_there_yet)
{
    struct vmspace *vm = space_enter();
    uint64_t before = leaves();

    EXPECT_EQ(map_anon(vm, BASE + PAGE_SIZE, 900, TEST_RW), (int64_t)(BASE + PAGE_SIZE));
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 1), 0);
    EXPECT_EQ(vm->rss_anon, 1);
    EXPECT_EQ(vmspace_unmap(vm, BASE, MIB(8)), 0);
    EXPECT_EQ(map_anon(vm, BASE, 512, TEST_RW), (int64_t)BASE);
    vm_huge.use_zero_page = 0;
    EXPECT_EQ(peek(BASE), 0); /* the zero page */
    vm_huge.use_zero_page = 1;
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 1), 0);
    EXPECT_EQ(vm->rss_anon, 1);
    EXPECT_EQ(leaves(), before);
    space_leave();
}

TEST(huge, settings_and_advice_are_followed)
{
    struct vmspace *vm = enter(8);
    uint64_t before = leaves();

    huge_set_mode(HUGE_NEVER);
    EXPECT_EQ(vmspace_advise(vm, BASE, BLOCK, MADV_HUGEPAGE), 0);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(leaves(), before);
    EXPECT_EQ(vmspace_advise(vm, BASE + BLOCK, BLOCK, MADV_HUGEPAGE), 0);
    huge_set_mode(HUGE_MADVISE);
    EXPECT_EQ(poke(BASE + BLOCK, 1), 0);
    EXPECT_EQ(leaves(), before + 1);
    EXPECT_EQ(poke(BASE + 2 * BLOCK, 1), 0);
    EXPECT_EQ(leaves(), before + 1);
    huge_set_mode(HUGE_ALWAYS);
    EXPECT_EQ(vmspace_unmap(vm, BASE, MIB(8)), 0);
    EXPECT_EQ(map_anon(vm, BASE, 2048, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(vmspace_advise(vm, BASE, BLOCK, MADV_NOHUGEPAGE), 0);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(leaves(), before);
    vmspace_disable_huge(vm, true);
    EXPECT_EQ(poke(BASE + BLOCK, 1), 0);
    EXPECT_EQ(leaves(), before);
    vmspace_disable_huge(vm, false);
    EXPECT_EQ(poke(BASE + 2 * BLOCK, 1), 0);
    EXPECT_EQ(leaves(), before + 1);
    space_leave();
}

TEST(huge, without_a_block_pages_are_small)
{
    struct vmspace *vm = enter(2);
    struct page *held[160];
    unsigned n = 0;

    while (n < ARRAY_SIZE(held) && (held[n] = frame_alloc(HUGE_ORDER, 0, PAGE_KERNEL)) != NULL) {
        n++;
    }
    EXPECT_LT(n, ARRAY_SIZE(held));
    /* Room for small ones: whole blocks are given back, and half of each is taken again. */
    struct page *halves[64];
    unsigned nhalves = 0;
    for (unsigned i = 0; i < 4; i++) {
        frame_free(held[--n]);
    }
    while (free_blocks() > 0 && nhalves < ARRAY_SIZE(halves)) {
        halves[nhalves++] = frame_alloc(HUGE_ORDER - 1, 0, PAGE_KERNEL);
    }
    int err = poke(BASE, 1);
    uint64_t rss = vm->rss_anon;
    while (nhalves > 0) {
        frame_free(halves[--nhalves]);
    }
    while (n > 0) {
        frame_free(held[--n]);
    }
    EXPECT_EQ(err, 0);
    EXPECT_EQ(rss, 1);
    space_leave();
}

TEST(huge, parts_are_unmapped_and_protected_alone)
{
    struct vmspace *vm = enter(4);

    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE + 100 * PAGE_SIZE, 2), 0);
    EXPECT_EQ(poke(BASE + 511 * PAGE_SIZE, 3), 0);
    EXPECT_EQ(vmspace_unmap(vm, BASE + 10 * PAGE_SIZE, 10 * PAGE_SIZE), 0);
    EXPECT_EQ(vm->rss_anon, HUGE_PAGES - 10);
    EXPECT_EQ(peek(BASE + 10 * PAGE_SIZE), -EFAULT);
    EXPECT_EQ(peek(BASE + 9 * PAGE_SIZE), 0);
    EXPECT_EQ(peek(BASE + 100 * PAGE_SIZE), 2);
    EXPECT_EQ(poke(BASE + BLOCK, 4), 0);
    EXPECT_EQ(vmspace_protect(vm, BASE + BLOCK + PAGE_SIZE, PAGE_SIZE, VM_READ), 0);
    EXPECT_EQ(poke(BASE + BLOCK + PAGE_SIZE, 1), -EACCES);
    EXPECT_EQ(poke(BASE + BLOCK + 2 * PAGE_SIZE, 5), 0);
    EXPECT_EQ(peek(BASE + BLOCK), 4);
    EXPECT_EQ(peek(BASE + 511 * PAGE_SIZE), 3);
    space_leave();
}

TEST(huge, dontneed_empties_a_part_or_all)
{
    struct vmspace *vm = enter(2);
    uint64_t before = leaves();

    EXPECT_EQ(poke(BASE + PAGE_SIZE, 1), 0);
    EXPECT_EQ(vmspace_advise(vm, BASE, BLOCK, MADV_DONTNEED), 0);
    EXPECT_EQ(vm->rss_anon, 0);
    EXPECT_EQ(leaves(), before);
    EXPECT_EQ(poke(BASE + 2 * PAGE_SIZE, 2), 0);
    EXPECT_EQ(leaves(), before + 1);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 0);
    EXPECT_EQ(vmspace_advise(vm, BASE + PAGE_SIZE, 2 * PAGE_SIZE, MADV_DONTNEED), 0);
    EXPECT_EQ(vm->rss_anon, HUGE_PAGES - 2);
    EXPECT_EQ(leaves(), before);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE), 0);
    space_leave();
}

TEST(huge, fork_shares_the_leaf_and_a_write_copies_one_page)
{
    struct vmspace *vm = enter(2);
    struct vmspace *child;
    uint64_t before = leaves();

    vmspace_get(vm);
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, (uint8_t)i), 0);
    }
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT_EQ(leaves(), before + 2);
    EXPECT_EQ(child->rss_anon, HUGE_PAGES);
    uint64_t in_use = frames_in_use();
    space_switch(child);
    EXPECT_EQ(poke(BASE + 3 * PAGE_SIZE, 99), 0);
    EXPECT_EQ(leaves(), before + 1);
    EXPECT_LE(frames_in_use(), in_use + 2); /* the page and the table */
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        EXPECT_EQ(peek(BASE + i * PAGE_SIZE), i == 3 ? 99 : (uint8_t)i);
    }
    space_switch(vm);
    vmspace_put(child);
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        EXPECT_EQ(peek(BASE + i * PAGE_SIZE), (uint8_t)i);
    }
    /* Alone again: the leaf is written without a copy. */
    in_use = frames_in_use();
    EXPECT_EQ(poke(BASE + 3 * PAGE_SIZE, 98), 0);
    EXPECT_EQ(frames_in_use(), in_use);
    EXPECT_EQ(leaves(), before + 1);
    EXPECT_EQ(peek(BASE + 4 * PAGE_SIZE), 4);
    vmspace_put(vm);
    space_leave();
}

/* fork takes a reference to what is mapped below: its place to do what another thread may do meanwhile. */
static bool forking;

static void touch_above(struct vm_source *source)
{
    (void)source;
    if (forking) {
        EXPECT_EQ(poke(BASE, 1), 0);
    }
}

static void put_nothing(struct vm_source *source)
{
    (void)source;
}

TEST(huge, fork_shares_the_first_leaf_of_all_too_when_it_comes_meanwhile)
{
    static const struct vm_source_ops ops = {.get = touch_above, .put = put_nothing};
    static struct vm_source source = {.ops = &ops};
    struct vmspace *vm = enter(2);
    struct vmspace *child;

    vmspace_get(vm);
    EXPECT_EQ(
        vmspace_map(vm, BASE - BLOCK, BLOCK, TEST_RW | VM_SHARED, VMMAP_FIXED, &source, 0, NULL),
        (int64_t)(BASE - BLOCK));
    EXPECT(!vm->has_huge);
    forking = true;
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    forking = false;
    EXPECT(vm->has_huge);
    EXPECT(child->has_huge);
    space_switch(child);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 2), 0);
    EXPECT_EQ(peek(BASE), 1);
    space_switch(vm);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 0);
    vmspace_put(child);
    vmspace_put(vm);
    space_leave();
}

TEST(huge, mremap_takes_it_along)
{
    struct vmspace *vm = enter(2);

    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, (uint8_t)(i + 1)), 0);
    }
    const uint64_t to = BASE + GIB(1);
    const uint64_t odd = BASE + GIB(3) + 7 * PAGE_SIZE;
    EXPECT_EQ(vmspace_remap(vm, BASE, BLOCK, BLOCK, MREMAP_MAYMOVE | MREMAP_FIXED, to),
              (int64_t)to);
    EXPECT_EQ(vmspace_remap(vm, to, BLOCK, BLOCK, MREMAP_MAYMOVE | MREMAP_FIXED, odd),
              (int64_t)odd);
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        EXPECT_EQ(peek(odd + i * PAGE_SIZE), (uint8_t)(i + 1));
    }
    EXPECT_EQ(vm->rss_anon, HUGE_PAGES);
    EXPECT_EQ(peek(BASE), -EFAULT);
    space_leave();
}

TEST(huge, what_is_only_read_shows_zeros_of_one_block)
{
    struct vmspace *vm = enter(6);
    struct vmspace *child;
    uint64_t before = leaves();
    uint64_t faults;

    EXPECT_EQ(peek(BASE + 5 * PAGE_SIZE), 0);
    EXPECT_EQ(peek(BASE + BLOCK), 0);
    EXPECT_EQ(peek(BASE + 2 * BLOCK), 0);
    faults = host_user_faults();
    EXPECT_EQ(peek(BASE + 300 * PAGE_SIZE), 0);
    EXPECT_EQ(host_user_faults(), faults);
    EXPECT_EQ(vm->rss_anon, 0);
    EXPECT_EQ(leaves(), before);
    vmspace_get(vm);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    /* The first write brings a huge page, or a small one if there is no block for it. */
    EXPECT_EQ(poke(BASE + 7 * PAGE_SIZE, 9), 0);
    EXPECT_EQ(vm->rss_anon, HUGE_PAGES);
    EXPECT_EQ(leaves(), before + 1);
    huge_set_mode(HUGE_NEVER);
    EXPECT_EQ(poke(BASE + BLOCK, 10), 0);
    huge_set_mode(HUGE_ALWAYS);
    EXPECT_EQ(vm->rss_anon, HUGE_PAGES + 1);
    EXPECT_EQ(leaves(), before + 1);
    EXPECT_EQ(peek(BASE + BLOCK + PAGE_SIZE), 0);
    EXPECT_EQ(vmspace_unmap(vm, BASE + 2 * BLOCK, PAGE_SIZE), 0);
    space_switch(child);
    EXPECT_EQ(peek(BASE + 7 * PAGE_SIZE), 0);
    EXPECT_EQ(peek(BASE + BLOCK), 0);
    EXPECT_EQ(child->rss_anon, 0);
    space_switch(vm);
    vmspace_put(child);
    EXPECT_EQ(peek(BASE + 7 * PAGE_SIZE), 9);
    EXPECT_EQ(peek(BASE + BLOCK), 10);
    EXPECT_EQ(peek(BASE + 2 * BLOCK + PAGE_SIZE), 0);
    EXPECT_EQ(vmspace_unmap(vm, BASE, 3 * BLOCK), 0);
    EXPECT_EQ(leaves(), before);
    EXPECT_EQ(vm->rss_anon, 0);
    vmspace_put(vm);
    space_leave();
}

/* ---- gathering ---- */

/* Small pages with values in every third place of the block at BASE. */
static struct vmspace *enter_small(void)
{
    struct vmspace *vm = enter(4);

    huge_set_mode(HUGE_NEVER);
    for (unsigned i = 0; i < HUGE_PAGES; i += 3) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, (uint8_t)(i + 1)), 0);
    }
    huge_set_mode(HUGE_ALWAYS);
    return vm;
}

static void check_small(void)
{
    for (unsigned i = 0; i < HUGE_PAGES; i++) {
        EXPECT_EQ(peek(BASE + i * PAGE_SIZE), i % 3 == 0 ? (uint8_t)(i + 1) : 0);
    }
}

TEST(huge, collapse_gathers_what_is_there)
{
    struct vmspace *vm = enter_small();
    uint64_t before = leaves();

    EXPECT_EQ(vmspace_advise(vm, BASE, BLOCK, MADV_COLLAPSE), 0);
    EXPECT_EQ(leaves(), before + 1);
    EXPECT_EQ(vm->rss_anon, HUGE_PAGES);
    check_small();
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 200), 0);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 200);
    EXPECT_EQ(vmspace_advise(vm, BASE, BLOCK, MADV_COLLAPSE), 0); /* it is one already */
    EXPECT_EQ(vmspace_advise(vm, BASE + BLOCK, BLOCK, MADV_COLLAPSE), -EINVAL); /* nothing there */
    EXPECT_EQ(vmspace_unmap(vm, BASE, MIB(4)), 0);
    EXPECT_EQ(vm->mmu.ntables, 0);
    EXPECT_EQ(leaves(), before);
    space_leave();
}

TEST(huge, collapse_leaves_alone_what_somebody_looks_at)
{
    struct vmspace *vm = enter_small();
    uint64_t before = leaves();
    paddr_t pa;
    unsigned flags;

    EXPECT(mmu_query(&vm->mmu, BASE + 3 * PAGE_SIZE, &pa, &flags));
    page_get(phys_to_page(pa));
    EXPECT_EQ(vmspace_advise(vm, BASE, BLOCK, MADV_COLLAPSE), -EAGAIN);
    EXPECT_EQ(leaves(), before);
    check_small();
    EXPECT_EQ(poke(BASE, 42), 0);
    EXPECT_EQ(peek(BASE), 42);
    page_put(phys_to_page(pa));
    EXPECT_EQ(vmspace_advise(vm, BASE, BLOCK, MADV_COLLAPSE), 0);
    EXPECT_EQ(peek(BASE), 42);
    EXPECT_EQ(leaves(), before + 1);
    space_leave();
}

TEST(huge, collapse_after_fork_leaves_the_other_its_pages)
{
    struct vmspace *vm = enter_small();
    struct vmspace *child;

    vmspace_get(vm);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT_EQ(vmspace_advise(vm, BASE, BLOCK, MADV_COLLAPSE), 0);
    EXPECT_EQ(poke(BASE, 77), 0);
    space_switch(child);
    check_small();
    EXPECT_EQ(poke(BASE + 3 * PAGE_SIZE, 78), 0);
    space_switch(vm);
    EXPECT_EQ(peek(BASE + 3 * PAGE_SIZE), 4);
    vmspace_put(child);
    vmspace_put(vm);
    space_leave();
}

TEST(huge, khugepaged_finds_what_faults_began_in_small_pages)
{
    struct vmspace *vm = enter_small();
    uint64_t before = leaves();

    EXPECT_EQ(poke(BASE + PAGE_SIZE, 9),
              0); /* a huge page would be welcome: from now on it looks here */
    huge_scan();
    EXPECT_EQ(leaves(), before + 1);
    EXPECT_EQ(peek(BASE + 3 * PAGE_SIZE), 4);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 9);
    vm_huge.max_ptes_none = 0;
    EXPECT_EQ(vmspace_advise(vm, BASE, BLOCK, MADV_DONTNEED), 0);
    vm_huge.use_zero_page = 0;
    EXPECT_EQ(peek(BASE), 0);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 9), 0);
    huge_scan();
    EXPECT_EQ(leaves(), before);
    vm_huge.use_zero_page = 1;
    vm_huge.max_ptes_none = HUGE_PAGES - 1;
    space_leave();
}
