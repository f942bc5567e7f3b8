/* One-shot timers (kernel/core/timer.h), on a clock that the test moves. */
#define TEST_SUITE "core"
#include "kernel/core/timer.h"
#include "kernel/machine/preempt.h"

#include "hal/host/host.h"
#include "kernel/core/smp_call.h"
#include "kernel/core/time.h"
#include "test/unit/test.h"

struct probe {
    struct timer timer;
    unsigned fired;
    ktime_t at;
    unsigned order;
    ktime_t rearm_ns; /* 0: once */
};

static unsigned fire_order;

static void probe_fired(struct timer *timer)
{
    struct probe *probe = container_of(timer, struct probe, timer);

    probe->fired++;
    probe->at = ktime_now();
    probe->order = ++fire_order;
    if (probe->rearm_ns != 0) {
        timer_arm(timer, timer->deadline + probe->rearm_ns);
    }
}

static void setup(struct probe *probes, unsigned n)
{
    host_sched_init();
    host_clock_set_manual(1000000);
    timers_init();
    fire_order = 0;
    for (unsigned i = 0; i < n; i++) {
        probes[i] = (struct probe){0};
        timer_init(&probes[i].timer, probe_fired);
    }
}

TEST(timer, many_at_once_are_served_by_more_than_one_interrupt)
{
    struct probe p[50];

    setup(p, ARRAY_SIZE(p));
    for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
        timer_arm(&p[i].timer, ktime_now() + 500);
    }
    host_clock_set_manual(ktime_now() + 500);
    irq_disable();
    machine_timer_interrupt();
    irq_enable();
    EXPECT_GT(fire_order, 0);
    EXPECT_LT(fire_order, ARRAY_SIZE(p) / 2);
    while (host_clock_run_event()) {
    }
    for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
        EXPECT_EQ(p[i].fired, 1);
        EXPECT_EQ(p[i].order, i + 1);
        EXPECT_EQ(p[i].at, p[0].at); /* no time has passed */
    }
}

TEST(timer, many_at_once_wait_for_the_end_of_a_section_without_preemption)
{
    struct probe p[50];

    setup(p, ARRAY_SIZE(p));
    for (unsigned i = 0; i < ARRAY_SIZE(p); i++) {
        timer_arm(&p[i].timer, ktime_now() + 500);
    }
    preempt_disable();
    host_clock_advance(500);
    unsigned served = fire_order;
    EXPECT_GT(served, 0);
    EXPECT_LT(served, ARRAY_SIZE(p) / 2);
    host_clock_advance(10 * NS_PER_US);
    EXPECT_EQ(fire_order, served);
    timer_arm(&p[0].timer, ktime_now() + 100); /* nor does what comes later make them go on */
    host_clock_advance(200);
    EXPECT_EQ(fire_order, served);
    preempt_enable();
    host_clock_advance(0);
    EXPECT_EQ(fire_order, ARRAY_SIZE(p) + 1);
}

TEST(timer, fires_once_at_its_deadline)
{
    struct probe p;

    setup(&p, 1);
    timer_arm(&p.timer, ktime_now() + 500);
    host_clock_advance(499);
    EXPECT_EQ(p.fired, 0);
    EXPECT(timer_is_armed(&p.timer));
    host_clock_advance(1);
    EXPECT_EQ(p.fired, 1);
    EXPECT(!timer_is_armed(&p.timer));
    host_clock_advance(100000);
    EXPECT_EQ(p.fired, 1);
}

TEST(timer, many_fire_in_order_of_deadline_and_of_arming)
{
    struct probe p[50];

    setup(p, 50);
    for (unsigned i = 0; i < 50; i++) {
        timer_arm(&p[i].timer, ktime_now() + 10 + (i * 7) % 10);
    }
    host_clock_advance(100);
    for (unsigned i = 0; i < 50; i++) {
        EXPECT_EQ(p[i].fired, 1);
        for (unsigned k = 0; k < 50; k++) {
            ktime_t a = p[i].timer.deadline, b = p[k].timer.deadline;
            if (a < b || (a == b && i < k)) {
                EXPECT_LT(p[i].order, p[k].order);
            }
        }
    }
}

TEST(timer, cancel_says_whether_it_was_armed)
{
    struct probe p;

    setup(&p, 1);
    EXPECT(!timer_cancel(&p.timer));
    timer_arm(&p.timer, ktime_now() + 10);
    EXPECT(timer_cancel(&p.timer));
    EXPECT(!timer_cancel_sync(&p.timer));
    host_clock_advance(100);
    EXPECT_EQ(p.fired, 0);
}

TEST(timer, arming_again_moves_the_deadline_both_ways)
{
    struct probe p[2];

    setup(p, 2);
    timer_arm(&p[1].timer, ktime_now() + 60);
    timer_arm(&p[0].timer, ktime_now() + 50);
    timer_arm(&p[0].timer, ktime_now() + 70);
    host_clock_advance(65);
    EXPECT_EQ(p[0].fired, 0);
    EXPECT_EQ(p[1].fired, 1);
    timer_arm(&p[0].timer, ktime_now() + 1);
    host_clock_advance(1);
    EXPECT_EQ(p[0].fired, 1);
}

TEST(timer, a_passed_deadline_fires_at_once)
{
    struct probe p;

    setup(&p, 1);
    timer_arm(&p.timer, ktime_now() - 1000);
    host_clock_advance(0);
    EXPECT_EQ(p.fired, 1);
}

TEST(timer, a_callback_may_arm_its_own_timer)
{
    struct probe p;

    setup(&p, 1);
    p.rearm_ns = 10;
    timer_arm(&p.timer, ktime_now() + 10);
    host_clock_advance(105);
    EXPECT_EQ(p.fired, 10);
    EXPECT(timer_cancel(&p.timer));
}

TEST(timer, next_deadline_is_the_earliest_armed)
{
    struct probe p[2];

    setup(p, 2);
    irq_disable();
    EXPECT_EQ(timer_next_deadline(), KTIME_MAX);
    timer_arm(&p[0].timer, 5000000);
    timer_arm(&p[1].timer, 4000000);
    EXPECT_EQ(timer_next_deadline(), 4000000);
    EXPECT(timer_cancel(&p[1].timer));
    EXPECT_EQ(timer_next_deadline(), 5000000);
    irq_enable();
    EXPECT(timer_cancel(&p[0].timer));
}

TEST(timer, those_of_a_cpu_that_leaves_fire_on_another_one)
{
    struct probe probes[4];

    setup(probes, 4);
    host_set_cpu_count(2);
    host_cpu_enter(1);
    for (unsigned i = 0; i < 3; i++) {
        timer_arm(&probes[i].timer, ktime_now() + (3 - (ktime_t)i) * 1000);
    }
    (void)timer_cancel(&probes[1].timer);
    cpu_set_online(1, false);
    irq_disable();
    timers_cpu_offline(1);
    irq_enable();
    host_cpu_leave();
    host_cpu_enter(0);
    timer_arm(&probes[3].timer, ktime_now() + 2000);
    EXPECT(timer_is_armed(&probes[0].timer) && timer_is_armed(&probes[2].timer));
    EXPECT_EQ(probes[0].timer.cpu, 0);
    host_clock_advance(4000);
    EXPECT_EQ(probes[2].order, 1);
    EXPECT_EQ(probes[3].order, 2);
    EXPECT_EQ(probes[0].order, 3);
    EXPECT_EQ(probes[1].fired, 0);
    host_set_cpu_count(1);
}

/* How often the clock's interrupt came for these: at how many different times they fired. */
static unsigned wakeups(const struct probe *probes, unsigned n)
{
    unsigned count = 0;

    for (unsigned i = 0; i < n; i++) {
        bool seen = false;
        EXPECT_EQ(probes[i].fired, 1);
        for (unsigned j = 0; j < i; j++) {
            seen |= probes[j].at == probes[i].at;
        }
        count += !seen;
    }
    return count;
}

TEST(timer, slack_lets_many_fire_with_one_interrupt)
{
    struct probe probes[10];
    const ktime_t slack = 50000;

    for (unsigned round = 0; round < 2; round++) {
        setup(probes, 10);
        ktime_t start = ktime_now();
        for (unsigned i = 0; i < 10; i++) {
            ktime_t at = start + 100000 + i * 10000;
            timer_arm_range(&probes[i].timer, at, at + (round == 0 ? 0 : slack));
        }
        for (unsigned step = 0; step < 300; step++) {
            host_clock_advance(1000);
        }
        EXPECT_EQ(wakeups(probes, 10), round == 0 ? 10 : 2);
        for (unsigned i = 0; i < 10; i++) {
            ktime_t late = probes[i].at - (start + 100000 + i * 10000);
            EXPECT(late >= 0 && late <= (round == 0 ? 0 : slack));
        }
    }
}

TEST(timer, one_without_slack_is_never_late_for_the_others)
{
    struct probe probes[2];

    setup(probes, 2);
    ktime_t start = ktime_now();
    timer_arm_range(&probes[0].timer, start + 1000, start + 90000);
    timer_arm(&probes[1].timer, start + 5000);
    for (unsigned step = 0; step < 100; step++) {
        host_clock_advance(1000);
    }
    EXPECT_EQ(probes[1].at, start + 5000);
    EXPECT_EQ(probes[0].at, start + 5000); /* went with it */
}

/* ---- armed on one CPU while its callback runs on another ---- */

static struct meeting {
    struct probe probe;
    bool entered, armed, cancelled, ended; /* [a] */
    bool waited; /* the callback had ended when timer_cancel_sync() came back */
} meeting;

/* Until the other CPU has come so far; true: it has. */
static bool meet(const bool *flag, unsigned turns)
{
    for (unsigned i = 0; i < turns && !atomic_load_acquire(flag); i++) {
        cpu_relax();
    }
    return atomic_load_acquire(flag);
}

/* The first time it does not end before the other CPU has armed the timer, nor, for a good while, before that has cancelled it. */
static void meeting_fired(struct timer *timer)
{
    probe_fired(timer);
    if (meeting.probe.fired == 1) {
        atomic_store_release(&meeting.entered, true);
        (void)meet(&meeting.armed, UINT32_MAX);
        (void)meet(&meeting.cancelled, 1000);
        atomic_store_release(&meeting.ended, true);
    }
}

/* CPU 0's timer has come. */
static void meeting_begins(ktime_t delay)
{
    timer_arm(&meeting.probe.timer, ktime_now() + delay);
    host_clock_advance(delay);
}

static void arm_there(ktime_t deadline)
{
    (void)meet(&meeting.entered, UINT32_MAX);
    timer_arm(&meeting.probe.timer, deadline);
    atomic_store_release(&meeting.armed, true);
}

static void setup_meeting(void)
{
    setup(NULL, 0);
    host_set_cpu_count(2);
    meeting = (struct meeting){.waited = false};
    timer_init(&meeting.probe.timer, meeting_fired);
}

static void arm_and_cancel(void *arg, unsigned cpu)
{
    (void)arg;
    if (cpu == 0) {
        meeting_begins(500);
        return;
    }
    arm_there(KTIME_MAX - 1);
    (void)timer_cancel_sync(&meeting.probe.timer);
    meeting.waited = atomic_load_acquire(&meeting.ended);
    atomic_store_release(&meeting.cancelled, true);
}

TEST(timer, cancel_waits_for_a_callback_during_which_another_cpu_armed_the_timer)
{
    setup_meeting();
    host_run_on_cpus(2, arm_and_cancel, NULL);
    EXPECT(meeting.waited);
    EXPECT(!timer_is_armed(&meeting.probe.timer));
    EXPECT_EQ(meeting.probe.fired, 1);
    host_set_cpu_count(1);
}

static void arm_again(void *arg, unsigned cpu)
{
    const ktime_t *deadline = arg;

    if (cpu == 0) {
        meeting_begins(500);
        host_clock_advance(1000);
        return;
    }
    arm_there(*deadline);
    atomic_store_release(&meeting.cancelled, true); /* not at all */
}

TEST(timer, one_that_another_cpu_armed_during_its_callback_comes_in_time)
{
    setup_meeting();
    ktime_t deadline = ktime_now() + 900;
    host_run_on_cpus(2, arm_again, &deadline);
    EXPECT_EQ(meeting.probe.fired, 2);
    EXPECT_EQ(meeting.probe.at, deadline);
    host_set_cpu_count(1);
}

TEST(timer, nor_is_it_forgotten_where_timers_are_held_back)
{
    struct probe others[3];

    setup(others, ARRAY_SIZE(others));
    setup_meeting();
    ktime_t deadline = ktime_now() + 900;
    preempt_disable();
    for (unsigned i = 0; i < ARRAY_SIZE(others); i++) {
        timer_arm(&others[i].timer, ktime_now() + 500);
    }
    host_run_on_cpus(2, arm_again, &deadline);
    EXPECT_EQ(fire_order, ARRAY_SIZE(others) + 1); /* as many as such a section admits */
    preempt_enable();
    host_clock_advance(0);
    EXPECT_EQ(meeting.probe.fired, 2);
    host_set_cpu_count(1);
}
