/*
 * Numbers of processes, looked up on three CPUs while the first one makes and drops them: what is found is what was looked for, and its memory
 * is neither lost nor freed twice.
 */
#define TEST_SUITE "torture"
#include "hal/host/host.h"
#include "kernel/machine/smp.h"
#include "kernel/sched/pid.h"
#include "kernel/sched/sched.h"
#include "kernel/sync/rcu.h"
#include "test/unit/test.h"

#define NCPUS  4u
#define NPIDS  600 /* more than two leaves of the table */
#define ROUNDS 40u

static uint32_t running;      /* [a] the numbers still come and go */
static uint64_t nfound, nbad; /* [a] */
static int first;             /* written before the others start */

static void find_main(unsigned cpu)
{
    for (int i = (int)cpu; atomic_load_acquire(&running) != 0; i += 7) {
        int nr = pid_last_allocated() - i % NPIDS;
        struct pid *pid = pid_find(nr);
        if (pid != NULL) {
            if (pid_nr(pid) != nr) {
                (void)atomic_fetch_add_relaxed(&nbad, 1);
            }
            pid_put(pid);
            (void)atomic_fetch_add_relaxed(&nfound, 1);
        }
        irq_disable();
        rcu_note_context_switch();
        irq_enable();
    }
    rcu_idle_enter();
}

static void make_main(void *arg)
{
    static struct pid *pids[NPIDS];
    int err;

    (void)arg;
    for (unsigned round = 0; round < ROUNDS; round++) {
        for (unsigned i = 0; i < NPIDS; i++) {
            pids[i] = pid_alloc(0, &err);
            EXPECT(pids[i] != NULL);
            if (i % 100 == 0) {
                cpu_relax(); /* the others look */
            }
        }
        for (unsigned i = 0; i < NPIDS; i++) {
            pid_put(pids[(i * 7) % NPIDS]);
        }
        if (round % 8 == 7) {
            rcu_barrier();
        }
        cpu_relax();
    }
    atomic_store_release(&running, 0);
}

static void cpu_main(void *arg, unsigned cpu)
{
    (void)arg;
    if (cpu != 0) {
        find_main(cpu);
        return;
    }
    while (atomic_load_acquire(&running) != 0) {
        host_run_threads();
        cpu_relax();
    }
}

TEST(pid, what_is_found_without_a_lock_is_what_was_looked_for)
{
    int err;

    host_sched_init();
    host_set_cpu_count(NCPUS);
    for (unsigned cpu = 1; cpu < NCPUS; cpu++) {
        EXPECT_EQ(rcu_cpu_prepare(cpu), 0);
        rcu_cpu_online(cpu);
    }
    struct pid *pid = pid_alloc(0, &err);
    EXPECT(pid != NULL);
    first = pid_nr(pid);
    running = 1;
    preempt_disable();
    struct thread *thread = thread_create_kernel("maker", make_main, NULL);
    EXPECT(thread != NULL);
    thread_start(thread);
    preempt_enable();
    host_run_on_cpus(NCPUS, cpu_main, NULL);
    test_note("%llu found", (unsigned long long)atomic_load_relaxed(&nfound));
    EXPECT_EQ(atomic_load_relaxed(&nbad), 0);
    EXPECT(pid_find(first) == pid);
    pid_put(pid);
    pid_put(pid);
    EXPECT(pid_find(first) == NULL);
    for (unsigned cpu = 1; cpu < NCPUS; cpu++) {
        rcu_cpu_offline(cpu);
        rcu_cpu_dead(cpu);
        cpu_by_id(cpu)->rcu_idle = 0;
    }
    host_set_cpu_count(1);
}
