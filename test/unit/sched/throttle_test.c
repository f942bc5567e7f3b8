/* Deadline threads that wait for their budget (kernel/sched/runqueue.h): they stand in no queue, and belong to their timer. */
#define TEST_SUITE "sched_class"
#include <linux/sched.h>

#include "hal/host/host.h"
#include "kernel/core/percpu.h"
#include "kernel/core/time.h"
#include "kernel/sched/runqueue.h"
#include "test/unit/test.h"

#define PERIOD_NS NS_PER_S

static const struct sched_params deadline = {
    .policy = SCHED_DEADLINE, .runtime = NS_PER_MS, .deadline = PERIOD_NS, .period = PERIOD_NS};
static unsigned nran;

static void count(void *arg)
{
    (void)arg;
    nran++;
}

/* A second CPU, which the test plays; and a thread there that has no budget, and wants to run. */
static struct thread *begin(void)
{
    host_sched_begin();
    host_set_cpu_count(2);
    EXPECT_EQ(sched_cpu_prepare(1), 0);
    irq_disable();
    sched_cpu_online(1);
    irq_enable();
    sched_cpu_ready(1);
    nran = 0;
    struct thread *thread = thread_create_kernel("test", count, NULL);
    EXPECT(thread != NULL);
    thread_get(thread);
    thread_bind(thread, 1);
    EXPECT_EQ(sched_set_params(thread, &deadline), 0);
    thread_start(thread);
    EXPECT(thread->on_queue && thread->cpu == 1);
    struct runqueue *rq = per_cpu_ptr(runqueue, 1);
    irq_disable();
    runqueue_lock(rq);
    cpumask_set(&thread->cpu_mask, 0);
    thread->class->leave(rq, thread, false);
    thread->dl.left = 0;
    thread->class->put_prev(rq, thread, ktime_now());
    runqueue_unlock(rq);
    irq_enable();
    EXPECT(!thread->on_queue && thread_waits_for_budget(thread));
    return thread;
}

/* CPU 1 goes. */
static void evacuate(void)
{
    EXPECT_EQ(sched_cpu_leave(1), 0);
    irq_disable();
    sched_evacuate(per_cpu_ptr(runqueue, 1));
    irq_enable();
}

static void end(struct thread *thread)
{
    if (cpumask_test(&sched_active, 1)) {
        evacuate();
    }
    preempt_enable();
    host_run_threads();
    host_set_cpu_count(1);
    sched_several = false; /* as other tests have it */
    EXPECT_EQ(nran, 1);
    thread_put(thread);
}

TEST(throttled, another_policy_brings_it_to_a_cpu_that_is_there)
{
    struct thread *thread = begin();

    evacuate();
    EXPECT_EQ(thread->cpu, 1);
    EXPECT_EQ(sched_set_params(thread, &(struct sched_params){.policy = SCHED_NORMAL}), 0);
    EXPECT_EQ(thread->cpu, 0);
    EXPECT(thread->on_queue);
    end(thread);
}

TEST(throttled, an_inherited_deadline_brings_it_to_a_cpu_that_is_there)
{
    struct thread *thread = begin(), *donor = thread_create_kernel("donor", count, NULL);

    EXPECT_EQ(sched_set_params(donor, &deadline), 0);
    evacuate();
    sched_boost(thread, donor);
    EXPECT_EQ(thread->cpu, 0);
    EXPECT(thread->on_queue);
    end(thread);
    thread_discard(donor);
}

TEST(throttled, a_wake_leaves_it_to_its_timer_which_brings_it_where_there_is_time)
{
    struct thread *thread = begin();

    /* It was preempted when it had said that it would sleep. Meanwhile its CPU has better things to do. */
    atomic_store_relaxed(&thread->state, THREAD_SLEEPING);
    per_cpu_ptr(runqueue, 1)->current_prio = PRIO_DEADLINE;
    EXPECT(thread_wake(thread));
    EXPECT_EQ(thread->state, THREAD_RUNNABLE);
    EXPECT_EQ(thread->cpu, 1);
    EXPECT(thread_waits_for_budget(thread) && !thread->in_flight && !thread->on_queue);
    host_clock_advance(PERIOD_NS);
    EXPECT_EQ(thread->cpu, 0);
    EXPECT(!thread_waits_for_budget(thread) && !thread->in_flight && thread->on_queue);
    end(thread);
}

static void look(struct thread *thread, void *arg)
{
    (void)thread, (void)arg;
    nran++;
}

TEST(throttled, it_is_not_taken_for_a_sleeper)
{
    struct thread *thread = begin();

    atomic_store_relaxed(&thread->state, THREAD_SLEEPING);
    EXPECT(!thread_look_waiting(thread, look, NULL));
    end(thread);
}

TEST(throttled, a_budget_that_comes_on_the_way_does_not_end_it)
{
    struct thread *thread = begin();
    struct runqueue *rq = per_cpu_ptr(runqueue, 1);

    irq_disable();
    runqueue_lock(rq);
    thread->dl.waits = false; /* it left its CPU for another one, and has no budget */
    runqueue_send_locked(thread, 0);
    runqueue_unlock(rq);
    irq_enable();
    host_clock_advance(PERIOD_NS);
    EXPECT(thread->in_flight && !thread->on_queue);
    irq_disable();
    runqueue_deliver(thread, JOIN_MOVE);
    irq_enable();
    EXPECT(!thread->in_flight && thread->on_queue);
    end(thread);
}
