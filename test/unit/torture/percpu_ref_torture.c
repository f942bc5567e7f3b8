/*
 * References counted on each CPU, under load: CPUs take and put them, hand them to each other and are interrupted by grace periods, while a
 * thread spreads and gathers. Nobody is the last while the maker has its own; then exactly one is.
 */
#define TEST_SUITE "torture"
#include "kernel/core/percpu_ref.h"

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/sched.h"
#include "kernel/sync/rcu.h"
#include "test/unit/test.h"

#define NCPUS  4u
#define ROUNDS 60u
#define TURNS  8u /* of spreading and gathering in a round */

static struct percpu_ref ref;
static uint32_t round;       /* [a] odd: it goes on, and each CPU has a reference of its own */
static uint32_t nbusy;       /* [a] CPUs that are in the round */
static uint32_t handed;      /* [a] references that are nobody's, for who wants one */
static uint32_t nlast, nbad; /* [a] */
static bool over;            /* [a] */

static void note_quiet(void)
{
    irq_disable();
    rcu_note_context_switch();
    irq_enable();
}

static void put(bool final)
{
    if (percpu_ref_put(&ref)) {
        (void)atomic_fetch_add_relaxed(final ? &nlast : &nbad, 1);
    }
}

/* Take a reference that another CPU has left. */
static bool take_handed(void)
{
    uint32_t n = atomic_load_relaxed(&handed);

    while (n > 0) {
        if (atomic_cas(&handed, &n, n - 1)) {
            return true;
        }
    }
    return false;
}

static void use(unsigned i)
{
    percpu_ref_get(&ref);
    if (i % 3 == 0) {
        (void)atomic_fetch_add(&handed, 1);
    } else {
        put(false);
    }
    if (i % 3 == 1 && take_handed()) {
        put(false);
    }
    if (i % 5 == 0) {
        note_quiet();
    }
}

static void user_main(unsigned cpu)
{
    uint32_t seen = 0;

    while (!atomic_load_acquire(&over)) {
        uint32_t now = atomic_load_acquire(&round);
        if (now == seen || now % 2 == 0) {
            note_quiet();
            continue;
        }
        seen = now;
        for (unsigned i = cpu; atomic_load_acquire(&round) == now; i++) {
            use(i);
        }
        while (take_handed()) {
            put(true);
        }
        put(true);
        (void)atomic_fetch_sub(&nbusy, 1);
    }
    rcu_idle_enter(); /* nobody waits for this CPU any more */
}

static void run_round(void)
{
    percpu_ref_init(&ref);
    for (unsigned cpu = 1; cpu < NCPUS; cpu++) {
        percpu_ref_get(&ref);
    }
    atomic_store_relaxed(&nlast, 0);
    atomic_store_relaxed(&nbusy, NCPUS - 1);
    percpu_ref_spread(&ref, kmalloc(percpu_ref_slots_bytes()));
    (void)atomic_fetch_add(&round, 1);
    for (unsigned turn = 0; turn < TURNS; turn++) {
        percpu_ref_gather(&ref);
        percpu_ref_spread_again(&ref);
    }
    percpu_ref_gather(&ref);
    (void)atomic_fetch_add(&round, 1);
    put(true);
    while (atomic_load_acquire(&nbusy) != 0) {
        sched_yield_cpu();
    }
    if (atomic_load_relaxed(&nlast) != 1 || atomic_load_relaxed(&ref.count) != 0) {
        (void)atomic_fetch_add_relaxed(&nbad, 1);
    }
    kfree(percpu_ref_fini(&ref));
}

static void maker_main(void *arg)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        run_round();
    }
    atomic_store_release(&over, true);
}

static void cpu_main(void *arg, unsigned cpu)
{
    (void)arg;
    if (cpu != 0) {
        user_main(cpu);
        return;
    }
    while (!atomic_load_acquire(&over)) {
        host_run_threads();
        cpu_relax();
    }
}

TEST(percpu_ref, exactly_one_is_the_last)
{
    host_sched_init();
    host_set_cpu_count(NCPUS);
    for (unsigned cpu = 1; cpu < NCPUS; cpu++) {
        EXPECT_EQ(rcu_cpu_prepare(cpu), 0);
        rcu_cpu_online(cpu);
    }
    preempt_disable();
    struct thread *thread = thread_create_kernel("maker", maker_main, NULL);
    EXPECT(thread != NULL);
    thread_start(thread);
    preempt_enable();
    host_run_on_cpus(NCPUS, cpu_main, NULL);
    EXPECT_EQ(atomic_load_relaxed(&nbad), 0);
    for (unsigned cpu = 1; cpu < NCPUS; cpu++) {
        rcu_cpu_offline(cpu);
        rcu_cpu_dead(cpu);
        cpu_by_id(cpu)->rcu_idle = 0;
    }
    host_set_cpu_count(1);
}
