/* Wait queues, sleeping locks and deferred work (kernel/sched/{wait,mutex,work}.h). */
#define TEST_SUITE "sched"
#include "kernel/sched/wait.h"

#include "hal/host/host.h"
#include "kernel/core/time.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/work.h"
#include "test/unit/test.h"

static void run(void)
{
    preempt_enable();
    host_run_threads();
}

static void start(void (*fn)(void *), void *arg)
{
    struct thread *thread = thread_create_kernel("t", fn, arg);

    EXPECT(thread != NULL);
    thread_start(thread);
}

struct gate {
    struct wait_queue queue;
    bool open;
    unsigned passed, looks;
    int result;
    ktime_t deadline;
};

static void pass_gate(void *arg)
{
    struct gate *gate = arg;

    wait_event(&gate->queue, gate->open);
    gate->passed++;
}

TEST(wait, all_waiters_pass_when_the_condition_comes_true)
{
    struct gate gate = {0};

    host_sched_begin();
    wait_queue_init(&gate.queue);
    for (unsigned i = 0; i < 3; i++) {
        start(pass_gate, &gate);
    }
    run();
    EXPECT_EQ(gate.passed, 0);
    wait_wake_all(&gate.queue, 0); /* for nothing */
    host_run_threads();
    EXPECT_EQ(gate.passed, 0);
    gate.open = true;
    wait_wake_all(&gate.queue, 0);
    host_run_threads();
    EXPECT_EQ(gate.passed, 3);
    EXPECT(!wait_queue_active(&gate.queue));
}

static void take_token(void *arg)
{
    struct gate *gate = arg;

    gate->result = wait_event_interruptible_exclusive(&gate->queue, gate->open);
    gate->passed++;
}

TEST(wait, one_wake_lets_one_exclusive_waiter_go)
{
    struct gate gate = {0};

    host_sched_begin();
    wait_queue_init(&gate.queue);
    for (unsigned i = 0; i < 3; i++) {
        start(take_token, &gate);
    }
    run();
    gate.open = true;
    wait_wake_one(&gate.queue);
    host_run_threads();
    EXPECT_EQ(gate.passed, 1);
    wait_wake_n(&gate.queue, 2, 0);
    host_run_threads();
    EXPECT_EQ(gate.passed, 3);
}

static void pass_gate_until(void *arg)
{
    struct gate *gate = arg;

    gate->result = wait_event_interruptible_until(&gate->queue, gate->open, gate->deadline);
    gate->passed++;
}

TEST(wait, a_deadline_ends_the_wait)
{
    struct gate gate = {0};

    host_sched_begin();
    wait_queue_init(&gate.queue);
    gate.deadline = ktime_now() + NS_PER_MS;
    start(pass_gate_until, &gate);
    run(); /* lets time pass */
    EXPECT_EQ(gate.passed, 1);
    EXPECT_EQ(gate.result, -ETIMEDOUT);
    EXPECT_GE(ktime_now(), gate.deadline);
}

/* It opens right after the waiter has looked for the last time before it sleeps. */
static bool look_early(struct gate *gate)
{
    bool open = gate->open;

    gate->open = ++gate->looks >= 2;
    return open;
}

static void take_token_or_signal(void *arg)
{
    struct gate *gate = arg;

    (void)atomic_fetch_or(&current_thread()->work, THREAD_WORK_SIGNAL);
    gate->result = wait_event_interruptible_exclusive(&gate->queue, look_early(gate));
    gate->passed++;
}

TEST(wait, an_exclusive_waiter_looks_when_it_has_left_for_a_signal)
{
    struct gate gate = {0};

    host_sched_begin();
    wait_queue_init(&gate.queue);
    start(take_token_or_signal, &gate);
    run();
    EXPECT_EQ(gate.passed, 1);
    EXPECT_EQ(gate.result, 0);
    EXPECT(!wait_queue_active(&gate.queue));
}

static void wait_again(void *arg)
{
    struct gate *gate = arg;

    while (!gate->open) {
        struct waiter waiter;
        waiter_init(&waiter);
        wait_add_exclusive(&gate->queue, &waiter);
        thread_prepare_sleep(THREAD_UNINTERRUPTIBLE);
        if (!gate->open) {
            schedule();
        }
        thread_finish_sleep();
        wait_remove(&gate->queue, &waiter);
        gate->passed++;
    }
}

TEST(wait, who_queues_up_again_during_a_wake_of_many_is_not_met)
{
    struct gate gate = {0};

    host_sched_begin();
    wait_queue_init(&gate.queue);
    for (unsigned i = 0; i < 100; i++) {
        start(wait_again, &gate);
    }
    run();
    wait_wake_all(&gate.queue,
                  0); /* this thread is the idle one: whoever is woken runs in the pauses */
    host_run_threads();
    EXPECT_EQ(gate.passed, 100);
    gate.open = true;
    wait_wake_all(&gate.queue, 0);
    host_run_threads();
    EXPECT_EQ(gate.passed, 200);
    EXPECT(!wait_queue_active(&gate.queue));
}

static bool count_wakes(struct waiter *waiter, uint32_t key)
{
    (void)waiter;
    return key == 7;
}

TEST(wait, a_callback_decides_by_the_key_whether_it_counts)
{
    struct wait_queue queue;
    struct waiter first, second;

    host_sched_init();
    wait_queue_init(&queue);
    waiter_init_fn(&first, count_wakes);
    waiter_init_fn(&second, count_wakes);
    wait_add_exclusive(&queue, &first);
    wait_add(&queue, &second);
    EXPECT(wait_queue_active(&queue));
    wait_wake_n(&queue, 1, 7);
    wait_remove(&queue, &first);
    wait_remove(&queue, &second);
    EXPECT(!wait_queue_active(&queue));
}

static unsigned calls[200];
static struct waiter many[200];

static bool note_call(struct waiter *waiter, uint32_t key)
{
    (void)key;
    calls[waiter - many]++;
    return true;
}

TEST(wait, a_wake_of_many_meets_each_once)
{
    struct wait_queue queue;

    host_sched_init();
    wait_queue_init(&queue);
    for (unsigned i = 0; i < 200; i++) {
        waiter_init_fn(&many[i], note_call);
        if (i < 100) {
            wait_add_exclusive(&queue, &many[i]);
        } else {
            wait_add(&queue, &many[i]);
        }
    }
    wait_wake_n(&queue, 40, 1); /* those that are not exclusive, and the first 40 of the others */
    for (unsigned i = 0; i < 200; i++) {
        EXPECT_EQ(calls[i], i < 40 || i >= 100);
    }
    wait_wake_all(&queue, 1);
    for (unsigned i = 0; i < 200; i++) {
        EXPECT_EQ(calls[i], 1 + (i < 40 || i >= 100));
        wait_remove(&queue, &many[i]);
    }
    EXPECT(!wait_queue_active(&queue));
}

/* ---- mutex ---- */

struct shared {
    struct mutex mutex;
    struct rwsem sem;
    unsigned inside, most_inside, entered;
    char log[64];
    unsigned at;
};

static void note(struct shared *shared, char c)
{
    shared->log[shared->at++] = c;
}

static void enter_often(void *arg)
{
    struct shared *shared = arg;

    for (unsigned i = 0; i < 20; i++) {
        mutex_lock(&shared->mutex);
        EXPECT(mutex_is_held(&shared->mutex));
        shared->inside++;
        shared->most_inside = MAX(shared->most_inside, shared->inside);
        thread_sleep_ns(NS_PER_MS);
        shared->inside--;
        shared->entered++;
        mutex_unlock(&shared->mutex);
    }
}

TEST(mutex, one_at_a_time_even_when_the_holder_sleeps)
{
    struct shared shared = {0};

    host_sched_begin();
    mutex_init(&shared.mutex, "test mutex");
    for (unsigned i = 0; i < 4; i++) {
        start(enter_often, &shared);
    }
    run();
    EXPECT_EQ(shared.most_inside, 1);
    EXPECT_EQ(shared.entered, 80);
    EXPECT(mutex_trylock(&shared.mutex));
    EXPECT(!mutex_trylock(&shared.mutex));
    mutex_unlock(&shared.mutex);
}

/* ---- rwsem ---- */

static void read_long(void *arg)
{
    struct shared *shared = arg;

    rwsem_lock_read(&shared->sem);
    note(shared, 'r');
    shared->inside++;
    shared->most_inside = MAX(shared->most_inside, shared->inside);
    thread_sleep_ns(10 * NS_PER_MS);
    shared->inside--;
    rwsem_unlock_read(&shared->sem);
}

static void write_long(void *arg)
{
    struct shared *shared = arg;

    rwsem_lock_write(&shared->sem);
    EXPECT_EQ(shared->inside, 0);
    note(shared, 'w');
    thread_sleep_ns(10 * NS_PER_MS);
    EXPECT_EQ(shared->inside, 0);
    rwsem_unlock_write(&shared->sem);
}

static void late_reader(void *arg)
{
    thread_sleep_ns(2 * NS_PER_MS);
    read_long(arg);
}

static void late_writer(void *arg)
{
    thread_sleep_ns(NS_PER_MS);
    write_long(arg);
}

TEST(rwsem, readers_share_and_a_waiting_writer_comes_before_new_readers)
{
    struct shared shared = {0};

    host_sched_begin();
    rwsem_init(&shared.sem, "test rwsem");
    start(read_long, &shared);
    start(read_long, &shared);
    start(late_writer, &shared);
    start(late_reader, &shared);
    run();
    EXPECT_EQ(shared.most_inside, 2);
    EXPECT_STR_EQ(shared.log, "rrwr");
}

static void downgrader(void *arg)
{
    struct shared *shared = arg;

    rwsem_lock_write(&shared->sem);
    note(shared, 'w');
    thread_sleep_ns(5 * NS_PER_MS);
    rwsem_downgrade(&shared->sem);
    note(shared, 'd');
    thread_sleep_ns(5 * NS_PER_MS);
    note(shared, 'u');
    rwsem_unlock_read(&shared->sem);
}

TEST(rwsem, downgrade_lets_readers_in_at_once)
{
    struct shared shared = {0};

    host_sched_begin();
    rwsem_init(&shared.sem, "test rwsem");
    start(downgrader, &shared);
    start(late_reader, &shared);
    run();
    EXPECT_STR_EQ(shared.log, "wdru");
}

TEST(rwsem, try_forms_never_wait)
{
    struct shared shared = {0};

    host_sched_init();
    rwsem_init(&shared.sem, "test rwsem");
    EXPECT(rwsem_trylock_read(&shared.sem));
    EXPECT(rwsem_trylock_read(&shared.sem));
    EXPECT(!rwsem_trylock_write(&shared.sem));
    rwsem_unlock_read(&shared.sem);
    rwsem_unlock_read(&shared.sem);
    EXPECT(rwsem_trylock_write(&shared.sem));
    EXPECT(!rwsem_trylock_read(&shared.sem));
    rwsem_unlock_write(&shared.sem);
}

/* ---- work ---- */

static unsigned work_runs;

static void work_done(struct work *work)
{
    (void)work;
    work_runs++;
}

static void flush_work(void *arg)
{
    unsigned *seen = arg;

    work_flush();
    *seen = work_runs;
}

TEST(work, queued_work_runs_once_and_flush_waits_for_it)
{
    static bool started;
    struct work work;
    unsigned seen = 0;

    host_sched_begin();
    if (!started) {
        started = true;
        work_threads_start();
    }
    work_runs = 0;
    work_init(&work, work_done);
    EXPECT(work_queue(&work));
    EXPECT(!work_queue(&work));
    start(flush_work, &seen);
    run();
    EXPECT_EQ(work_runs, 1);
    EXPECT_EQ(seen, 1);
    EXPECT(work_queue(&work));
    host_run_threads();
    EXPECT_EQ(work_runs, 2);
}
