/*
 * Reverse mapping, compared with a search through every page table of every space.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "kernel/vm/rmap.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/space.h"

#define BASE    0x40000000ull
#define NPAGES  64u
#define NSPACES 40u /* more than a walk visits at once */

struct found {
    unsigned n;
    struct {
        struct vmspace *vm;
        uint64_t va;
    } at[NSPACES * NPAGES];
};

static bool note(void *arg, struct vmspace *vm, uint64_t va, unsigned mmu_flags,
                 struct mmu_flush *flush)
{
    struct found *found = arg;

    (void)mmu_flags;
    (void)flush;
    found->at[found->n].vm = vm;
    found->at[found->n++].va = va;
    return true;
}

static struct page *shown_at(struct vmspace *vm, uint64_t va)
{
    paddr_t pa;
    unsigned flags;

    return mmu_query(&vm->mmu, va, &pa, &flags) && (flags & MMU_SPECIAL) == 0 ? phys_to_page(pa)
                                                                              : NULL;
}

static bool is_in(const struct found *found, const struct vmspace *vm, uint64_t va)
{
    unsigned times = 0;

    for (unsigned i = 0; i < found->n; i++) {
        times += found->at[i].vm == vm && found->at[i].va == va;
    }
    EXPECT_LE(times, 1);
    return times == 1;
}

/* Each page that any space shows is found exactly where it is shown. Returns the entries looked at. */
static unsigned check_all(struct vmspace **spaces)
{
    struct found found;
    unsigned checked = 0;

    for (unsigned i = 0; i < NSPACES; i++) {
        for (unsigned at = 0; spaces[i] != NULL && at < NPAGES; at++) {
            struct page *page = shown_at(spaces[i], BASE + at * PAGE_SIZE);
            if (page == NULL) {
                continue;
            }
            found.n = 0;
            EXPECT_EQ(rmap_walk(page, 0, note, &found), 0);
            EXPECT_EQ(found.n, page->mapcount);
            EXPECT(is_in(&found, spaces[i], BASE + at * PAGE_SIZE));
            checked++;
        }
    }
    return checked;
}

TEST(rmap, a_page_is_found_in_all_that_fork_made)
{
    struct vmspace *spaces[NSPACES] = {space_enter()};

    EXPECT_EQ(map_anon(spaces[0], BASE, 20, TEST_RW), (int64_t)BASE);
    for (unsigned at = 0; at < 20; at++) {
        EXPECT_EQ(poke(BASE + at * PAGE_SIZE, 1), 0);
    }
    for (unsigned i = 1; i < NSPACES; i++) {
        EXPECT_EQ(vmspace_fork(spaces[i / 2], &spaces[i]), 0);
    }
    struct page *page = shown_at(spaces[0], BASE);
    EXPECT_EQ(page->mapcount, NSPACES);
    EXPECT_EQ(check_all(spaces), 20 * NSPACES);
    for (unsigned i = 1; i < NSPACES; i++) {
        EXPECT_EQ(spaces[i]->family, spaces[0]->family);
        if (i != 3) {
            vmspace_put(spaces[i]);
            spaces[i] = NULL;
        }
    }
    spaces[0] = NULL;
    space_switch(spaces[3]); /* the maker is gone */
    EXPECT_EQ(shown_at(spaces[3], BASE), page);
    EXPECT_EQ(check_all(spaces), 20);
    vmspace_put(spaces[3]);
    space_leave();
}

TEST(rmap, moved_regions_keep_apart_what_was_made_elsewhere)
{
    struct vmspace *spaces[NSPACES] = {space_enter()};
    struct vmspace *vm = spaces[0];

    EXPECT_EQ(map_anon(vm, BASE, 4, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(map_anon(vm, BASE + 8 * PAGE_SIZE, 4, TEST_RW), (int64_t)(BASE + 8 * PAGE_SIZE));
    for (unsigned at = 0; at < 4; at++) {
        EXPECT_EQ(poke(BASE + at * PAGE_SIZE, 1), 0);
        EXPECT_EQ(poke(BASE + (8 + at) * PAGE_SIZE, 1), 0);
    }
    /* Beside each other, and as alike as can be; but made in different places. */
    EXPECT_EQ(vmspace_remap(vm, BASE + 8 * PAGE_SIZE, 4 * PAGE_SIZE, 4 * PAGE_SIZE,
                            MREMAP_MAYMOVE | MREMAP_FIXED, BASE + 4 * PAGE_SIZE),
              (int64_t)(BASE + 4 * PAGE_SIZE));
    EXPECT_EQ(vm->nregions, 2);
    EXPECT_EQ(vmspace_find(vm, BASE + 4 * PAGE_SIZE)->vpn_delta, 4);
    EXPECT_EQ(poke(BASE + 5 * PAGE_SIZE, 2), 0);
    EXPECT_EQ(vmspace_fork(vm, &spaces[1]), 0);
    EXPECT_EQ(check_all(spaces), 16);
    /* A page made there now counts as those around it. */
    EXPECT_EQ(vmspace_advise(vm, BASE + 5 * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED), 0);
    EXPECT_EQ(poke(BASE + 5 * PAGE_SIZE, 3), 0);
    EXPECT_EQ(check_all(spaces), 16);
    /* Back again: nothing tells it from its neighbours any more. */
    EXPECT_EQ(vmspace_remap(vm, BASE + 4 * PAGE_SIZE, 4 * PAGE_SIZE, 4 * PAGE_SIZE,
                            MREMAP_MAYMOVE | MREMAP_FIXED, BASE + 8 * PAGE_SIZE),
              (int64_t)(BASE + 8 * PAGE_SIZE));
    EXPECT_EQ(vmspace_find(vm, BASE + 8 * PAGE_SIZE)->vpn_delta, 0);
    EXPECT_EQ(check_all(spaces), 16);
    vmspace_put(spaces[1]);
    space_leave();
}

/* The kernel's half of the tables, which shows all memory, shows the page of `va` at `kernel`: no walk looks there. */
static void expect_found_at(struct vmspace *vm, uint64_t va, uint64_t kernel)
{
    struct page *page = shown_at(vm, va);
    struct found found = {0};
    struct mmu_flush flush;

    EXPECT_EQ(mmu_map(&vm->mmu, kernel, page_to_phys(page), MMU_READ | MMU_WRITE), 0);
    EXPECT_EQ(rmap_walk(page, 0, note, &found), 0);
    EXPECT_EQ(found.n, 1);
    EXPECT(is_in(&found, vm, va));
    mmu_flush_init(&flush, &vm->mmu);
    mmu_remove(&vm->mmu, kernel, &flush);
    mmu_flush_finish(&flush);
}

TEST(rmap, what_counts_as_made_outside_of_user_memory_is_found_where_it_is)
{
    struct vmspace *vm = space_enter();
    const uint64_t last = USER_TOP - PAGE_SIZE;

    EXPECT_EQ(map_anon(vm, last, 1, TEST_RW), (int64_t)last);
    EXPECT_EQ(poke(last, 1), 0);
    EXPECT_EQ(
        vmspace_remap(vm, last, PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, BASE),
        (int64_t)BASE);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 1), 0);
    expect_found_at(vm, BASE + PAGE_SIZE, USER_TOP);
    /* And below address 0, where the top of the kernel's half is; what is mapped before the moved page becomes one with it. */
    EXPECT_EQ(map_anon(vm, USER_MIN, 1, TEST_RW), (int64_t)USER_MIN);
    EXPECT_EQ(poke(USER_MIN, 1), 0);
    EXPECT_EQ(vmspace_remap(vm, USER_MIN, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED,
                            BASE + MIB(1)),
              (int64_t)(BASE + MIB(1)));
    const uint64_t first = BASE + MIB(1) - USER_MIN - PAGE_SIZE;
    EXPECT_EQ(map_anon(vm, first, (USER_MIN + PAGE_SIZE) / PAGE_SIZE, TEST_RW), (int64_t)first);
    EXPECT_EQ(poke(first, 1), 0);
    expect_found_at(vm, first, (BIT(FAMILY_VPN_BITS) - 1) << PAGE_SHIFT);
    space_leave();
}

TEST(rmap, shared_pages_are_found_by_the_regions_of_their_object)
{
    struct vmspace *spaces[NSPACES] = {space_enter()};
    struct vm_source *source;

    EXPECT_EQ(vm_source_create_shared(16, &source), 0);
    for (unsigned i = 0; i < 3; i++) {
        uint64_t at = BASE + i * 16 * PAGE_SIZE;
        EXPECT_EQ(vmspace_map(spaces[0], at, (16 - i) * PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED,
                              VMMAP_FIXED, source, i, NULL),
                  (int64_t)at);
        EXPECT_EQ(poke(at, (uint8_t)i), 0);
        EXPECT_EQ(peek(at + 7 * PAGE_SIZE), 0);
    }
    source->ops->put(source);
    EXPECT_EQ(vmspace_fork(spaces[0], &spaces[1]), 0);
    vmspace_get(spaces[0]);
    space_switch(spaces[1]);
    EXPECT_EQ(peek(BASE), 0);
    EXPECT_LE(10, check_all(spaces));
    space_leave();
    vmspace_put(spaces[1]);
    vmspace_put(spaces[0]);
}

/* ---- at random ---- */

static uint64_t seed;

static unsigned below(unsigned n)
{
    return (unsigned)(test_random(&seed) % n);
}

static void step(struct vmspace **spaces, struct vmspace **ret_current)
{
    unsigned who = below(NSPACES);
    struct vmspace *vm = spaces[who];
    unsigned n = 1 + below(NPAGES / 4);
    uint64_t at = BASE + below(NPAGES - n + 1) * PAGE_SIZE;
    uint64_t to = BASE + below(NPAGES - n + 1) * PAGE_SIZE;

    if (vm == NULL) {
        EXPECT_EQ(vmspace_fork(*ret_current, &spaces[who]), 0);
        return;
    }
    space_switch(vm);
    *ret_current = vm;
    switch (below(10)) {
    case 0:
        EXPECT_EQ(map_anon(vm, at, n, TEST_RW), (int64_t)at);
        break;
    case 1:
        EXPECT_EQ(vmspace_unmap(vm, at, n * PAGE_SIZE), 0);
        break;
    case 2:
    case 3:
        if (to + n * PAGE_SIZE <= at || at + n * PAGE_SIZE <= to) {
            (void)vmspace_remap(
                vm, at, n * PAGE_SIZE, n * PAGE_SIZE,
                MREMAP_MAYMOVE | MREMAP_FIXED | (below(4) == 0 ? MREMAP_DONTUNMAP : 0), to);
        }
        break;
    case 4:
        if (below(3) == 0) {
            space_leave();
            vmspace_put(vm);
            spaces[who] = NULL;
            for (unsigned i = 0; i < NSPACES; i++) {
                if (spaces[i] != NULL) {
                    *ret_current = spaces[i];
                    space_switch(spaces[i]);
                    return;
                }
            }
            spaces[0] = *ret_current = space_enter();
            vmspace_get(spaces[0]);
            break;
        }
        break;
    default:
        for (unsigned i = 0; i < n; i++) {
            (void)poke(at + i * PAGE_SIZE, 1);
        }
        break;
    }
}

TEST(rmap, whatever_happens_every_entry_is_found)
{
    struct vmspace *spaces[NSPACES] = {space_enter()};
    struct vmspace *current = spaces[0];
    uint64_t checked = 0;

    vmspace_get(spaces[0]);
    seed = 4711;
    for (unsigned i = 0; i < 6000; i++) {
        step(spaces, &current);
        if (i % 8 == 0) {
            checked += check_all(spaces);
        }
    }
    EXPECT_LE(10000, checked);
    space_leave();
    for (unsigned i = 0; i < NSPACES; i++) {
        vmspace_put(spaces[i]);
    }
}
