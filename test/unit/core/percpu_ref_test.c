/* References that each CPU counts by itself: kernel/core/percpu_ref.h. */
#define TEST_SUITE "core"
#include "kernel/core/percpu_ref.h"

#include "hal/host/host.h"
#include "kernel/mm/kmalloc.h"
#include "test/unit/test.h"

#define NCPUS 4u

static struct percpu_ref ref;

static void start(bool spread)
{
    host_set_cpu_count(NCPUS);
    percpu_ref_init(&ref);
    if (spread) {
        percpu_ref_spread(&ref, kmalloc(percpu_ref_slots_bytes()));
    }
}

static void finish(void)
{
    kfree(percpu_ref_fini(&ref));
    host_set_cpu_count(1);
}

TEST(percpu_ref, counts_in_one_place_like_any_other_until_it_is_spread)
{
    start(false);
    percpu_ref_get(&ref);
    EXPECT_EQ(percpu_ref_read(&ref), 2);
    EXPECT(!percpu_ref_put(&ref));
    percpu_ref_gather(&ref); /* nothing to do */
    percpu_ref_spread_again(&ref);
    EXPECT(ref.slots == NULL);
    EXPECT(percpu_ref_put(&ref));
    EXPECT(percpu_ref_fini(&ref) == NULL);
    finish();
}

TEST(percpu_ref, nobody_is_the_last_while_it_is_spread)
{
    start(true);
    percpu_ref_get(&ref);
    EXPECT_EQ(ref.slots[0].count, 1);
    EXPECT(!percpu_ref_put(&ref));
    EXPECT(!percpu_ref_put(&ref)); /* even of all there are */
    EXPECT_EQ(percpu_ref_read(&ref), 0);
    percpu_ref_get(&ref);
    percpu_ref_gather(&ref);
    EXPECT(percpu_ref_put(&ref));
    finish();
}

TEST(percpu_ref, what_was_counted_before_and_between_is_there_when_it_is_gathered)
{
    start(false);
    percpu_ref_get(&ref);
    percpu_ref_spread(&ref, kmalloc(percpu_ref_slots_bytes()));
    percpu_ref_get(&ref);
    EXPECT_EQ(percpu_ref_read(&ref), 3);
    percpu_ref_gather(&ref);
    EXPECT_EQ(percpu_ref_read(&ref), 3);
    EXPECT(!percpu_ref_put(&ref));
    percpu_ref_spread_again(&ref);
    EXPECT_EQ(ref.slots[0].count, 0);
    EXPECT(!percpu_ref_put(&ref));
    EXPECT_EQ(percpu_ref_read(&ref), 1);
    percpu_ref_gather(&ref);
    EXPECT(percpu_ref_put(&ref));
    finish();
}

static void get_elsewhere(void *arg, unsigned cpu)
{
    (void)arg;
    if (cpu == 2) {
        percpu_ref_get(&ref);
        percpu_ref_get(&ref);
    }
}

TEST(percpu_ref, a_reference_may_be_put_on_another_cpu)
{
    start(true);
    host_run_on_cpus(NCPUS, get_elsewhere, NULL);
    EXPECT_EQ(ref.slots[2].count, 2);
    EXPECT(!percpu_ref_put(&ref));
    EXPECT(!percpu_ref_put(&ref));
    EXPECT_EQ(ref.slots[0].count, -2);
    EXPECT_EQ(percpu_ref_read(&ref), 1);
    percpu_ref_gather(&ref);
    EXPECT(percpu_ref_put(&ref));
    finish();
}

TEST(percpu_ref, one_put_too_many_makes_it_live_for_ever)
{
    start(false);
    EXPECT(percpu_ref_put(&ref));
    EXPECT(!percpu_ref_put(&ref));
    EXPECT(!percpu_ref_put(&ref));
    finish();
}
