/*
 * Random operations on memory that is in huge pages now and in small ones then, compared with a model that knows nothing of either: a
 * byte and rights for each page, of two spaces, one of which is now and then replaced by a fork of the other.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "kernel/vm/huge_fault.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/swap_space.h"

#define BASE   (GIB(4) - HUGE_PAGE_SIZE)
#define NPAGES (4 * HUGE_PAGES)

struct model {
    struct vmspace *vm;
    uint8_t value[NPAGES];
    uint8_t rights[NPAGES]; /* VM_READ | VM_WRITE; 0xff: not mapped */
};

static struct model models[2];
static uint64_t seed;

static unsigned below(unsigned n)
{
    return (unsigned)(test_random(&seed) % n);
}

static uint64_t addr_of(unsigned page)
{
    return BASE + page * PAGE_SIZE;
}

static int expected_read(const struct model *model, unsigned page)
{
    if (model->rights[page] == 0xff) {
        return -EFAULT;
    }
    return model->rights[page] == 0 ? -EACCES : model->value[page];
}

static void touch(struct model *model, unsigned page)
{
    uint8_t value = (uint8_t)test_random(&seed);
    uint8_t rights = model->rights[page];

    if (below(4) == 0) {
        EXPECT_EQ(peek(addr_of(page)), expected_read(model, page));
        return;
    }
    int err = poke(addr_of(page), value);
    EXPECT_EQ(err, rights == 0xff ? -EFAULT : (rights & VM_WRITE) == 0 ? -EACCES : 0);
    if (err == 0) {
        model->value[page] = value;
    }
}

static void check(struct model *model)
{
    uint64_t mapped = 0;

    space_switch(model->vm);
    for (unsigned page = 0; page < NPAGES; page++) {
        EXPECT_EQ(peek(addr_of(page)), expected_read(model, page));
        mapped += model->rights[page] != 0xff;
    }
    EXPECT_EQ(model->vm->total_pages, mapped);
    EXPECT_LE(model->vm->rss_anon, mapped);
}

static void set_range(struct model *model, unsigned page, unsigned n, uint8_t rights, bool clear)
{
    memset(model->rights + page, rights, n);
    if (clear) {
        memset(model->value + page, 0, n);
    }
}

static bool all_mapped(const struct model *model, unsigned page, unsigned n)
{
    for (unsigned i = page; i < page + n; i++) {
        if (model->rights[i] == 0xff) {
            return false;
        }
    }
    return true;
}

static void change_range(struct model *model)
{
    struct vmspace *vm = model->vm;
    bool blocks = below(2) == 0;
    unsigned page = blocks ? below(4) * HUGE_PAGES : below(NPAGES);
    unsigned n = blocks ? HUGE_PAGES : 1 + below(MIN(NPAGES - page, 700u));
    uint64_t at = addr_of(page);
    uint64_t len = n * PAGE_SIZE;
    uint32_t rights = below(4) == 0 ? VM_READ : TEST_RW;
    int err;

    switch (below(6)) {
    case 0:
        EXPECT_EQ(vmspace_unmap(vm, at, len), 0);
        set_range(model, page, n, 0xff, true);
        break;
    case 1:
    case 5:
        EXPECT_EQ(map_anon(vm, at, n, TEST_RW), (int64_t)at);
        set_range(model, page, n, TEST_RW, true);
        break;
    case 2:
        err = vmspace_protect(vm, at, len, rights);
        EXPECT_EQ(err, all_mapped(model, page, n) ? 0 : -ENOMEM);
        if (err == 0) {
            set_range(model, page, n, (uint8_t)rights, false);
        }
        break;
    case 3:
        (void)vmspace_advise(vm, at, len, MADV_DONTNEED);
        memset(model->value + page, 0, n);
        break;
    default:
        (void)vmspace_advise(vm, ALIGN_DOWN(at, HUGE_PAGE_SIZE), HUGE_PAGE_SIZE, MADV_COLLAPSE);
        break;
    }
}

static struct swap_space swap;

/* A few pages go to swap: leaves that show them are split. */
static void reclaim_some(struct model *model)
{
    unsigned page = below(NPAGES - 16);

    for (unsigned i = 0; i < 16; i++) {
        (void)reclaim_at(model->vm, addr_of(page + i));
    }
}

static void replace_by_fork(unsigned from)
{
    struct model *other = &models[1 - from];
    struct vmspace *child;

    EXPECT_EQ(vmspace_fork(models[from].vm, &child), 0);
    space_switch(models[from].vm);
    vmspace_put(other->vm);
    *other = models[from];
    other->vm = child;
}

TEST(huge_random, nobody_can_tell)
{
    vm_test_init();
    swap_space_add(&swap);
    uint64_t in_use = frames_in_use();
    struct huge_stats before, after;

    huge_stats(&before);
    seed = 77;
    for (unsigned i = 0; i < 2; i++) {
        models[i].vm = vmspace_create(false);
        memset(models[i].value, 0, NPAGES);
        memset(models[i].rights, 0xff, NPAGES);
    }
    for (unsigned step = 0; step < 3000; step++) {
        unsigned which = below(2);
        space_switch(models[which].vm);
        switch (below(40)) {
        case 0:
            replace_by_fork(which);
            break;
        case 1 ... 4:
            change_range(&models[which]);
            break;
        case 5:
            huge_scan();
            break;
        case 6:
            reclaim_some(&models[which]);
            break;
        default:
            touch(&models[which], below(NPAGES));
            break;
        }
        if (step % 100 == 0) {
            check(&models[0]);
            check(&models[1]);
        }
    }
    space_leave();
    vmspace_put(models[0].vm);
    vmspace_put(models[1].vm);
    EXPECT_LE(100, swap.stores);
    EXPECT_LE(100, swap.loads);
    swap_space_remove(&swap);
    huge_stats(&after);
    test_note("%llu huge faults, %llu collapses, %llu splits",
              (unsigned long long)(after.fault_alloc - before.fault_alloc),
              (unsigned long long)(after.collapse_alloc - before.collapse_alloc),
              (unsigned long long)(after.splits - before.splits));
    EXPECT_GT(after.splits, before.splits + 10);
    EXPECT_GT(after.collapse_alloc, before.collapse_alloc + 10);
    EXPECT_EQ(after.leaves, before.leaves);
    uint64_t zeros = (after.zero_alloc - before.zero_alloc) * HUGE_PAGES;
    EXPECT_LE(frames_in_use(), in_use + zeros + 4); /* slabs */
}
