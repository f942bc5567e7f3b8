/*
 * A thread of its own makes what others wait for: it takes the processor's jitter in from when the first of them comes until the generator is ready,
 * by whatever came in meanwhile, and ends. Where the generator is ready when the system starts there is none.
 */
#include "kernel/sched/random_wait.h"

#include "kernel/core/panic.h"
#include "kernel/core/random.h"
#include "kernel/core/time.h"
#include "kernel/sched/poll.h"

static struct wait_queue ready_wait = WAIT_QUEUE_INIT(ready_wait);
static struct wait_queue seeder_wait = WAIT_QUEUE_INIT(seeder_wait);
static bool wanted; /* atomic; set once */

static void seeder_main(void *arg)
{
    (void)arg;
    (void)wait_event_interruptible(&seeder_wait, atomic_load_relaxed(&wanted));
    while (!random_ready()) {
        random_add_jitter();
        (void)thread_sleep_until_interruptible(ktime_now() + NS_PER_MS);
    }
    wait_wake_all(&ready_wait, POLLIN | POLLRDNORM);
}

void random_seeder_start(void)
{
    if (random_ready()) {
        return;
    }
    struct thread *thread = thread_create_kernel("random_seed", seeder_main, NULL);
    if (thread == NULL) {
        panic("random: no memory for the thread that makes a seed");
    }
    thread_start(thread);
}

static void want_seed(void)
{
    atomic_store_relaxed(&wanted, true);
    wait_wake_one(&seeder_wait);
}

int random_wait(bool nonblock)
{
    if (likely(random_ready())) {
        return 0;
    }
    if (nonblock) {
        return -EAGAIN;
    }
    want_seed();
    return wait_event_interruptible(&ready_wait, random_ready());
}

bool random_poll_ready(struct poll_table *table)
{
    if (likely(random_ready())) {
        return true;
    }
    poll_wait(table, &ready_wait);
    want_seed();
    return random_ready();
}
