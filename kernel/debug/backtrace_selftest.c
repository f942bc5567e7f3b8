/* The stack of a thread that sleeps, seen from another one: reports of threads that hang rest on it. */
#include "kernel/core/time.h"
#include "kernel/debug/selftest.h"
#include "kernel/machine/cpu.h"
#include "kernel/sched/wait.h"

#define FUNCTION_BYTES 512u /* more than sleeper_main() has */

static struct wait_queue go_on = WAIT_QUEUE_INIT(go_on);
static bool may_go, is_gone; /* [a] */

static __noinline void sleeper_main(void *arg)
{
    (void)arg;
    wait_event(&go_on, atomic_load_acquire(&may_go));
    atomic_store_release(&is_gone, true);
    wait_wake_all(&go_on, 0);
}

static bool sleeper_is_seen(void)
{
    struct thread *thread = thread_create_kernel("sleeper", sleeper_main, NULL);
    uintptr_t addrs[16];
    bool seen = false;

    if (thread == NULL) {
        return false;
    }
    thread_get(thread);
    thread_start(thread);
    for (unsigned i = 0; i < 100 && !seen; i++) {
        thread_sleep_ns(10 * NS_PER_MS);
        size_t n = cpu_backtrace_thread(thread, addrs, ARRAY_SIZE(addrs));
        for (size_t at = 0; at < n; at++) {
            seen |= addrs[at] - (uintptr_t)sleeper_main < FUNCTION_BYTES;
        }
    }
    atomic_store_release(&may_go, true);
    wait_wake_all(&go_on, 0);
    wait_event(&go_on, atomic_load_acquire(&is_gone));
    thread_put(thread);
    return seen;
}

SELFTEST(backtrace_sleeper) = {
    .group = "backtrace", .name = "the stack of a thread that sleeps", .run = sleeper_is_seen};
