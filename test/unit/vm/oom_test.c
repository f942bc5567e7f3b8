/*
 * Memory that runs out in a fault: vm asks who has to go, tries again, and can empty a space without the help of its users.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/vm/oom.h"
#include "test/unit/vm/space.h"

#define BASE 0x40000000ull

static struct page *hoard; /* linked by next_table */
static unsigned asked, gone;
static const struct vmspace *gone_space;

static void hoard_all(void)
{
    struct page *page;

    while ((page = frame_alloc(0, FRAME_RESERVE, PAGE_KERNEL)) != NULL) {
        page->next_table = hoard;
        hoard = page;
    }
}

static void hoard_release(void)
{
    while (hoard != NULL) {
        struct page *page = hoard;
        hoard = page->next_table;
        page_put(page);
    }
}

/* Helps the third time. */
static bool hook_patient(void)
{
    if (++asked == 3) {
        hoard_release();
    }
    return true;
}

static bool hook_gives_up(void)
{
    asked++;
    return false;
}

static void hook_gone(const struct vmspace *vm)
{
    gone_space = vm;
    gone++;
}

static const struct vm_oom_ops patient = {hook_patient, hook_gone};
static const struct vm_oom_ops hasty = {hook_gives_up, hook_gone};

TEST(oom, a_fault_is_tried_again_until_there_is_memory)
{
    struct vmspace *vm = space_enter();

    asked = 0;
    EXPECT_EQ(map_anon(vm, BASE, 4, TEST_RW), (int64_t)BASE);
    vm_set_oom(&patient);
    hoard_all();
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(asked, 3);
    EXPECT_EQ(peek(BASE), 1);
    vm_set_oom(NULL);
    space_leave();
}

TEST(oom, who_is_being_killed_gets_an_error)
{
    struct vmspace *vm = space_enter();

    asked = 0;
    EXPECT_EQ(map_anon(vm, BASE, 4, TEST_RW), (int64_t)BASE);
    vm_set_oom(&hasty);
    hoard_all();
    EXPECT_EQ(poke(BASE, 1), -ENOMEM);
    EXPECT_EQ(asked, 1);
    hoard_release();
    vm_set_oom(NULL);
    space_leave();
}

TEST(oom, reaping_takes_anonymous_memory_and_never_shows_zeros_in_its_place)
{
    struct vmspace *vm = space_enter();
    struct vm_source *source;

    EXPECT_EQ(map_anon(vm, BASE, 40, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(vm_source_create_shared(2, &source), 0);
    EXPECT_EQ(vmspace_map(vm, BASE + MIB(4), 2 * PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED,
                          VMMAP_FIXED, source, 0, NULL),
              (int64_t)(BASE + MIB(4)));
    source->ops->put(source);
    for (unsigned i = 0; i < 40; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, 5), 0);
    }
    EXPECT_EQ(poke(BASE + MIB(4), 9), 0);
    EXPECT_EQ(vm->rss_anon, 40);

    rwsem_lock_read(&vm->lock);
    EXPECT(!vmspace_oom_reap(vm));
    rwsem_unlock_read(&vm->lock);
    EXPECT_EQ(vm->rss_anon, 40);

    EXPECT(vmspace_oom_reap(vm));
    EXPECT_EQ(vm->rss_anon, 0);
    EXPECT_EQ(poke(BASE, 1), -EFAULT);
    EXPECT_EQ(peek(BASE + MIB(4)), 9);
    space_leave();
}

TEST(oom, the_end_of_a_marked_space_is_told_once)
{
    struct vmspace *vm = space_enter();
    struct vmspace *child;

    gone = 0;
    vm_set_oom(&hasty);
    vmspace_oom_mark(vm);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    vmspace_put(child); /* not marked, though its parent was */
    EXPECT_EQ(gone, 0);
    space_leave();
    EXPECT_EQ(gone, 1);
    EXPECT_EQ((uint64_t)gone_space, (uint64_t)vm);
    vm_set_oom(NULL);
}
