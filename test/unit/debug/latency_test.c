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

static struct latency_worst *end_at(struct latency_meter *meter, enum latency_kind kind,
                                    uint64_t now, uint64_t own)
{
    EXPECT(latency_meter_enter(meter, now));
    struct latency_worst *worst = latency_meter_end(meter, kind);
    latency_meter_leave(meter, now + own);
    return worst;
}

TEST(latency, the_longest_section_is_kept_with_its_begin)
{
    struct latency_meter meter = {0};

    begin_at(&meter, LATENCY_IRQSOFF, 100, 0);
    EXPECT(end_at(&meter, LATENCY_IRQSOFF, 150, 0) == &meter.worst[LATENCY_IRQSOFF]);
    begin_at(&meter, LATENCY_IRQSOFF, 200, 0);
    EXPECT(end_at(&meter, LATENCY_IRQSOFF, 250, 0) == NULL); /* as long: the first one stays */
    EXPECT_EQ(meter.worst[LATENCY_IRQSOFF].begin.n, 100);
    begin_at(&meter, LATENCY_IRQSOFF, 300, 0);
    EXPECT(end_at(&meter, LATENCY_IRQSOFF, 351, 0) != NULL);
    EXPECT_EQ(meter.worst[LATENCY_IRQSOFF].length, 51);
    EXPECT_EQ(meter.worst[LATENCY_IRQSOFF].begin.n, 300);
    EXPECT_EQ(meter.worst[LATENCY_PREEMPTOFF].length, 0);
}

TEST(latency, the_tracers_own_time_is_left_out)
{
    struct latency_meter meter = {0};

    begin_at(&meter, LATENCY_PREEMPTOFF, 1000, 70);
    begin_at(&meter, LATENCY_IRQSOFF, 1100, 70); /* 30 behind the first call */
    (void)end_at(&meter, LATENCY_IRQSOFF, 1180, 50);
    (void)end_at(&meter, LATENCY_PREEMPTOFF, 1240, 50);
    EXPECT_EQ(meter.worst[LATENCY_IRQSOFF].length, 10);
    EXPECT_EQ(meter.worst[LATENCY_PREEMPTOFF].length, 30 + 10 + 10);
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

    EXPECT(end_at(&meter, LATENCY_IRQSOFF, 5000, 10) == NULL);
    EXPECT_EQ(meter.worst[LATENCY_IRQSOFF].length, 0);
}
