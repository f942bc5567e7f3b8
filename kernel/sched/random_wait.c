/*
 * Those who wait make what they wait for: each wakes often, by the timer, and then takes the processor's jitter in.
 */
#include "kernel/sched/random_wait.h"

#include "kernel/base/errno.h"
#include "kernel/core/random.h"
#include "kernel/core/time.h"
#include "kernel/sched/sched.h"

int random_wait(bool nonblock)
{
    while (unlikely(!random_ready())) {
        if (nonblock) {
            return -EAGAIN;
        }
        random_add_jitter();
        if (thread_sleep_until_interruptible(ktime_now() + NS_PER_MS) < 0) {
            return -ERESTARTSYS;
        }
    }
    return 0;
}
