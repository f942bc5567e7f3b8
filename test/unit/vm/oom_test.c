/*
 * Memory that runs out in a fault: vm asks who has to go, tries again, and can empty a space without the help of its users.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "kernel/vm/oom.h"
#include "kernel/vm/thrash.h"
#include "test/unit/vm/swap_space.h"

#define BASE 0x40000000ull

static struct page *hoard; /* linked by next_table */
static unsigned asked, asked_thrashing, gone;
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
static bool hook_patient(bool thrashes)
{
    asked_thrashing += thrashes;
    if (++asked == 3) {
        hoard_release();
    }
    return true;
}

static bool hook_gives_up(bool thrashes)
{
    asked_thrashing += thrashes;
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

/* ---- thrashing ---- */

static struct swap_space swap;

#define OTHERS 200u

/* As reclaim does, that had to look hard. */
static void send_away(struct vmspace *vm, uint64_t va)
{
    EXPECT_EQ(reclaim_at(vm, va), RECLAIM_FREED);
    thrash_note_evictions(1, false);
}

/* Two pages come in each other's place, n times; of the others, so many go each time, to come back much later. */
static void change_places(struct vmspace *vm, unsigned n, unsigned others)
{
    static unsigned turn;

    for (unsigned i = 0; i < n; i++) {
        send_away(vm, BASE + (i % 2) * PAGE_SIZE);
        EXPECT_EQ(peek(BASE + (i % 2) * PAGE_SIZE), 1);
        for (unsigned k = 0; k < others; k++) {
            uint64_t at = BASE + (2 + turn++ % OTHERS) * PAGE_SIZE;
            EXPECT_EQ(peek(at), 1);
            send_away(vm, at);
        }
    }
}

static bool is_owed(void)
{
    return (current_thread()->work & THREAD_WORK_RECLAIM) != 0;
}

/* All but a few frames are gone. */
static void hoard_most(void)
{
    hoard_all();
    for (unsigned i = 0; i < 8; i++) {
        struct page *page = hoard;
        hoard = page->next_table;
        page_put(page);
    }
}

TEST(oom, who_reads_a_file_that_is_in_swap_asks_for_room_too)
{
    struct vmspace *vm = space_enter();
    struct vm_source *source;
    struct page *page;

    swap_space_add(&swap);
    asked = 0;
    EXPECT_EQ(vm_source_create_shared(1, &source), 0);
    EXPECT_EQ(vmspace_map(vm, BASE, PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED, VMMAP_FIXED, source,
                          0, NULL),
              (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 7), 0);
    EXPECT_EQ(reclaim_at(vm, BASE), RECLAIM_FREED);
    vm_set_oom(&patient);
    hoard_all();
    EXPECT_EQ(pagecache_get(source->cache, 0, 0, &page), 0);
    EXPECT_EQ(asked, 3);
    EXPECT_EQ(*(uint8_t *)page_to_virt(page), 7);
    page_put(page);
    vm_set_oom(NULL);
    EXPECT_EQ(vmspace_unmap(vm, BASE, PAGE_SIZE), 0);
    source->ops->put(source);
    swap_space_remove(&swap);
    space_leave();
}

TEST(oom, pages_that_only_change_places_are_lack_of_memory)
{
    struct vmspace *vm = space_enter();

    swap_space_add(&swap);
    asked = asked_thrashing = 0;
    vm_set_oom(&hasty);
    EXPECT_EQ(map_anon(vm, BASE, 2 + OTHERS, TEST_RW | VM_NOHUGE), (int64_t)BASE);
    for (unsigned i = 0; i < 2 + OTHERS; i++) {
        EXPECT_EQ(poke(BASE + i * PAGE_SIZE, 1), 0);
    }
    change_places(vm, 300, 0);
    EXPECT(thrash_is_on() && is_owed());
    reclaim_owed(); /* there is memory, and no request has failed */
    EXPECT_EQ(asked, 0);
    thread_clear_work(current_thread(), THREAD_WORK_RECLAIM);
    hoard_most();
    change_places(vm, 300, 2); /* somebody gets on */
    EXPECT(!thrash_is_on() && !is_owed());
    change_places(vm, 300, 0);
    EXPECT(thrash_is_on() && is_owed());
    reclaim_owed();
    EXPECT_EQ(asked, 1);
    EXPECT_EQ(asked_thrashing, 1);
    /* Where others are found at once, there are more. */
    for (unsigned i = 0; i < 300; i++) {
        change_places(vm, 1, 0);
        thrash_note_evictions(i % 2, true);
    }
    EXPECT(!thrash_is_on());
    change_places(vm, 100, 0); /* it is to be seen anew */
    EXPECT(!thrash_is_on());
    hoard_release();
    vm_set_oom(NULL);
    thread_clear_work(current_thread(), THREAD_WORK_RECLAIM);
    EXPECT_EQ(vmspace_unmap(vm, BASE, (2 + OTHERS) * PAGE_SIZE), 0);
    space_leave();
    swap_space_remove(&swap);
}

TEST(oom, what_a_program_sends_away_itself_may_come_back_at_once)
{
    struct vmspace *vm = space_enter();

    swap_space_add(&swap);
    EXPECT_EQ(map_anon(vm, BASE, 1, TEST_RW | VM_NOHUGE), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    for (unsigned i = 0; i < 600; i++) {
        EXPECT_EQ(vmspace_advise(vm, BASE, PAGE_SIZE, MADV_PAGEOUT), 0);
        EXPECT_EQ(vm->rss_swap, 1);
        EXPECT_EQ(peek(BASE), 1);
    }
    EXPECT(!thrash_is_on() && !is_owed());
    EXPECT_EQ(vmspace_unmap(vm, BASE, PAGE_SIZE), 0);
    space_leave();
    swap_space_remove(&swap);
}
