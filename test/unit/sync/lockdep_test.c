/* The lock checker: each mistake, made on purpose, is reported; none is found where there is none. */
#define TEST_SUITE "sync"
#include "kernel/sync/lockdep.h"

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/core/smp_call.h"
#include "kernel/core/softirq.h"
#include "kernel/sched/mutex.h"
#include "kernel/sync/report.h"
#include "kernel/sync/spinlock.h"
#include "test/unit/test.h"

static char report[4096]; /* all lines since begin() */
static unsigned nreports; /* those with a backtrace: one for each mistake */

static void keep_report(const char *text, bool backtrace)
{
    size_t len = strlen(report);

    (void)str_copy(report + len, text, sizeof(report) - len);
    nreports += backtrace;
}

static struct lockdep_stack thread_stack; /* so that no scheduler is needed */
static struct lockdep_stack *(*saved_hook)(void);

static struct lockdep_stack *own_stack(void)
{
    return &thread_stack;
}

static void begin(void)
{
    saved_hook = lockdep_thread_stack;
    lockdep_thread_stack = own_stack;
    report[0] = '\0';
    nreports = 0;
    sync_report_hook = keep_report;
}

static void end(void)
{
    sync_report_hook = host_sync_report;
    lockdep_thread_stack = saved_hook;
}

TEST(lockdep, reports_an_inverted_order_once)
{
    struct spinlock a, b;

    begin();
    spin_init(&a, "test A");
    spin_init(&b, "test B");
    spin_lock(&a);
    spin_lock(&b);
    spin_unlock(&b);
    spin_unlock(&a);
    EXPECT_EQ(nreports, 0);
    for (unsigned i = 0; i < 2; i++) {
        spin_lock(&b);
        spin_lock(&a);
        spin_unlock(&a);
        spin_unlock(&b);
    }
    end();
    EXPECT_EQ(nreports, 1);
    EXPECT(strstr(report, "order inverted: test A") != NULL);
    EXPECT(strstr(report, "test B was taken under test A") != NULL);
}

TEST(lockdep, finds_a_circle_through_other_locks)
{
    struct spinlock locks[4];

    begin();
    spin_init(&locks[0], "test 0");
    spin_init(&locks[1], "test 1");
    spin_init(&locks[2], "test 2");
    spin_init(&locks[3], "test 3");
    for (unsigned i = 0; i < 3; i++) {
        spin_lock(&locks[i]);
        spin_lock(&locks[i + 1]);
        spin_unlock(&locks[i + 1]);
        spin_unlock(&locks[i]);
    }
    EXPECT_EQ(nreports, 0);
    spin_lock(&locks[3]);
    spin_lock(&locks[0]);
    spin_unlock(&locks[0]);
    spin_unlock(&locks[3]);
    end();
    EXPECT_EQ(nreports, 1);
    EXPECT(strstr(report, "test 2 was taken under test 1") != NULL);
}

TEST(lockdep, trying_is_no_order)
{
    struct spinlock a, b;

    begin();
    spin_init(&a, "test A");
    spin_init(&b, "test B");
    spin_lock(&a);
    spin_lock(&b);
    spin_unlock(&b);
    spin_unlock(&a);
    spin_lock(&b);
    EXPECT(spin_trylock(&a));
    EXPECT(lockdep_held(&a));
    spin_unlock(&a);
    spin_unlock(&b);
    EXPECT(!lockdep_held(&a));
    end();
    EXPECT_EQ(nreports, 0);
}

TEST(lockdep, locks_of_one_class_nest_only_where_the_class_says_so)
{
    static struct lock_class nesting = {.name = "test nesting", .sleeps = true, .nests = true};
    struct mutex m[2];

    begin();
    for (unsigned i = 0; i < 2; i++) {
        mutex_init(&m[i], "test not nesting");
    }
    mutex_lock(&m[0]);
    mutex_lock(&m[1]);
    mutex_unlock(&m[0]); /* not in the order of taking: fine */
    mutex_unlock(&m[1]);
    EXPECT_EQ(nreports, 1);
    lockdep_set_class(&m[0], &nesting);
    lockdep_set_class(&m[1], &nesting);
    mutex_lock(&m[0]);
    mutex_lock(&m[1]);
    mutex_unlock(&m[1]);
    mutex_unlock(&m[0]);
    end();
    EXPECT_EQ(nreports, 1);
}

static void take_in_interrupt(void *lock)
{
    spin_lock(lock);
    spin_unlock(lock);
}

TEST(lockdep, reports_a_lock_of_interrupt_handlers_taken_with_interrupts_on)
{
    struct spinlock lock;

    begin();
    spin_init(&lock, "test irq");
    uint64_t flags = spin_lock_irqsave(&lock);
    spin_unlock_irqrestore(&lock, flags);
    EXPECT(host_run_interrupt(take_in_interrupt, &lock));
    EXPECT_EQ(nreports, 0);
    spin_lock(&lock);
    spin_unlock(&lock);
    end();
    EXPECT_EQ(nreports, 1);
    EXPECT(strstr(report, "test irq is taken by an interrupt handler") != NULL);
}

TEST(lockdep, reports_a_lock_behind_one_of_interrupt_handlers)
{
    struct spinlock outer, inner;

    begin();
    spin_init(&outer, "test outer");
    spin_init(&inner, "test inner");
    EXPECT(host_run_interrupt(take_in_interrupt, &outer));
    spin_lock(&inner); /* with interrupts on: `outer`'s handler may come now */
    spin_unlock(&inner);
    EXPECT_EQ(nreports, 0);
    uint64_t flags = spin_lock_irqsave(&outer);
    spin_lock(&inner);
    spin_unlock(&inner);
    spin_unlock_irqrestore(&outer, flags);
    end();
    EXPECT_EQ(nreports, 1);
}

TEST(lockdep, reports_sleeping_with_a_spinlock_held)
{
    struct spinlock lock;
    struct mutex mutex;

    begin();
    spin_init(&lock, "test spin");
    mutex_init(&mutex, "test mutex");
    spin_lock(&lock);
    mutex_lock(&mutex);
    mutex_unlock(&mutex);
    spin_unlock(&lock);
    end();
    EXPECT_EQ(nreports, 1);
    EXPECT(strstr(report, "sleeping where it is forbidden") != NULL);
    EXPECT(strstr(report, "held: test spin") != NULL);
}

TEST(lockdep, reports_a_release_without_a_lock_and_a_lock_kept)
{
    struct spinlock lock;
    struct mutex mutex;

    begin();
    spin_init(&lock, "test kept");
    mutex_init(&mutex, "test kept mutex");
    preempt_disable();
    lock.value = SPIN_LOCKED; /* as if taken */
    spin_unlock(&lock);
    EXPECT_EQ(nreports, 1);
    mutex_lock(&mutex);
    lockdep_check_none_held("the test");
    mutex_unlock(&mutex);
    lockdep_check_none_held("the test");
    end();
    EXPECT_EQ(nreports, 2);
    EXPECT(strstr(report, "locks are held at the test") != NULL);
}

static void assert_held(struct spinlock *lock)
{
    lock_assert_held(lock);
}

TEST(lockdep, assertions_know_what_is_held)
{
    struct spinlock lock;

    begin();
    spin_init(&lock, "test assert");
    spin_lock(&lock);
    assert_held(&lock);
    spin_unlock(&lock);
    EXPECT_EQ(nreports, 0);
    assert_held(&lock);
    end();
    EXPECT_EQ(nreports, 1);
}

static struct spinlock called_lock;

static void nothing(void *arg)
{
    (void)arg;
}

static void take_called_lock(void *arg)
{
    (void)arg;
    spin_lock(&called_lock);
    spin_unlock(&called_lock);
}

TEST(lockdep, reports_a_call_to_other_cpus_under_a_lock_that_the_called_function_takes)
{
    begin();
    spin_init(&called_lock, "test called");
    smp_call_all(take_called_lock, NULL, true);
    EXPECT_EQ(nreports, 0);
    uint64_t flags = spin_lock_irqsave(&called_lock);
    (void)smp_call_one(0, nothing, NULL, true);
    spin_unlock_irqrestore(&called_lock, flags);
    end();
    EXPECT_EQ(nreports, 1);
    EXPECT(strstr(report, "order inverted: smp call") != NULL);
}

struct pair {
    struct spinlock a, b;
    uint32_t turns; /* [a] */
};

/* CPU 0 takes A before B, the others B before A: never at the same time, so that nothing but the checker can notice. */
static void take_pair(void *arg, unsigned cpu)
{
    struct pair *pair = arg;

    while (atomic_load_acquire(&pair->turns) != cpu) {
        cpu_relax();
    }
    spin_lock(cpu == 0 ? &pair->a : &pair->b);
    spin_lock(cpu == 0 ? &pair->b : &pair->a);
    spin_unlock(cpu == 0 ? &pair->b : &pair->a);
    spin_unlock(cpu == 0 ? &pair->a : &pair->b);
    atomic_store_release(&pair->turns, cpu + 1);
}

TEST(lockdep, knows_what_other_cpus_have_done)
{
    struct pair pair = {.turns = 0};

    begin();
    spin_init(&pair.a, "test pair A");
    spin_init(&pair.b, "test pair B");
    host_run_on_cpus(2, take_pair, &pair);
    end();
    EXPECT_EQ(nreports, 1);
    EXPECT(strstr(report, "order inverted: test pair A") != NULL);
}

/* Each CPU holds a lock of its own while the others hold theirs: these are not held together. */
static void hold_own(void *arg, unsigned cpu)
{
    struct pair *pair = arg;
    struct spinlock *own = cpu == 0 ? &pair->a : &pair->b;

    spin_lock(own);
    (void)atomic_fetch_add(&pair->turns, 1);
    while (atomic_load_acquire(&pair->turns) != 2) {
        cpu_relax();
    }
    EXPECT(lockdep_held(own));
    EXPECT(!lockdep_held(cpu == 0 ? &pair->b : &pair->a));
    spin_unlock(own);
}

TEST(lockdep, each_cpu_holds_its_own)
{
    struct pair pair = {.turns = 0};

    begin();
    spin_init(&pair.a, "test own A");
    spin_init(&pair.b, "test own B");
    host_run_on_cpus(2, hold_own, &pair);
    pair.turns = 0;
    host_run_on_cpus(2, take_pair, &pair); /* one order was never seen before */
    end();
    EXPECT_EQ(nreports, 1);
}

static struct spinlock *taken; /* by the softirq */

static bool take_one(void)
{
    spin_lock(taken);
    spin_unlock(taken);
    return false;
}

static void raise_tasklet(void *arg)
{
    (void)arg;
    softirq_raise(SOFTIRQ_TASKLET);
}

TEST(lockdep, a_lock_of_softirqs_is_taken_by_threads_with_softirqs_off)
{
    struct spinlock good, bad;

    begin();
    spin_init(&good, "test softirq good");
    spin_init(&bad, "test softirq bad");
    softirq_open(SOFTIRQ_TASKLET, take_one);
    taken = &good;
    spin_lock_softirq(&good);
    spin_unlock_softirq(&good);
    (void)host_run_interrupt(raise_tasklet, NULL);
    uint64_t flags = spin_lock_irqsave(&good);
    spin_unlock_irqrestore(&good, flags);
    EXPECT_EQ(nreports, 0);
    taken = &bad;
    (void)host_run_interrupt(raise_tasklet, NULL);
    EXPECT_EQ(nreports, 0);
    spin_lock(&bad);
    spin_unlock(&bad);
    end();
    EXPECT_EQ(nreports, 1);
    EXPECT(strstr(report, "test softirq bad is taken by a softirq") != NULL);
    EXPECT(strstr(report, "with softirqs on") != NULL);
}
