/*
 * Locks and read-copy-update under load, on all CPUs of the running kernel: threads that are switched, moved and interrupted at any place. The
 * host does the same with the thread sanitizer beside it (test/unit/torture). What a lock protects is counted with plain additions: two
 * inside at once lose counts. Who reads a freed object has found a grace period that ended too early.
 */
#include "kernel/core/percpu_ref.h"
#include "kernel/core/time.h"
#include "kernel/core/timer.h"
#include "kernel/debug/selftest.h"
#include "kernel/debug/torture.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/wait.h"
#include "kernel/sync/rcu.h"
#include "kernel/sync/rwlock.h"
#include "kernel/sync/seqlock.h"

#define LENGTH_NS (1500 * NS_PER_MS)
#define NSLOTS    4u
#define ALIVE     0x616c697665ull
#define DEAD      0x64656164ull

static ktime_t end_time;
static uint32_t nrunning; /* [a] threads of the test */
static uint64_t nbad;     /* [a] */
static struct wait_queue all_done = WAIT_QUEUE_INIT(all_done);

bool torture_time_is_up(void)
{
    return ktime_now() >= end_time;
}

void torture_bad(void)
{
    (void)atomic_fetch_add_relaxed(&nbad, 1);
}

static struct torture_worker workers[TORTURE_MAX];

static void worker_main(void *arg)
{
    struct torture_worker *worker = arg;

    worker->fn(worker->index);
    if (atomic_fetch_sub(&nrunning, 1) == 1) {
        wait_wake_all(&all_done, 0);
    }
}

bool torture_run(unsigned n, void (*fn)(unsigned index))
{
    bool good = true;

    atomic_store_relaxed(&nbad, 0);
    atomic_store_relaxed(&nrunning, 1);
    end_time = ktime_now() + LENGTH_NS;
    for (unsigned i = 0; i < n; i++) {
        workers[i] = (struct torture_worker){.fn = fn, .index = i};
        struct thread *thread = thread_create_kernel("torture", worker_main, &workers[i]);
        good = good && thread != NULL;
        if (thread != NULL) {
            (void)atomic_fetch_add(&nrunning, 1);
            thread_start(thread);
        }
    }
    (void)atomic_fetch_sub(&nrunning, 1);
    wait_event(&all_done, atomic_load_acquire(&nrunning) == 0);
    return good && atomic_load_relaxed(&nbad) == 0;
}

unsigned torture_nworkers(void)
{
    return MIN(2 * cpu_count_online() + 2, TORTURE_MAX);
}

/* ---- locks ---- */

static struct spinlock spin = SPINLOCK_INIT("torture spin");
static struct spinlock irq_spin = SPINLOCK_INIT("torture irq spin");
static struct rwlock rw;
static struct seqcount seq;
static uint64_t in_spin;             /* [spin] */
static uint64_t in_irq, ninterrupts; /* [irq_spin] */
static uint64_t in_rw[2];            /* [rw] equal for who reads */
static uint64_t in_seq[2];           /* [spin] to write, [seq] to read: equal */

static void interrupt(struct timer *timer)
{
    spin_lock(&irq_spin);
    in_irq++;
    ninterrupts++;
    spin_unlock(&irq_spin);
    if (!torture_time_is_up()) {
        timer_arm(timer, ktime_now() + 50 * NS_PER_US);
    }
}

static void take_spin(struct torture_worker *worker)
{
    spin_lock(&spin);
    in_spin++;
    seq_write_begin(&seq);
    atomic_store_relaxed(&in_seq[0], in_spin);
    atomic_store_relaxed(&in_seq[1], in_spin);
    seq_write_end(&seq);
    spin_unlock(&spin);
    worker->n++;
}

static void take_irq_spin(struct torture_worker *worker)
{
    uint64_t flags = spin_lock_irqsave(&irq_spin);

    in_irq++;
    spin_unlock_irqrestore(&irq_spin, flags);
    worker->n++;
}

static void take_rw(unsigned i)
{
    if (i % 5 == 0) {
        write_lock(&rw);
        in_rw[0]++;
        in_rw[1]++;
        write_unlock(&rw);
        return;
    }
    read_lock(&rw);
    if (READ_ONCE(in_rw[0]) != READ_ONCE(in_rw[1])) {
        torture_bad();
    }
    read_unlock(&rw);
}

static void read_seq(void)
{
    uint64_t first, second;
    uint32_t start;

    do {
        start = seq_read_begin(&seq);
        first = atomic_load_relaxed(&in_seq[0]);
        second = atomic_load_relaxed(&in_seq[1]);
    } while (seq_read_retry(&seq, start));
    if (first != second) {
        torture_bad();
    }
}

static void lock_worker(unsigned index)
{
    struct torture_worker *worker = &workers[index];
    struct timer timer;

    timer_init(&timer, interrupt);
    timer_arm(&timer, ktime_now());
    for (unsigned i = index; !torture_time_is_up(); i++) {
        take_spin(worker);
        take_irq_spin(worker);
        take_rw(i);
        read_seq();
    }
    (void)timer_cancel_sync(&timer);
}

static bool locks_keep_count(void)
{
    unsigned n = torture_nworkers();
    uint64_t taken = 0;

    rwlock_init(&rw, "torture rw");
    in_spin = in_irq = ninterrupts = 0;
    bool good = torture_run(n, lock_worker);
    for (unsigned i = 0; i < n; i++) {
        taken += workers[i].n;
    }
    log_info("torture: %llu spinlocks taken on %u CPUs, %llu interrupts", (unsigned long long)taken,
             cpu_count_online(), (unsigned long long)ninterrupts);
    return good && in_spin + in_irq == taken + ninterrupts && in_rw[0] == in_rw[1] &&
           !spin_is_locked(&spin) && !spin_is_locked(&irq_spin) && rw.value == 0;
}

SELFTEST(torture_locks) = {.group = "torture",
                           .name = "spinlocks, reader-writer locks, sequence counters",
                           .run = locks_keep_count};

/* ---- read-copy-update ---- */

struct object {
    uint64_t state; /* ALIVE; whoever is to free it writes DEAD before */
    struct rcu_head rcu;
};

static struct object *slots[NSLOTS]; /* slot i is written by worker i alone */

static void object_free(struct object *object)
{
    WRITE_ONCE(object->state, DEAD);
    kfree(object);
}

static void object_come(struct rcu_head *head)
{
    object_free(container_of(head, struct object, rcu));
}

static struct object *object_new(void)
{
    struct object *object = kmalloc(sizeof(*object));

    if (object == NULL) {
        torture_bad();
    } else {
        object->state = ALIVE;
    }
    return object;
}

static void read_slot(unsigned i)
{
    rcu_read_lock();
    struct object *object = rcu_dereference(slots[i % NSLOTS]);
    if (object != NULL) {
        uint64_t before = READ_ONCE(object->state);
        if (i % 8 == 3) {
            sched_yield_cpu();
        }
        for (unsigned spins = 0; spins < i % 64; spins++) {
            cpu_relax();
        }
        if (before != ALIVE || READ_ONCE(object->state) != ALIVE) {
            torture_bad();
        }
    }
    rcu_read_unlock();
}

static void update_slot(unsigned slot, unsigned i)
{
    struct object *old = slots[slot], *new = object_new();

    rcu_assign_pointer(slots[slot], new);
    switch (slot) {
    case 0:
        rcu_synchronize();
        break;
    case 1:
        rcu_synchronize_expedited();
        break;
    default:
        rcu_call(&old->rcu, object_come);
        if (i % 256 == 0) {
            rcu_barrier();
        }
        return;
    }
    object_free(old);
}

static void rcu_worker(unsigned index)
{
    for (unsigned i = index; !torture_time_is_up(); i++) {
        if (index < NSLOTS) {
            update_slot(index, i);
        } else {
            read_slot(i);
        }
        workers[index].n++;
    }
}

static bool readers_see_no_freed_object(void)
{
    struct rcu_stats before, after;
    unsigned n = MAX(torture_nworkers(), NSLOTS + 2);

    rcu_stats(&before);
    for (unsigned i = 0; i < NSLOTS; i++) {
        slots[i] = object_new();
        if (slots[i] == NULL) {
            return false;
        }
    }
    bool good = torture_run(n, rcu_worker);
    rcu_barrier();
    rcu_stats(&after);
    log_info("torture: %llu grace periods, %llu of them hurried, %llu messages, %llu callbacks",
             (unsigned long long)(after.done - before.done),
             (unsigned long long)(after.expedited - before.expedited),
             (unsigned long long)(after.pokes - before.pokes),
             (unsigned long long)(after.called - before.called));
    for (unsigned i = 0; i < NSLOTS; i++) {
        object_free(slots[i]);
    }
    return good && workers[0].n > 0 && workers[1].n > 0 && after.stalls == before.stalls;
}

SELFTEST(torture_rcu) = {
    .group = "torture", .name = "read-copy-update", .run = readers_see_no_freed_object};

/* ---- references counted on each CPU ---- */

static struct percpu_ref counted;
static uint32_t handed; /* [a] references that are nobody's, for who wants one */

static void put_counted(void)
{
    if (percpu_ref_put(&counted)) {
        torture_bad(); /* the maker has its own */
    }
}

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

static void ref_worker(unsigned index)
{
    for (unsigned i = index; !torture_time_is_up(); i++) {
        if (index == 0) {
            percpu_ref_gather(&counted);
            percpu_ref_spread_again(&counted);
        } else {
            percpu_ref_get(&counted);
            if (i % 4 == 0) {
                sched_yield_cpu();
            }
            if (i % 3 == 0) {
                (void)atomic_fetch_add(&handed, 1); /* for a thread on another CPU, perhaps */
            } else {
                put_counted();
            }
            if (i % 3 == 1 && take_handed()) {
                put_counted();
            }
        }
        workers[index].n++;
    }
}

static bool references_keep_count(void)
{
    struct percpu_ref_slot *memory = kmalloc(percpu_ref_slots_bytes());
    unsigned n = torture_nworkers();
    uint64_t used = 0;

    if (memory == NULL) {
        return false;
    }
    percpu_ref_init(&counted);
    percpu_ref_spread(&counted, memory);
    bool good = torture_run(n, ref_worker);
    for (unsigned i = 1; i < n; i++) {
        used += workers[i].n;
    }
    log_info("torture: %llu references on %u CPUs, gathered %llu times", (unsigned long long)used,
             cpu_count_online(), (unsigned long long)workers[0].n);
    percpu_ref_gather(&counted);
    good = good && percpu_ref_read(&counted) == 1 + (uint64_t)handed;
    while (take_handed()) {
        good = !percpu_ref_put(&counted) && good;
    }
    good = percpu_ref_put(&counted) && good;
    kfree(percpu_ref_fini(&counted));
    return good && used > 0 && workers[0].n > 0;
}

SELFTEST(torture_percpu_ref) = {
    .group = "torture", .name = "references counted on each CPU", .run = references_keep_count};
