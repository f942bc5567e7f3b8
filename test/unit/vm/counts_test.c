#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "test/unit/vm/space.h"

#define BASE 0x40000000ull

static struct page *shown_at(struct vmspace *vm, uint64_t va)
{
    paddr_t pa;
    unsigned flags;

    return mmu_query(&vm->mmu, va, &pa, &flags) ? phys_to_page(pa) : NULL;
}

TEST(counts, an_anonymous_page_counts_every_entry_that_shows_it)
{
    struct vmspace *vm = space_enter();
    struct vmspace *child;

    EXPECT_EQ(map_anon(vm, BASE, 40, TEST_RW), (int64_t)BASE);
    for (unsigned i = 0; i < 40; i++) { /* singles first, then runs */
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, 1), 0);
        EXPECT_EQ(shown_at(vm, BASE + i * PAGE_SIZE)->counts, PAGE_COUNT_MAPPING);
    }
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    struct page *page = shown_at(vm, BASE);
    EXPECT_EQ(page->mapcount, 2);
    EXPECT_EQ(page->refs, 2);
    EXPECT_EQ(poke(BASE, 2), 0); /* a copy of our own */
    EXPECT_EQ(page->counts, PAGE_COUNT_MAPPING);
    EXPECT_EQ(shown_at(vm, BASE)->counts, PAGE_COUNT_MAPPING);
    vmspace_put(child);
    EXPECT_EQ(shown_at(vm, BASE + PAGE_SIZE)->counts, PAGE_COUNT_MAPPING);
    space_leave();
}

TEST(counts, a_shared_page_counts_its_mappings_beside_the_cache)
{
    struct vmspace *vm = space_enter();
    struct vm_source *source;

    EXPECT_EQ(vm_source_create_shared(32, &source), 0);
    for (unsigned i = 0; i < 2; i++) {
        uint64_t at = BASE + i * MIB(1);
        EXPECT_EQ(vmspace_map(vm, at, 32 * PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED, VMMAP_FIXED,
                              source, 0, NULL),
                  (int64_t)at);
        EXPECT_EQ(poke(at + 3 * PAGE_SIZE, 7), 0);
    }
    source->ops->put(source);
    struct page *page = shown_at(vm, BASE + 3 * PAGE_SIZE);
    EXPECT_EQ(page->mapcount, 2);
    EXPECT_EQ(page->refs, 3);
    EXPECT_EQ(peek(BASE + 4 * PAGE_SIZE), 0);
    EXPECT_EQ(peek(BASE + MIB(1) + 4 * PAGE_SIZE),
              0); /* by fault-around, and once more around it */
    EXPECT_EQ(peek(BASE + 5 * PAGE_SIZE), 0);
    page = shown_at(vm, BASE + 4 * PAGE_SIZE);
    EXPECT_EQ(page->mapcount, 2);
    EXPECT_EQ(page->refs, 3);
    EXPECT_EQ(vmspace_unmap(vm, BASE, MIB(1)), 0);
    EXPECT_EQ(page->mapcount, 1);
    EXPECT_EQ(page->refs, 2);
    space_leave();
}

static bool note_leaf(void *arg, vaddr_t va, const paddr_t *pas, unsigned n, unsigned flags)
{
    uint64_t *last = arg;

    (void)va;
    EXPECT_EQ(n, 1);
    last[0] = pas[0] >> PAGE_SHIFT;
    last[1] = flags;
    return true;
}

TEST(counts, soft_entries_hold_a_value_and_show_nothing)
{
    struct vmspace *vm = space_enter();
    static struct mmu_locks locks;
    struct mmu_space other;
    struct mmu_flush flush;
    const uint64_t value = (1ull << MMU_SOFT_BITS) - 2;
    uint64_t got = 0;
    uint64_t last[2] = {0};
    struct page *page = frame_alloc(0, 0, PAGE_KERNEL);
    paddr_t pa = page_to_phys(page);
    unsigned flags;

    mmu_locks_init(&locks);
    EXPECT_EQ(mmu_space_init(&other, &locks), 0);
    mmu_flush_init(&flush, &vm->mmu);
    EXPECT_EQ(mmu_map(&vm->mmu, BASE, pa, MMU_READ | MMU_USER), 0);
    EXPECT(!mmu_query_soft(&vm->mmu, BASE, &got));
    mmu_replace_soft(&vm->mmu, BASE, value, &flush);
    EXPECT(flush.start <= BASE && flush.end > BASE);
    mmu_flush_finish(&flush);
    EXPECT(!mmu_query(&vm->mmu, BASE, &pa, &flags));
    EXPECT(mmu_query_soft(&vm->mmu, BASE, &got));
    EXPECT_EQ(got, value);
    EXPECT_EQ(mmu_map(&vm->mmu, BASE, pa, MMU_READ | MMU_USER), -EEXIST);
    EXPECT_EQ(mmu_protect(&vm->mmu, BASE, BASE + PAGE_SIZE, MMU_WRITE, MMU_READ, &flush), 0);
    EXPECT_EQ(mmu_clear_accessed(&vm->mmu, BASE, BASE + PAGE_SIZE, &flush), 0);
    EXPECT_EQ(mmu_move(&vm->mmu, BASE, BASE + MIB(8), PAGE_SIZE, &flush), 0);
    EXPECT(!mmu_query_soft(&vm->mmu, BASE, &got));
    EXPECT_EQ(
        mmu_copy(&other, &vm->mmu, BASE + MIB(8), BASE + MIB(9), true, &flush, note_leaf, last), 0);
    EXPECT_EQ(last[0], value);
    EXPECT_EQ(last[1], MMU_SOFT);
    last[0] = 0;
    EXPECT_EQ(mmu_unmap(&other, 0, USER_TOP, &flush, note_leaf, last), 0);
    EXPECT_EQ(last[0], value);
    EXPECT_EQ(last[1], MMU_SOFT);
    mmu_replace(&vm->mmu, BASE + MIB(8), pa, MMU_READ | MMU_USER, &flush);
    EXPECT(mmu_query(&vm->mmu, BASE + MIB(8), &pa, &flags));
    EXPECT_EQ(mmu_unmap(&vm->mmu, BASE + MIB(8), BASE + MIB(9), &flush, NULL, NULL), 0);
    mmu_flush_finish(&flush);
    mmu_space_fini(&other);
    frame_free(page);
    space_leave();
}
