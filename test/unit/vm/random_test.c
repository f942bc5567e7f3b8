/*
 * Random operations on several spaces at once, compared page by page with a model that knows nothing of trees, tables or sharing: an
 * array of pages per space, each with its rights and either a value of its own or a place in a shared object.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "kernel/vm/mempolicy.h"
#include "kernel/vm/migrate.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/swap_space.h"

#define NPAGES  48u
#define NSPACES 3u
#define NSHARED 6u
#define BASE    (MIB(512) - 20 * PAGE_SIZE) /* across a page table's border */

struct model_page {
    bool mapped;
    uint8_t rights; /* VM_READ | VM_WRITE */
    int8_t object;  /* index of a shared object, or -1 */
    uint8_t index;  /* page in it */
    uint8_t value;  /* of private memory */
    uint8_t policy; /* of the region: MPOL_* */
};

struct model_object {
    struct vm_source *source;
    uint8_t values[NPAGES];
};

static struct vmspace *spaces[NSPACES];
static struct model_page pages[NSPACES][NPAGES];
static struct model_object objects[NSHARED];
static uint64_t seed;
static unsigned moves;

static unsigned below(unsigned n)
{
    return (unsigned)(test_random(&seed) % n);
}

static uint64_t addr_of(unsigned page)
{
    return BASE + page * PAGE_SIZE;
}

static uint8_t *value_of(struct model_page *page)
{
    return page->object >= 0 ? &objects[page->object].values[page->index] : &page->value;
}

static int expected_read(struct model_page *page)
{
    if (!page->mapped) {
        return -EFAULT;
    }
    return page->rights == 0 ? -EACCES : *value_of(page);
}

static void check_access(unsigned space, unsigned at)
{
    struct model_page *page = &pages[space][at];

    space_switch(spaces[space]);
    if (below(2) == 0) {
        EXPECT_EQ(peek(addr_of(at)), expected_read(page));
        return;
    }
    uint8_t value = (uint8_t)test_random(&seed);
    int expected = !page->mapped ? -EFAULT : (page->rights & VM_WRITE) == 0 ? -EACCES : 0;
    EXPECT_EQ(poke(addr_of(at), value), expected);
    if (expected == 0) {
        *value_of(page) = value;
    }
}

static void check_policies(unsigned space)
{
    struct mempolicy policy;

    for (unsigned at = 0; at < NPAGES; at++) {
        const struct model_page *page = &pages[space][at];
        int err = vmspace_policy_at(spaces[space], addr_of(at), &policy);
        EXPECT_EQ(err, page->mapped ? 0 : -EFAULT);
        if (err == 0 && page->object < 0) { /* shared memory has its own */
            EXPECT_EQ(policy.mode, page->policy);
        }
    }
}

static void check_all(void)
{
    for (unsigned space = 0; space < NSPACES; space++) {
        if (spaces[space] == NULL) {
            continue;
        }
        space_switch(spaces[space]);
        uint64_t mapped = 0;
        for (unsigned at = 0; at < NPAGES; at++) {
            EXPECT_EQ(peek(addr_of(at)), expected_read(&pages[space][at]));
            mapped += pages[space][at].mapped;
        }
        EXPECT_EQ(spaces[space]->total_pages, mapped);
        check_policies(space);
    }
}

/* The tree is in order, without overlaps, and every gap and maximum is right. */
static uint64_t check_node(struct rb_node *node, uint64_t *prev_end, unsigned *count)
{
    if (node == NULL) {
        return 0;
    }
    struct vm_region *region = rb_entry(node, struct vm_region, node);
    uint64_t left = check_node(node->left, prev_end, count);
    EXPECT_LT(region->start, region->end);
    EXPECT_LE(*prev_end, region->start);
    EXPECT_EQ(region->gap, region->start - *prev_end);
    *prev_end = region->end;
    (*count)++;
    uint64_t right = check_node(node->right, prev_end, count);
    uint64_t most = MAX(left, right);
    most = MAX(most, region->gap);
    EXPECT_EQ(region->max_gap, most);
    return most;
}

static void check_tree(struct vmspace *vm)
{
    uint64_t prev_end = USER_MIN;
    unsigned count = 0;

    (void)check_node(vm->regions.node, &prev_end, &count);
    EXPECT_EQ(vm->nregions, count);
}

static void do_map(unsigned space, unsigned at, unsigned n)
{
    uint8_t rights = (uint8_t)(below(4) == 0 ? VM_READ : TEST_RW);
    int object = below(3) == 0 ? (int)below(NSHARED) : -1;
    unsigned index = below(NPAGES - n + 1);
    uint32_t flags = rights | TEST_MAY | (object >= 0 ? VM_SHARED | VM_ANON_CACHE : 0);

    EXPECT_EQ(vmspace_map(spaces[space], addr_of(at), n * PAGE_SIZE, flags, VMMAP_FIXED,
                          object >= 0 ? objects[object].source : NULL, object >= 0 ? index : 0,
                          NULL),
              (int64_t)addr_of(at));
    for (unsigned i = 0; i < n; i++) {
        pages[space][at + i] = (struct model_page){.mapped = true,
                                                   .rights = rights,
                                                   .object = (int8_t)object,
                                                   .index = (uint8_t)(index + i)};
    }
}

static void do_unmap(unsigned space, unsigned at, unsigned n)
{
    EXPECT_EQ(vmspace_unmap(spaces[space], addr_of(at), n * PAGE_SIZE), 0);
    memset(&pages[space][at], 0, n * sizeof(pages[0][0]));
}

static bool covered(unsigned space, unsigned at, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (!pages[space][at + i].mapped) {
            return false;
        }
    }
    return true;
}

static void do_protect(unsigned space, unsigned at, unsigned n)
{
    uint8_t rights = (uint8_t)(below(3) == 0 ? 0 : below(2) == 0 ? VM_READ : TEST_RW);
    bool ok = covered(space, at, n);

    EXPECT_EQ(vmspace_protect(spaces[space], addr_of(at), n * PAGE_SIZE, rights), ok ? 0 : -ENOMEM);
    for (unsigned i = 0; ok && i < n; i++) {
        pages[space][at + i].rights = rights;
    }
}

static void do_dontneed(unsigned space, unsigned at, unsigned n)
{
    EXPECT_EQ(vmspace_advise(spaces[space], addr_of(at), n * PAGE_SIZE, MADV_DONTNEED),
              covered(space, at, n) ? 0 : -ENOMEM);
    for (unsigned i = 0; i < n; i++) {
        pages[space][at + i].value = 0;
    }
}

static bool alike(unsigned space, unsigned at, unsigned n)
{
    struct model_page *page = &pages[space][at];

    for (unsigned i = 0; i < n; i++) {
        if (!page[i].mapped || page[i].rights != page[0].rights ||
            page[i].object != page[0].object || page[i].policy != page[0].policy ||
            (page[0].object >= 0 && page[i].index != page[0].index + i)) {
            return false;
        }
    }
    return true;
}

static void do_remap(unsigned space, unsigned at, unsigned n)
{
    unsigned to = below(NPAGES - n + 1);
    struct model_page moved[NPAGES];

    if (!alike(space, at, n) || (to < at + n && at < to + n)) {
        return;
    }
    /* Pages that look alike may have been made in different places: then they are not one region, and are not moved as one. */
    if (vmspace_find(spaces[space], addr_of(at))->end < addr_of(at + n)) {
        return;
    }
    EXPECT_EQ(vmspace_remap(spaces[space], addr_of(at), n * PAGE_SIZE, n * PAGE_SIZE,
                            MREMAP_MAYMOVE | MREMAP_FIXED, addr_of(to)),
              (int64_t)addr_of(to));
    memcpy(moved, &pages[space][at], n * sizeof(moved[0]));
    memset(&pages[space][at], 0, n * sizeof(moved[0]));
    memcpy(&pages[space][to], moved, n * sizeof(moved[0]));
}

static void do_fork(unsigned space)
{
    for (unsigned other = 0; other < NSPACES; other++) {
        if (spaces[other] == NULL) {
            EXPECT_EQ(vmspace_fork(spaces[space], &spaces[other]), 0);
            memcpy(pages[other], pages[space], sizeof(pages[0]));
            return;
        }
    }
}

static void do_exit(unsigned space)
{
    unsigned alive = 0;

    for (unsigned other = 0; other < NSPACES; other++) {
        alive += spaces[other] != NULL;
    }
    if (alive > 1) {
        vmspace_use(NULL);
        vmspace_put(spaces[space]);
        spaces[space] = NULL;
    }
}

static struct swap_space swap;

static bool swapping;

/* swapoff, and another swapon. */
static void do_swapoff(void)
{
    unsigned stores = swap.stores, loads = swap.loads;

    if (!swapping) {
        return;
    }
    EXPECT_EQ(swap_area_remove(&swap), 0);
    for (unsigned space = 0; space < NSPACES; space++) {
        EXPECT(spaces[space] == NULL || spaces[space]->rss_swap == 0);
    }
    for (unsigned i = 0; i < NSHARED; i++) {
        EXPECT_EQ(objects[i].source->cache->nswapped, 0);
    }
    swap_space_add(&swap);
    swap.stores = stores;
    swap.loads = loads;
}

static void do_pageout(unsigned space, unsigned at, unsigned n)
{
    EXPECT_EQ(vmspace_advise(spaces[space], addr_of(at), n * PAGE_SIZE, MADV_PAGEOUT),
              covered(space, at, n) ? 0 : -ENOMEM);
}

static void do_punch(unsigned at, unsigned n)
{
    struct model_object *object = &objects[below(NSHARED)];

    EXPECT_EQ(pagecache_punch(object->source->cache, at * PAGE_SIZE, (at + n) * PAGE_SIZE), 0);
    memset(object->values + at, 0, n);
}

/* Pages that nobody used for long, as it were. */
static void do_reclaim(unsigned space, unsigned at, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        (void)reclaim_at(spaces[space], addr_of(at + i));
    }
}

/* Another frame for what is mapped, as compaction does it. */
static void do_move(unsigned space, unsigned at, unsigned n)
{
    const struct mempolicy local = {.home = NODE_LOCAL};

    for (unsigned i = 0; i < n; i++) {
        int err = vm_move_page(spaces[space], addr_of(at + i), &local, 0, true);
        EXPECT(err == 0 || err == -ENOENT || err == -EFAULT || err == -EBUSY);
        moves += err == 0;
    }
}

static void do_bind(unsigned space, unsigned at, unsigned n)
{
    static const uint8_t modes[] = {MPOL_DEFAULT, MPOL_BIND, MPOL_INTERLEAVE, MPOL_LOCAL};
    struct mempolicy policy;
    uint8_t mode = modes[below(4)];
    nodemask_t nodes = mode == MPOL_BIND || mode == MPOL_INTERLEAVE;

    EXPECT_EQ(mempolicy_make(mode, nodes, &policy), 0);
    if (!covered(space, at, n)) {
        return;
    }
    EXPECT_EQ(vmspace_bind(spaces[space], addr_of(at), addr_of(at + n), &policy, 0), 0);
    for (unsigned i = 0; i < n; i++) {
        pages[space][at + i].policy = mode;
    }
}

static void step(unsigned space)
{
    unsigned n = 1 + below(NPAGES / 3);
    unsigned at = below(NPAGES - n + 1);

    switch (below(30)) {
    case 0:
    case 1:
        do_map(space, at, n);
        break;
    case 2:
        do_unmap(space, at, n);
        break;
    case 3:
    case 4:
        do_protect(space, at, n);
        break;
    case 5:
        do_dontneed(space, at, n);
        break;
    case 6:
        do_remap(space, at, n);
        break;
    case 7:
        do_fork(space);
        break;
    case 8:
        if (below(4) == 0) {
            do_exit(space);
            return;
        }
        break;
    case 9:
    case 10:
        do_reclaim(space, at, n);
        break;
    case 11:
        swap.error = below(4) == 0 ? -ENOMEM : 0;
        break;
    case 12:
        do_move(space, at, n);
        break;
    case 13:
        do_bind(space, at, n);
        break;
    case 14:
        do_pageout(space, at, n);
        break;
    case 15:
        if (below(8) == 0) {
            do_swapoff();
        }
        break;
    case 16:
        do_punch(at, n);
        break;
    default:
        for (unsigned i = 0; i < n; i++) {
            check_access(space, at + (below(2) == 0 ? i : below(n)));
        }
        break;
    }
    check_tree(spaces[space]);
}

static void run(uint64_t first_seed, unsigned steps)
{
    seed = first_seed;
    memset(pages, 0, sizeof(pages));
    memset(objects, 0, sizeof(objects));
    for (unsigned i = 0; i < NSHARED; i++) {
        EXPECT_EQ(vm_source_create_shared(NPAGES, &objects[i].source), 0);
    }
    spaces[0] = vmspace_create(false);
    EXPECT(spaces[0] != NULL);
    for (unsigned i = 0; i < steps; i++) {
        unsigned space = below(NSPACES);
        if (spaces[space] != NULL) {
            step(space);
        }
        if (i % 64 == 0) {
            check_all();
        }
    }
    check_all();
    vmspace_use(NULL);
    for (unsigned i = 0; i < NSPACES; i++) {
        vmspace_put(spaces[i]);
        spaces[i] = NULL;
    }
    for (unsigned i = 0; i < NSHARED; i++) {
        objects[i].source->ops->put(objects[i].source);
    }
}

TEST(random, operations_agree_with_a_page_by_page_model_and_leak_nothing)
{
    vm_test_init();
    run(1, 100); /* caches fill */
    uint64_t before = frames_in_use();
    for (uint64_t round = 2; round < 12; round++) {
        run(round, 3000);
    }
    EXPECT_EQ(frames_in_use(), before);
    EXPECT_LE(1000, moves);
}

TEST(random, operations_agree_with_the_model_while_pages_go_to_swap)
{
    vm_test_init();
    uint64_t before = frames_in_use();
    for (uint64_t round = 20; round < 32; round++) {
        swap_space_add(&swap);
        swapping = true;
        run(round, 3000);
        swapping = false;
        EXPECT_LE(100, swap.stores);
        EXPECT_LE(100, swap.loads);
        swap_space_remove(&swap);
    }
    EXPECT_EQ(frames_in_use(), before);
}

/* Holes: against a search of a plain bitmap. */
#define ARENA_PAGES 512u

static uint64_t plain_search(const bool *used, unsigned n)
{
    unsigned run_length = 0;

    for (unsigned page = ARENA_PAGES; page-- > 0;) {
        run_length = used[page] ? 0 : run_length + 1;
        if (run_length == n) {
            return page;
        }
    }
    return ARENA_PAGES;
}

TEST(random, holes_are_found_where_a_plain_search_finds_them)
{
    static bool used[ARENA_PAGES];
    struct vmspace *vm = space_enter();
    uint64_t base = vm->mmap_base - ARENA_PAGES * PAGE_SIZE;

    /* Below the arena nothing is free. */
    EXPECT_EQ(map_anon(vm, USER_MIN, (base - USER_MIN) >> PAGE_SHIFT, VM_READ | VM_NORESERVE),
              (int64_t)USER_MIN);
    seed = 77;
    memset(used, 0, sizeof(used));
    for (unsigned i = 0; i < 4000; i++) {
        unsigned n = 1 + below(i % 100 == 0 ? 60 : 6);
        if (below(5) < 3) {
            uint64_t page = plain_search(used, n);
            int64_t got = map_anon(vm, 0, n, below(2) == 0 ? TEST_RW : VM_READ);
            if (page == ARENA_PAGES) {
                EXPECT_GE(got, (int64_t)vm->mmap_base); /* the way out: above */
                EXPECT_EQ(vmspace_unmap(vm, (uint64_t)got, n * PAGE_SIZE), 0);
                continue;
            }
            EXPECT_EQ(got, base + page * PAGE_SIZE);
            memset(used + page, true, n);
        } else {
            unsigned at = below(ARENA_PAGES - n + 1);
            EXPECT_EQ(vmspace_unmap(vm, base + at * PAGE_SIZE, n * PAGE_SIZE), 0);
            memset(used + at, false, n);
        }
        check_tree(vm);
    }
    space_leave();
}
