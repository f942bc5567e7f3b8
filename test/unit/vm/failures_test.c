#define TEST_SUITE "vm"
#include "test/unit/failures.h"

#include <linux/mman.h>

#include "kernel/vm/iov.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/zstore.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/swap_space.h"

/* ---- compressed pages, swap ---- */

/* Zeros, text and noise, each in its own way; all that was stored can be read. */
static bool attempt_zstore(void)
{
    static uint64_t pages[12][PAGE_SIZE / 8], got[PAGE_SIZE / 8];
    struct zstore *store = zstore_create(2000);
    bool stored[ARRAY_SIZE(pages)], done = store != NULL;
    uint64_t seed = 5;

    if (store == NULL) {
        return false;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(pages); i++) {
        for (unsigned k = 0; k < PAGE_SIZE / 8; k++) {
            pages[i][k] = i % 3 == 0 ? i : i % 3 == 1 && k % 8 != 0 ? k : test_random(&seed);
        }
        stored[i] = zstore_write(store, i * 150, pages[i]) == 0;
        done = done && stored[i];
    }
    for (unsigned i = 0; i < ARRAY_SIZE(pages); i++) {
        EXPECT_EQ(zstore_read(store, i * 150, got), 0);
        EXPECT(!stored[i] || memcmp(got, pages[i], PAGE_SIZE) == 0);
    }
    (void)zstore_compact(store);
    zstore_destroy(store);
    return done;
}

static int nothing_to_do(void *device, uint64_t slot, struct page *page)
{
    (void)device, (void)slot, (void)page;
    return 0;
}

static bool attempt_swap(void)
{
    static const struct swap_ops ops = {.store = nothing_to_do, .load = nothing_to_do};
    struct swap_header header = {.nslots = 100000};
    struct swap_area_info info = {.path = "/dev/test", .priority = 1};
    swap_entry_t entries[600];
    unsigned area, n = 0;
    static int device;

    if (swap_area_add(&ops, &device, &header, &info, &area) < 0) {
        return false;
    }
    while (n < ARRAY_SIZE(entries) && swap_slot_alloc(&entries[n]) == 0) {
        n++;
    }
    bool done = n == ARRAY_SIZE(entries);
    while (n > 0) {
        swap_slot_put(entries[--n]);
    }
    EXPECT_EQ(swap_area_remove(&device), 0);
    return done;
}

/* ---- address spaces ---- */

#define AT     0x10000000ull
#define NPAGES 8u

/* The byte is there; to look at it may take memory, which does not fail. */
static void see(uint64_t addr, int value)
{
    uint32_t nth = failures_task.nth;

    failures_task.nth = 0;
    EXPECT_EQ(peek(addr), value);
    failures_task.nth = nth;
}

/* A space with NPAGES writable pages, in use. NULL: no memory. */
static struct vmspace *space_with_pages(void)
{
    vm_test_init();
    struct vmspace *vm = vmspace_create(false);

    if (vm == NULL) {
        return NULL;
    }
    vmspace_use(vm);
    for (unsigned i = 0; i <= NPAGES; i++) {
        if (i == 0 ? map_anon(vm, AT, NPAGES, TEST_RW) != (int64_t)AT
                   : poke(AT + (i - 1) * PAGE_SIZE, (uint8_t)i) < 0) {
            vmspace_use(NULL);
            return NULL;
        }
    }
    return vm;
}

static bool attempt_map(void)
{
    if (space_with_pages() == NULL) {
        return false;
    }
    for (unsigned i = 0; i < NPAGES; i++) {
        see(AT + i * PAGE_SIZE, i + 1);
    }
    vmspace_use(NULL);
    return true;
}

/* Rights of every second page change, and one in the middle goes: regions are cut. */
static bool attempt_cut(void)
{
    struct vmspace *vm = space_with_pages();
    bool done = vm != NULL;

    if (vm == NULL) {
        return false;
    }
    for (unsigned i = 0; i < NPAGES; i += 2) {
        done = vmspace_protect(vm, AT + i * PAGE_SIZE, PAGE_SIZE, VM_READ) == 0 && done;
    }
    done = vmspace_lock(vm, AT + 2 * PAGE_SIZE, 2 * PAGE_SIZE, true) == 0 && done;
    done = vmspace_advise(vm, AT + 4 * PAGE_SIZE, PAGE_SIZE, MADV_DONTFORK) == 0 && done;
    bool unmapped = vmspace_unmap(vm, AT + 3 * PAGE_SIZE, PAGE_SIZE) == 0;
    for (unsigned i = 0; i < NPAGES; i++) {
        if (i != 3 || !unmapped) {
            see(AT + i * PAGE_SIZE, i + 1);
        }
    }
    vmspace_use(NULL);
    return done && unmapped;
}

static bool attempt_remap(void)
{
    struct vmspace *vm = space_with_pages();

    if (vm == NULL) {
        return false;
    }
    int64_t moved = vmspace_remap(vm, AT, NPAGES * PAGE_SIZE, 4 * NPAGES * PAGE_SIZE,
                                  MREMAP_MAYMOVE | MREMAP_FIXED, AT + GIB(1));
    uint64_t at = moved < 0 ? AT : (uint64_t)moved;
    for (unsigned i = 0; i < NPAGES; i++) {
        see(at + i * PAGE_SIZE, i + 1);
    }
    vmspace_use(NULL);
    return moved >= 0;
}

/* Both have their own pages afterwards. */
static bool attempt_fork(void)
{
    struct vmspace *vm = space_with_pages(), *child;
    bool done = false;

    if (vm == NULL) {
        return false;
    }
    if (vmspace_fork(vm, &child) == 0) {
        done = poke(AT, 100) == 0;
        see(AT, done ? 100 : 1);
        vmspace_get(vm);
        vmspace_use(child); /* its only reference, and vm's is ours */
        see(AT, 1);
        done = poke(AT + PAGE_SIZE, 101) == 0 && done;
        vmspace_use(vm);
        see(AT + PAGE_SIZE, 2);
    }
    vmspace_use(NULL);
    return done;
}

/* Out, into two spaces, back for writing. */
static bool attempt_swapping(void)
{
    struct vmspace *vm = space_with_pages(), *child = NULL;
    bool done = vm != NULL;

    if (vm == NULL) {
        return false;
    }
    for (unsigned i = 0; i < NPAGES; i++) {
        done = reclaim_at(vm, AT + i * PAGE_SIZE) == RECLAIM_FREED && done;
    }
    done = vmspace_fork(vm, &child) == 0 && done;
    for (unsigned i = 0; i < NPAGES; i++) {
        bool wrote = i % 2 == 0 && poke(AT + i * PAGE_SIZE, (uint8_t)(i + 100)) == 0;
        done = done && (wrote || i % 2 != 0);
        see(AT + i * PAGE_SIZE, wrote ? i + 100 : i + 1);
    }
    if (child != NULL) {
        vmspace_use(child);
        for (unsigned i = 0; i < NPAGES; i++) {
            see(AT + i * PAGE_SIZE, i + 1);
        }
    }
    vmspace_use(NULL);
    return done;
}

static bool attempt_shared(void)
{
    struct vm_source *source;
    bool done = false;

    vm_test_init();
    struct vmspace *vm = vmspace_create(false);
    if (vm == NULL) {
        return false;
    }
    vmspace_use(vm);
    if (vm_source_create_shared(1000, &source) == 0) {
        if (vmspace_map(vm, AT, 1000 * PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED, VMMAP_FIXED,
                        source, 0, NULL) == (int64_t)AT) {
            done = poke(AT, 1) == 0 && poke(AT + 999 * PAGE_SIZE, 2) == 0 &&
                   vmspace_unmap(vm, AT + 500 * PAGE_SIZE, PAGE_SIZE) == 0;
        }
        source->ops->put(source);
    }
    vmspace_use(NULL);
    return done;
}

/* ---- files, huge pages ---- */

static int64_t charged;

static int charge(struct pagecache *cache, uint64_t npages)
{
    (void)cache;
    charged += (int64_t)npages;
    return 0;
}

static void uncharge(struct pagecache *cache, uint64_t npages)
{
    (void)cache;
    charged -= (int64_t)npages;
}

/* What could be written is there, also when pages far apart make the tree deep. */
static bool attempt_pagecache(void)
{
    static const struct pagecache_ops ops = {.charge = charge, .uncharge = uncharge};
    static char text[3 * PAGE_SIZE], got[3 * PAGE_SIZE];
    struct pagecache cache;
    struct iov_iter iter;
    bool done = true;

    memset(text, 'x', sizeof(text));
    pagecache_init(&cache, &ops, NULL);
    for (unsigned i = 0; i < 4; i++) {
        loff_t start = ((loff_t)PAGE_SIZE << 6 * i) - 100, pos = start, from = start;
        iov_init_kernel(&iter, text, sizeof(text));
        ssize_t written = pagecache_write(&cache, &pos, &iter);
        done = done && written == (ssize_t)sizeof(text);
        EXPECT_EQ(pos, start + MAX(written, (ssize_t)0));
        iov_init_kernel(&iter, got, sizeof(got));
        uint32_t nth = failures_task.nth;
        failures_task.nth = 0;
        if (written > 0) {
            EXPECT_GE(pagecache_read(&cache, NULL, &from, &iter), written);
            EXPECT_MEM_EQ(got, text, written);
        }
        failures_task.nth = nth;
    }
    if (pagecache_punch(&cache, PAGE_SIZE + 5, 3 * PAGE_SIZE - 5) < 0 ||
        pagecache_truncate(&cache, PAGE_SIZE + 1) < 0) {
        done = false;
    }
    pagecache_fini(&cache);
    EXPECT_EQ(charged, 0);
    return done;
}

#define HUGE_AT GIB(2)

/* A huge page comes, is cut by its neighbours' rights, shared by fork, copied, and collapses again. */
static bool attempt_huge(void)
{
    struct vmspace *vm, *child;
    bool done = false;

    vm_test_init();
    vm = vmspace_create(false);
    if (vm == NULL) {
        return false;
    }
    vmspace_use(vm);
    if (map_anon(vm, HUGE_AT, 2 * HUGE_PAGE_SIZE / PAGE_SIZE, TEST_RW) == (int64_t)HUGE_AT &&
        poke(HUGE_AT + 5, 1) == 0) {
        done = vmspace_fork(vm, &child) == 0;
        if (done) {
            done = poke(HUGE_AT + 5, 2) == 0;
            vmspace_get(vm);
            vmspace_use(child);
            see(HUGE_AT + 5, 1);
            vmspace_use(vm);
            see(HUGE_AT + 5, done ? 2 : 1);
        }
        done = vmspace_protect(vm, HUGE_AT, PAGE_SIZE, VM_READ) == 0 && done;
        done = vmspace_protect(vm, HUGE_AT, PAGE_SIZE, TEST_RW) == 0 && done;
        done = vmspace_advise(vm, HUGE_AT, HUGE_PAGE_SIZE, MADV_COLLAPSE) == 0 && done;
        done = vmspace_unmap(vm, HUGE_AT + HUGE_PAGE_SIZE / 2, PAGE_SIZE) == 0 && done;
    }
    vmspace_use(NULL);
    return done;
}

TEST(failures, pages_of_files)
{
    EXPECT_GT(every_allocation_fails(attempt_pagecache), 0);
}

TEST(failures, huge_pages)
{
    EXPECT_GT(every_allocation_fails(attempt_huge), 0);
}

TEST(failures, zstore)
{
    EXPECT_GT(every_allocation_fails(attempt_zstore), 0);
}

TEST(failures, swap_area)
{
    EXPECT_GT(every_allocation_fails(attempt_swap), 0);
}

TEST(failures, map_and_fault)
{
    EXPECT_GT(every_allocation_fails(attempt_map), 0);
}

TEST(failures, cut_regions)
{
    EXPECT_GT(every_allocation_fails(attempt_cut), 0);
}

TEST(failures, remap)
{
    EXPECT_GT(every_allocation_fails(attempt_remap), 0);
}

TEST(failures, fork_and_copy_on_write)
{
    EXPECT_GT(every_allocation_fails(attempt_fork), 0);
}

TEST(failures, swapping)
{
    static struct swap_space swap;

    swap_space_add(&swap);
    EXPECT_GT(every_allocation_fails(attempt_swapping), NPAGES);
    swap_space_remove(&swap);
}

TEST(failures, shared_memory)
{
    EXPECT_GT(every_allocation_fails(attempt_shared), 0);
}
