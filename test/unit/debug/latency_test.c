#define TEST_SUITE "debug"
#include "test/unit/test.h"

#include "kernel/debug/latency.h"

/* A call of the tracer that begins or ends a section, and takes `own` units itself. */
static void begin_at(struct latency_meter *meter, enum latency_kind kind, uint64_t now,
                     uint64_t own)
{
    EXPECT(latency_meter_enter(meter, now));
    latency_meter_begin(meter, kind)->n = now;
    latency_meter_leave(meter, now + own);
}

static uint64_t end_at(struct latency_meter *meter, enum latency_kind kind, uint64_t now,
                       uint64_t own)
{
    EXPECT(latency_meter_enter(meter, now));
    uint64_t length = latency_meter_end(meter, kind);
    latency_meter_leave(meter, now + own);
    return length;
}

static struct latency_worst *keep(struct latency_worst *kept, uint64_t length, uintptr_t begin,
                                  uintptr_t end)
{
    struct latency_chain from = {.n = 1, .addrs = {begin}}, to = {.n = 1, .addrs = {end}};

    return latency_keep(kept, length, &from, &to);
}

TEST(latency, a_section_has_a_length_and_its_begin)
{
    struct latency_meter meter = {0};

    begin_at(&meter, LATENCY_IRQSOFF, 100, 0);
    EXPECT_EQ(end_at(&meter, LATENCY_IRQSOFF, 150, 0), 50);
    EXPECT_EQ(meter.sections[LATENCY_IRQSOFF].begin.n, 100);
    EXPECT_EQ(end_at(&meter, LATENCY_IRQSOFF, 160, 0), 0);
    EXPECT_EQ(end_at(&meter, LATENCY_PREEMPTOFF, 170, 0), 0);
}

TEST(latency, of_a_place_the_longest_is_kept)
{
    struct latency_worst kept[LATENCY_KEPT] = {0};

    EXPECT(keep(kept, 50, 1, 2) == &kept[0]);
    EXPECT(keep(kept, 50, 1, 2) == NULL); /* as long: the first one stays */
    EXPECT(keep(kept, 49, 1, 2) == NULL);
    EXPECT(keep(kept, 51, 1, 2) == &kept[0]);
    EXPECT_EQ(kept[0].length, 51);
    EXPECT_EQ(kept[1].length, 0);
}

TEST(latency, places_stand_by_their_lengths)
{
    struct latency_worst kept[LATENCY_KEPT] = {0};

    (void)keep(kept, 50, 1, 2);
    EXPECT(keep(kept, 40, 1, 3) == &kept[1]);
    EXPECT(keep(kept, 60, 2, 2) == &kept[0]);
    EXPECT(keep(kept, 55, 1, 3) == &kept[1]); /* it was the last one */
    EXPECT_EQ(kept[2].length, 50);
    EXPECT_EQ(kept[3].length, 0);
}

TEST(latency, the_shortest_goes_when_there_are_too_many)
{
    struct latency_worst kept[LATENCY_KEPT] = {0};

    for (uintptr_t i = 1; i <= LATENCY_KEPT; i++) {
        EXPECT(latency_is_long(kept, 10 * i));
        (void)keep(kept, 10 * i, i, i);
    }
    EXPECT(!latency_is_long(kept, 10));
    EXPECT(keep(kept, 10, 100, 100) == NULL);
    EXPECT(keep(kept, 15, 100, 100) == &kept[LATENCY_KEPT - 1]);
    EXPECT_EQ(kept[LATENCY_KEPT - 1].begin.addrs[0], 100);
    EXPECT_EQ(kept[LATENCY_KEPT - 2].length, 20);
}

TEST(latency, the_tracers_own_time_is_left_out)
{
    struct latency_meter meter = {0};

    begin_at(&meter, LATENCY_PREEMPTOFF, 1000, 70);
    begin_at(&meter, LATENCY_IRQSOFF, 1100, 70); /* 30 behind the first call */
    EXPECT_EQ(end_at(&meter, LATENCY_IRQSOFF, 1180, 50), 10);
    EXPECT_EQ(end_at(&meter, LATENCY_PREEMPTOFF, 1240, 50), 30 + 10 + 10);
}

TEST(latency, a_call_within_a_call_does_nothing)
{
    struct latency_meter meter = {0};

    EXPECT(latency_meter_enter(&meter, 10));
    EXPECT(!latency_meter_enter(&meter, 12));
    latency_meter_leave(&meter, 20);
    EXPECT_EQ(meter.own, 10);
    EXPECT(latency_meter_enter(&meter, 30));
}

TEST(latency, an_end_without_a_begin_is_nothing)
{
    struct latency_meter meter = {0};

    EXPECT_EQ(end_at(&meter, LATENCY_IRQSOFF, 5000, 10), 0);
}
