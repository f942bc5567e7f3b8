#define TEST_SUITE "sync"
#include "kernel/sync/spinlock.h"

#include "hal/host/host.h"
#include "kernel/sync/seqlock.h"
#include "test/unit/test.h"

#define ROUNDS 20000

struct shared {
    struct spinlock lock;
    struct seqcount seq;
    uint64_t a, b; /* [lock] equal; [seq] for readers */
    uint32_t torn; /* [a] */
};

static void count_up(void *arg, unsigned cpu)
{
    struct shared *shared = arg;

    (void)cpu;
    for (unsigned i = 0; i < ROUNDS; i++) {
        spin_lock(&shared->lock);
        shared->a++;
        shared->b++;
        spin_unlock(&shared->lock);
    }
}

TEST(spinlock, lets_one_cpu_in_at_a_time)
{
    struct shared shared = {.a = 0};

    spin_init(&shared.lock, "test spinlock");
    host_run_on_cpus(3, count_up, &shared);
    EXPECT_EQ(shared.a, 3 * ROUNDS);
    EXPECT_EQ(shared.b, 3 * ROUNDS);
    EXPECT(!spin_is_locked(&shared.lock));
}

TEST(spinlock, trylock_fails_while_held_and_leaves_preemption_as_it_was)
{
    struct spinlock lock;
    uint32_t count = preempt_count();

    spin_init(&lock, "test trylock");
    EXPECT(spin_trylock(&lock));
    EXPECT_EQ(preempt_count(), count + 1);
    EXPECT(spin_is_locked(&lock));
    EXPECT(!spin_trylock(&lock));
    EXPECT_EQ(preempt_count(), count + 1);
    spin_unlock(&lock);
    EXPECT_EQ(preempt_count(), count);
}

struct queue {
    struct spinlock lock;
    uint32_t narrived; /* [a] CPUs that are about to wait */
    unsigned order[3]; /* [lock] who had the lock, in turn */
    unsigned n;        /* [lock] */
};

static void queue_take(struct queue *queue, unsigned cpu)
{
    spin_lock(&queue->lock);
    queue->order[queue->n++] = cpu;
    spin_unlock(&queue->lock);
}

/* CPU 0 holds the lock until 1 and then 2 wait for it, and comes back after them. */
static void queue_up(void *arg, unsigned cpu)
{
    struct queue *queue = arg;
    uint32_t last = SPIN_LOCKED;

    if (cpu != 0) {
        while (atomic_load_acquire(&queue->narrived) != cpu) {
            cpu_relax();
        }
        queue_take(queue, cpu);
        return;
    }
    for (unsigned i = 1; i <= 2; i++) {
        atomic_store_release(&queue->narrived, i);
        while (atomic_load_acquire(&queue->lock.value) == last) {
            cpu_relax();
        }
        last = atomic_load_relaxed(&queue->lock.value);
    }
    spin_unlock(&queue->lock);
    queue_take(queue, 0);
}

TEST(spinlock, who_comes_first_is_served_first)
{
    for (unsigned round = 0; round < 20; round++) {
        struct queue queue = {.n = 0};
        spin_init(&queue.lock, "test queue");
        spin_lock(&queue.lock);
        host_run_on_cpus(3, queue_up, &queue);
        EXPECT_EQ(queue.n, 3);
        for (unsigned i = 0; i < 3; i++) {
            EXPECT_EQ(queue.order[i], (i + 1) % 3);
        }
        EXPECT(!spin_is_locked(&queue.lock));
    }
}

TEST(spinlock, irqsave_restores_what_was)
{
    struct spinlock lock;

    spin_init(&lock, "test irqsave");
    uint64_t outer = irq_save();
    uint64_t flags = spin_lock_irqsave(&lock);
    spin_unlock_irqrestore(&lock, flags);
    EXPECT(!irq_enabled());
    irq_restore(outer);
    flags = spin_lock_irqsave(&lock);
    EXPECT(!irq_enabled());
    spin_unlock_irqrestore(&lock, flags);
    EXPECT(irq_enabled());
}

static void write_or_read(void *arg, unsigned cpu)
{
    struct shared *shared = arg;

    for (uint64_t i = 0; i < ROUNDS; i++) {
        if (cpu == 0) {
            seq_write_begin(&shared->seq);
            atomic_store_relaxed(&shared->a, i);
            atomic_store_relaxed(&shared->b, i);
            seq_write_end(&shared->seq);
            continue;
        }
        uint64_t a, b;
        uint32_t start;
        do {
            start = seq_read_begin(&shared->seq);
            a = atomic_load_relaxed(&shared->a);
            b = atomic_load_relaxed(&shared->b);
        } while (seq_read_retry(&shared->seq, start));
        if (a != b) {
            (void)atomic_fetch_add_relaxed(&shared->torn, 1);
        }
    }
}

TEST(seqlock, readers_never_see_half_a_write)
{
    struct shared shared = {.a = 0};

    host_run_on_cpus(2, write_or_read, &shared);
    EXPECT_EQ(shared.torn, 0);
}
