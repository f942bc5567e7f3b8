/*
 * Allocations that fail on purpose: which ones.
 */
#define TEST_SUITE "mm"
#include "kernel/mm/fail.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"
#include "test/unit/test.h"

static struct fail_task me;
static struct fail_task *(*hook_before)(void);

static struct fail_task *hook_me(void)
{
    return &me;
}

static struct fail_task *hook_interrupt(void)
{
    return NULL;
}

static void begin(struct fail_point *point, uint32_t probability)
{
    hook_before = fail_task_hook;
    fail_task_hook = hook_me;
    me = (struct fail_task){0};
    *point = (struct fail_point){
        .name = point->name, .probability = probability, .interval = 1, .times = -1, .seed = 1};
    fail_arm();
}

static void end(struct fail_point *point)
{
    point->probability = 0;
    fail_arm();
    fail_task_hook = hook_before;
}

/* Of n objects of 64 bytes, how many cannot be had? */
static unsigned failures(unsigned n)
{
    unsigned failed = 0;

    for (unsigned i = 0; i < n; i++) {
        void *object = kmalloc(64);
        failed += object == NULL;
        kfree(object);
    }
    return failed;
}

TEST(fail, probability_is_kept_and_its_sequence_follows_from_the_seed)
{
    begin(&failslab, 10);
    unsigned first = failures(5000);
    EXPECT_GT(first, 400);
    EXPECT_LT(first, 600);
    failslab.seed = 1;
    EXPECT_EQ(failures(5000), first);
    failslab.probability = 100;
    EXPECT_EQ(failures(100), 100);
    end(&failslab);
    EXPECT_EQ(failures(100), 0);
}

TEST(fail, times_interval_and_space_hold_failures_back)
{
    begin(&failslab, 100);
    failslab.times = 7;
    EXPECT_EQ(failures(100), 7);
    failslab.times = -1;
    failslab.interval = 5;
    EXPECT_EQ(failures(100), 20);
    failslab.interval = 1;
    failslab.space = 64 * 50;
    EXPECT_EQ(failures(100), 51); /* the last bytes of space are never used up */
    end(&failslab);
}

TEST(fail, with_a_filter_only_who_wants_it_fails)
{
    begin(&failslab, 100);
    failslab.task_filter = true;
    EXPECT_EQ(failures(10), 0);
    me.make_it_fail = true;
    EXPECT_EQ(failures(10), 10);
    fail_task_hook = hook_interrupt;
    EXPECT_EQ(failures(10), 0);
    end(&failslab);
}

TEST(fail, the_nth_allocation_fails_once)
{
    begin(&failslab, 0);
    fail_set_nth(&me, 4);
    EXPECT_EQ(failures(3), 0);
    EXPECT_EQ(me.nth, 1);
    EXPECT_EQ(failures(1), 1);
    EXPECT_EQ(me.nth, 0);
    EXPECT_EQ(failures(10), 0);
    end(&failslab);
}

TEST(fail, pages_have_an_order_and_a_willingness_to_wait)
{
    struct page *page, *pages[4];

    begin(&fail_page_alloc, 100);
    EXPECT(frame_alloc(0, 0, PAGE_KERNEL) == NULL);
    EXPECT_EQ(frame_alloc_bulk(4, 0, PAGE_KERNEL, pages), 0);
    fail_page_alloc.min_order = 1;
    EXPECT((page = frame_alloc(0, 0, PAGE_KERNEL)) != NULL);
    page_put(page);
    EXPECT(frame_alloc(1, FRAME_RECLAIM, PAGE_KERNEL) == NULL);
    fail_page_alloc.ignore_waiting = true;
    EXPECT((page = frame_alloc(1, FRAME_RECLAIM, PAGE_KERNEL)) != NULL);
    page_put(page);
    EXPECT(frame_alloc(1, 0, PAGE_KERNEL) == NULL);
    end(&fail_page_alloc);
}
