/*
 * Pages that move while they are in use. That nobody can tell is what random_test.c shows; here: what moves, what does not, and CPUs that meet.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/mm/compact.h"
#include "kernel/mm/lru.h"
#include "kernel/vm/huge_fault.h"
#include "kernel/vm/mempolicy.h"
#include "kernel/vm/migrate.h"
#include "kernel/vm/page_lock.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/space.h"

#define BASE GIB(2)

/* The page at va, with a reference. */
static struct page *shown_at(struct vmspace *vm, uint64_t va)
{
    struct page *page = NULL;
    paddr_t pa;
    unsigned flags;

    read_lock(&vm->locks.shape);
    spin_lock(mmu_block_lock(&vm->locks, va));
    if (mmu_query(&vm->mmu, va, &pa, &flags) && (flags & MMU_SPECIAL) == 0) {
        page = phys_to_page(pa);
        page_get(page);
    }
    spin_unlock(mmu_block_lock(&vm->locks, va));
    read_unlock(&vm->locks.shape);
    return page;
}

/* As compaction does it: the page goes to a frame of its choice. */
static int move(struct page *page)
{
    struct page *to = frame_alloc(0, 0, PAGE_ANON);
    bool listed = lru_take(page);
    int err = vm_page_migrate(page, to);

    if (err == 0) {
        lru_put_back(&to, 1);
        return 0;
    }
    page_put(to);
    if (listed) {
        page_get(page);
        lru_put_back(&page, 1);
    }
    return err;
}

static bool is_shown(struct vmspace *vm, uint64_t va, const struct page *page)
{
    struct page *now = shown_at(vm, va);

    page_put(now);
    return now == page;
}

TEST(migrate, an_anonymous_page_goes_with_all_that_show_it)
{
    struct vmspace *vm = space_enter(), *child;

    vmspace_get(vm);
    EXPECT_EQ(map_anon(vm, BASE, 4, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 7), 0);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    struct page *page = shown_at(vm, BASE);
    EXPECT_EQ(move(page), 0);
    EXPECT_EQ(page->counts, 1); /* ours alone */
    page_put(page);
    struct page *now = shown_at(vm, BASE);
    EXPECT(now != page);
    EXPECT(is_shown(child, BASE, now));
    EXPECT_EQ(now->mapcount, 2);
    EXPECT_EQ(now->refs, 3);
    page_put(now);
    EXPECT_EQ(peek(BASE), 7);
    EXPECT_EQ(poke(BASE, 8), 0);
    EXPECT_EQ(vm->rss_anon, 1);
    space_switch(child);
    EXPECT_EQ(peek(BASE), 7);
    vmspace_put(child);
    space_switch(vm);
    EXPECT_EQ(peek(BASE), 8);
    space_leave();
    vmspace_put(vm);
}

TEST(migrate, a_page_that_somebody_looks_at_stays)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 1, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 7), 0);
    struct page *page = shown_at(vm, BASE);
    page_get(page);
    EXPECT_EQ(move(page), -EBUSY);
    page_put(page);
    EXPECT(page_trylock(page));
    EXPECT_EQ(move(page), -EBUSY);
    page_unlock(page, 0);
    EXPECT(is_shown(vm, BASE, page));
    page_put(page);
    EXPECT_EQ(poke(BASE, 9), 0); /* the right to write comes back, without a copy */
    EXPECT(is_shown(vm, BASE, page));
    EXPECT_EQ(peek(BASE), 9);
    struct page *kernels = frame_alloc(0, 0, PAGE_KERNEL);
    page_get(kernels);
    EXPECT_EQ(move(kernels), -EBUSY);
    page_put(kernels);
    page_put(kernels);
    space_leave();
}

TEST(migrate, shared_memory_goes_with_its_place_in_the_cache)
{
    struct vmspace *vm = space_enter(), *child;
    struct vm_source *source;
    uint32_t flags = TEST_RW | TEST_MAY | VM_SHARED | VM_ANON_CACHE;

    vmspace_get(vm);
    EXPECT_EQ(vm_source_create_shared(4, &source), 0);
    EXPECT_EQ(vmspace_map(vm, BASE, 4 * PAGE_SIZE, flags, VMMAP_FIXED, source, 0, NULL),
              (int64_t)BASE);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 7), 0);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    space_switch(child);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 7);
    struct page *page = shown_at(vm, BASE + PAGE_SIZE);
    EXPECT_EQ(page->mapcount, 2);
    EXPECT_EQ(move(page), 0);
    EXPECT_EQ(page->counts, 1);
    EXPECT(page->owner == NULL);
    page_put(page);
    struct page *now = shown_at(vm, BASE + PAGE_SIZE), *cached;
    EXPECT(now != page && now->kind == PAGE_SHARED);
    EXPECT(is_shown(child, BASE + PAGE_SIZE, now));
    EXPECT_EQ(pagecache_get(source->cache, 1, 0, &cached), 0);
    EXPECT(cached == now);
    page_put(cached);
    page_put(now);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 8), 0);
    space_switch(vm);
    EXPECT_EQ(peek(BASE + PAGE_SIZE), 8);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 9), 0);
    EXPECT(is_shown(vm, BASE + PAGE_SIZE, now));
    /* Nobody shows it: it moves all the same. */
    EXPECT_EQ(vmspace_unmap(vm, BASE, 4 * PAGE_SIZE), 0);
    vmspace_put(child);
    page_get(now);
    EXPECT_EQ(move(now), 0);
    page_put(now);
    EXPECT_EQ(pagecache_get(source->cache, 1, 0, &cached), 0);
    EXPECT(cached != now);
    EXPECT_EQ(*(uint8_t *)page_to_virt(cached), 9);
    page_put(cached);
    source->ops->put(source);
    space_leave();
    vmspace_put(vm);
}

TEST(migrate, a_page_of_a_huge_leaf_leaves_the_others)
{
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, BASE, 512, TEST_RW), (int64_t)BASE);
    for (unsigned i = 0; i < 512; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, (uint8_t)i), 0);
    }
    EXPECT(vm->has_huge);
    struct page *page = shown_at(vm, BASE + 5 * PAGE_SIZE), *first = page - 5;
    EXPECT(is_shown(vm, BASE, first));
    EXPECT_EQ(move(page), 0);
    page_put(page);
    for (unsigned i = 0; i < 512; i++) {
        EXPECT(is_shown(vm, BASE + i * PAGE_SIZE, first + i) == (i != 5));
        EXPECT_EQ(peek(BASE + i * PAGE_SIZE), (uint8_t)i);
    }
    EXPECT_EQ(vm->rss_anon, 512);
    space_leave();
}

static uint64_t free_blocks(void)
{
    struct zone_stats zone;
    uint64_t n = 0;

    for (unsigned id = 0; id < ZONE_COUNT; id++) {
        if (zone_stats(0, (enum zone_id)id, &zone)) {
            n += zone.free_by_order[9] + 2 * zone.free_by_order[10];
        }
    }
    return n;
}

TEST(migrate, compaction_makes_huge_pages_of_holes_between_small_ones)
{
    struct vmspace *vm = space_enter();
    const unsigned npages = MIB(64) / PAGE_SIZE;

    vm->huge_disabled = true;
    EXPECT_EQ(map_anon(vm, BASE, npages, TEST_RW), (int64_t)BASE);
    for (unsigned i = 0; i < npages; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, (uint8_t)(i / 8)), 0);
    }
    for (unsigned i = 0; i < npages; i++) {
        if (i % 8 != 3) {
            EXPECT_EQ(vmspace_advise(vm, BASE + i * PAGE_SIZE, PAGE_SIZE, 4 /* MADV_DONTNEED */),
                      0);
        }
    }
    frames_drain_local();
    uint64_t before = free_blocks();
    frames_compact_all();
    test_note("%llu huge pages free, %llu after compaction", (unsigned long long)before,
              (unsigned long long)free_blocks());
    EXPECT_GE(free_blocks(), before + 24); /* of 32 */
    for (unsigned i = 3; i < npages; i += 8) {
        EXPECT_EQ(peek(BASE + i * PAGE_SIZE), (uint8_t)(i / 8));
    }
    space_leave();
}

/* ---- CPUs that meet ---- */

#define RACE_PAGES  24u
#define RACE_ROUNDS 150u
#define RACE_MOVES  10u /* at least: the other CPU may be late */

struct race {
    struct vmspace *vm;
    bool over;      /* [a] */
    unsigned moved; /* [a] */
    unsigned failures;
};

static uint8_t byte_at(struct vmspace *vm, uint64_t va)
{
    uint8_t byte = 0;

    return vmspace_access(vm, va, &byte, 1, false, false) == 1 ? byte : 0xff;
}

/* Fork, write to some pages on either side, and look whether each side sees what it wrote. */
static void fork_and_write(struct race *race)
{
    uint64_t seed = 11;
    uint8_t parents[RACE_PAGES], childs[RACE_PAGES];

    for (unsigned i = 0; i < RACE_PAGES; i++) {
        parents[i] = byte_at(race->vm, BASE + i * PAGE_SIZE);
    }
    for (unsigned round = 0;
         round < RACE_ROUNDS ||
         (atomic_load_relaxed(&race->moved) <= RACE_MOVES && round < 100 * RACE_ROUNDS);
         round++) {
        struct vmspace *child;
        if (vmspace_fork(race->vm, &child) < 0) {
            race->failures++;
            break;
        }
        memcpy(childs, parents, sizeof(childs));
        for (unsigned n = 0; n < RACE_PAGES; n++) {
            unsigned i = (unsigned)(test_random(&seed) % RACE_PAGES);
            bool ours = (test_random(&seed) & 1) != 0;
            uint8_t *value = ours ? &parents[i] : &childs[i];
            *value = (uint8_t)(test_random(&seed) | 1);
            race->failures += vmspace_access(ours ? race->vm : child, BASE + i * PAGE_SIZE, value,
                                             1, true, false) != 1;
        }
        for (unsigned i = 0; i < RACE_PAGES; i++) {
            race->failures += byte_at(race->vm, BASE + i * PAGE_SIZE) != parents[i];
            race->failures += byte_at(child, BASE + i * PAGE_SIZE) != childs[i];
        }
        vmspace_put(child);
    }
}

static void race_on_cpu(void *arg, unsigned cpu)
{
    struct race *race = arg;

    if (cpu == 0) {
        fork_and_write(race);
        __atomic_store_n(&race->over, true, __ATOMIC_RELEASE);
        return;
    }
    for (unsigned i = 0; !__atomic_load_n(&race->over, __ATOMIC_ACQUIRE); i++) {
        struct page *page = shown_at(race->vm, BASE + i % RACE_PAGES * PAGE_SIZE);
        if (page != NULL) {
            (void)atomic_fetch_add_relaxed(&race->moved, move(page) == 0);
            page_put(page);
        }
    }
}

TEST(migrate, meets_forks_and_copies_on_another_cpu)
{
    struct race race = {.vm = space_enter()};

    EXPECT_EQ(map_anon(race.vm, BASE, RACE_PAGES, TEST_RW), (int64_t)BASE);
    for (unsigned i = 0; i < RACE_PAGES; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, (uint8_t)(2 * i + 1)), 0);
    }
    host_run_on_cpus(2, race_on_cpu, &race);
    test_note("%u pages moved", race.moved);
    EXPECT_EQ(race.failures, 0);
    EXPECT_GT(race.moved, RACE_MOVES);
    space_leave();
}
