/* Timekeeping (kernel/core/time.h), on a clock that the test moves. */
#define TEST_SUITE "core"
#include "kernel/core/time.h"

#include "hal/host/host.h"
#include "test/unit/test.h"

TEST(time, real_time_runs_with_monotonic_time)
{
    host_clock_set_manual(1000);
    time_init(1700000000);
    EXPECT_EQ(ktime_realtime(), 1700000000 * NS_PER_S);
    host_clock_advance(12345);
    EXPECT_EQ(ktime_realtime(), 1700000000 * NS_PER_S + 12345);
    EXPECT_EQ(ktime_now(), 1000 + 12345);
}

TEST(time, a_date_that_cannot_be_told_is_none)
{
    host_clock_set_manual(1000);
    time_init(253402300799); /* the last second of 9999 */
    EXPECT_EQ(ktime_realtime(), 0);
    time_init(KTIME_REAL_END / NS_PER_S - 1);
    EXPECT_EQ(ktime_realtime(), KTIME_REAL_END - NS_PER_S);
}

TEST(time, setting_it_steps_real_time_and_leaves_monotonic_time)
{
    host_clock_set_manual(5000);
    ktime_set_realtime(42 * NS_PER_S);
    EXPECT_EQ(ktime_realtime(), 42 * NS_PER_S);
    EXPECT_EQ(ktime_realtime_coarse(), 42 * NS_PER_S);
    EXPECT_EQ(ktime_now(), 5000);
}

TEST(time, coarse_times_are_those_of_the_last_update)
{
    host_clock_set_manual(0);
    ktime_set_realtime(NS_PER_S);
    time_ticks_begin();
    time_update_coarse(100);
    host_clock_advance(500);
    EXPECT_EQ(ktime_coarse(), 100);
    EXPECT_EQ(ktime_realtime_coarse(), NS_PER_S + 100);
    EXPECT_EQ(ktime_realtime(), NS_PER_S + 500);
    time_update_coarse(99); /* another CPU's, read earlier */
    EXPECT_EQ(ktime_coarse(), 100);
    time_ticks_end(); /* nobody tells any more: as it is */
    EXPECT_EQ(ktime_coarse(), 500);
}

TEST(time, the_vdso_page_tells_the_same_time)
{
    const struct vdso_data *data = vdso_data();

    host_clock_set_manual(777);
    time_init(1000);
    host_clock_advance(223);
    EXPECT_EQ((uintptr_t)data % 4096, 0);
    EXPECT_EQ(data->sequence % 2, 0);
    uint64_t counter = clock_source()->read();
    ktime_t monotonic =
        data->monotonic_base_ns +
        (int64_t)(((unsigned __int128)(counter - data->counter_base) * data->mult) >> data->shift);
    EXPECT_EQ(monotonic, ktime_now());
    EXPECT_EQ(monotonic + data->realtime_offset_ns, ktime_realtime());
}

TEST(time, each_change_moves_the_sequence_by_two)
{
    uint32_t before = vdso_data()->sequence;

    ktime_set_realtime(5);
    EXPECT_EQ(vdso_data()->sequence, before + 2);
}

static unsigned told[50];

struct counted {
    struct time_listener listener;
    unsigned nr;
};

static void count_step(struct time_listener *listener)
{
    told[container_of(listener, struct counted, listener)->nr]++;
}

TEST(time, a_step_is_told_to_each_of_many_listeners_once)
{
    static struct counted counted[ARRAY_SIZE(told)];

    host_clock_set_manual(1000);
    time_init(1700000000);
    for (unsigned i = 0; i < ARRAY_SIZE(counted); i++) {
        counted[i] = (struct counted){.listener = {.stepped = count_step}, .nr = i};
        time_listener_add(&counted[i].listener);
        told[i] = 0;
    }
    ktime_set_realtime(100 * NS_PER_S);
    time_listener_remove(&counted[20].listener);
    ktime_set_realtime(200 * NS_PER_S);
    for (unsigned i = 0; i < ARRAY_SIZE(counted); i++) {
        EXPECT_EQ(told[i], i == 20 ? 1u : 2u);
        if (i != 20) {
            time_listener_remove(&counted[i].listener);
        }
    }
    ktime_set_realtime(300 * NS_PER_S);
    EXPECT_EQ(told[0], 2u);
}
