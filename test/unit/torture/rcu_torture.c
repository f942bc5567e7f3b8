/*
 * Read-copy-update under load: CPUs that do nothing but read, are switched out inside of sections, interrupted and idle, while threads
 * replace what they read and free the old. Who reads a freed object has found a grace period that ended too early.
 */
#define TEST_SUITE "torture"
#include "kernel/sync/rcu.h"

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/sched.h"
#include "kernel/sync/rcu_tree.h"
#include "test/unit/test.h"

#define NCPUS   4u
#define NSLOTS  4u
#define UPDATES 400u /* of each updater */
#define ALIVE   0x616c697665ull
#define DEAD    0x64656164ull

struct object {
    uint64_t state; /* ALIVE; whoever is to free it writes DEAD before */
    struct rcu_head rcu;
};

static struct object *slots[NSLOTS]; /* slot i is written by updater i alone */
static uint32_t nupdaters;           /* [a] still at it */
static uint64_t nbad, nread;         /* [a] */

static struct object *object_new(void)
{
    struct object *object = kmalloc(sizeof(*object));

    EXPECT(object != NULL);
    object->state = ALIVE;
    return object;
}

static void object_free(struct object *object)
{
    object->state = DEAD;
    kfree(object);
}

static void object_come(struct rcu_head *head)
{
    object_free(container_of(head, struct object, rcu));
}

static void read_once(unsigned slot)
{
    rcu_read_lock();
    struct object *object = rcu_dereference(slots[slot]);
    bool bad = object->state != ALIVE;
    if (slot == 1) {
        cpu_relax();
    }
    if (slot == 2) { /* switched out in the middle */
        irq_disable();
        rcu_note_context_switch();
        irq_enable();
    }
    bad |= object->state != ALIVE;
    rcu_read_unlock();
    if (bad) {
        (void)atomic_fetch_add_relaxed(&nbad, 1);
    }
}

static void read_interrupted(void *arg)
{
    (void)arg;
    read_once(0);
    rcu_tick();
}

static void reader_main(unsigned cpu)
{
    for (uint64_t i = cpu; atomic_load_acquire(&nupdaters) != 0; i++) {
        read_once(i % NSLOTS);
        switch (i % 7) {
        case 0:
            (void)host_run_interrupt(read_interrupted, NULL);
            break;
        case 1:
            irq_disable();
            rcu_note_context_switch();
            irq_enable();
            break;
        case 2:
            rcu_idle_enter();
            cpu_relax();
            rcu_idle_exit();
            break;
        }
        (void)atomic_fetch_add_relaxed(&nread, 1);
    }
    rcu_idle_enter(); /* nobody waits for this CPU any more */
}

static void updater_main(void *arg)
{
    unsigned slot = (unsigned)(uintptr_t)arg;

    for (unsigned i = 0; i < UPDATES; i++) {
        struct object *old = slots[slot];
        rcu_assign_pointer(slots[slot], object_new());
        switch (slot) {
        case 0:
            rcu_synchronize();
            object_free(old);
            break;
        case 1:
            rcu_synchronize_expedited();
            object_free(old);
            break;
        default:
            rcu_call(&old->rcu, object_come);
            if (i % 16 == 0) {
                rcu_barrier();
            }
        }
    }
    (void)atomic_fetch_sub(&nupdaters, 1);
}

static void cpu_main(void *arg, unsigned cpu)
{
    (void)arg;
    if (cpu != 0) {
        reader_main(cpu);
        return;
    }
    while (atomic_load_acquire(&nupdaters) != 0) {
        host_run_threads();
        cpu_relax();
    }
}

TEST(rcu, no_reader_ever_sees_a_freed_object)
{
    struct rcu_stats stats;

    host_sched_init();
    host_set_cpu_count(NCPUS);
    for (unsigned cpu = 1; cpu < NCPUS; cpu++) {
        EXPECT_EQ(rcu_cpu_prepare(cpu), 0);
        rcu_cpu_online(cpu);
    }
    preempt_disable();
    nupdaters = NSLOTS;
    for (unsigned i = 0; i < NSLOTS; i++) {
        slots[i] = object_new();
        struct thread *thread = thread_create_kernel("updater", updater_main, (void *)(uintptr_t)i);
        EXPECT(thread != NULL);
        thread_start(thread);
    }
    preempt_enable();
    host_run_on_cpus(NCPUS, cpu_main, NULL);
    rcu_stats(&stats);
    test_note("%llu reads, %llu grace periods, %llu of them hurried",
              (unsigned long long)atomic_load_relaxed(&nread), (unsigned long long)stats.done,
              (unsigned long long)stats.expedited);
    EXPECT_EQ(atomic_load_relaxed(&nbad), 0);
    for (unsigned cpu = 1; cpu < NCPUS; cpu++) {
        rcu_cpu_offline(cpu);
        rcu_cpu_dead(cpu);
        cpu_by_id(cpu)->rcu_idle = 0;
    }
    host_set_cpu_count(1);
    for (unsigned i = 0; i < NSLOTS; i++) {
        object_free(slots[i]);
    }
}
