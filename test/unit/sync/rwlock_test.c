#define TEST_SUITE "sync"
#include "kernel/sync/rwlock.h"

#include "hal/host/host.h"
#include "test/unit/test.h"

struct scene {
    struct rwlock lock;
    uint32_t step;    /* [a] how far the test is */
    uint32_t inside;  /* [a] readers at the same time */
    unsigned written; /* [lock] */
};

static void step_reach(struct scene *scene, uint32_t step)
{
    while (atomic_load_acquire(&scene->step) < step) {
        cpu_relax();
    }
}

static void read_together(void *arg, unsigned cpu)
{
    struct scene *scene = arg;

    (void)cpu;
    read_lock(&scene->lock);
    (void)atomic_fetch_add(&scene->inside, 1);
    while (atomic_load_acquire(&scene->inside) < 3) {
        cpu_relax();
    }
    read_unlock(&scene->lock);
}

TEST(rwlock, readers_share)
{
    struct scene scene = {.step = 0};

    rwlock_init(&scene.lock, "test rwlock");
    host_run_on_cpus(3, read_together, &scene);
    EXPECT_EQ(scene.lock.value, 0);
}

/* CPU 0 reads, 1 wants to write, 2 wants to read after that: the writer is not passed by. */
static void read_write_read(void *arg, unsigned cpu)
{
    struct scene *scene = arg;

    if (cpu == 0) {
        read_lock(&scene->lock);
        atomic_store_release(&scene->step, 1);
        while ((atomic_load_acquire(&scene->lock.value) & RWLOCK_WAITING) == 0) {
            cpu_relax();
        }
        atomic_store_release(&scene->step, 2);
        while (!spin_is_locked(&scene->lock.queue) ||
               atomic_load_acquire(&scene->lock.queue.value) == SPIN_LOCKED) {
            cpu_relax(); /* until the second reader stands in the queue behind the writer */
        }
        EXPECT_EQ(scene->written, 0);
        read_unlock(&scene->lock);
    } else if (cpu == 1) {
        step_reach(scene, 1);
        write_lock(&scene->lock);
        scene->written = 1;
        write_unlock(&scene->lock);
    } else {
        step_reach(scene, 2);
        read_lock(&scene->lock);
        (void)atomic_fetch_add(&scene->inside, scene->written);
        read_unlock(&scene->lock);
    }
}

TEST(rwlock, a_writer_that_waits_is_not_passed_by_new_readers)
{
    for (unsigned round = 0; round < 20; round++) {
        struct scene scene = {.step = 0};
        rwlock_init(&scene.lock, "test rwlock order");
        host_run_on_cpus(3, read_write_read, &scene);
        EXPECT_EQ(scene.inside, 1);
        EXPECT_EQ(scene.lock.value, 0);
    }
}

TEST(rwlock, leaves_preemption_and_interrupts_as_they_were)
{
    struct rwlock lock;
    uint32_t count = preempt_count();

    rwlock_init(&lock, "test rwlock irq");
    uint64_t flags = read_lock_irqsave(&lock);
    EXPECT(!irq_enabled());
    EXPECT_EQ(preempt_count(), count + 1);
    read_unlock_irqrestore(&lock, flags);
    flags = write_lock_irqsave(&lock);
    EXPECT(!irq_enabled());
    write_unlock_irqrestore(&lock, flags);
    EXPECT(irq_enabled());
    EXPECT_EQ(preempt_count(), count);
    EXPECT_EQ(lock.value, 0);
}
