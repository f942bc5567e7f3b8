/*
 * Which allocations fail on purpose. The order of the questions is that of Linux's documentation: the thread, its count (fail-nth), how many
 * more may fail, space, interval, probability.
 */
#include "kernel/mm/fail.h"

#ifdef CONFIG_FAIL

#include "kernel/base/atomic.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"

struct fail_point fail_page_alloc = {.name = "fail_page_alloc",
                                     .interval = 1,
                                     .times = 1,
                                     .verbose = 1,
                                     .ignore_waiting = true,
                                     .min_order = 1,
                                     .seed = 1};
struct fail_point failslab = {
    .name = "failslab", .interval = 1, .times = 1, .verbose = 1, .ignore_waiting = true, .seed = 1};
struct fail_task *(*fail_task_hook)(void);

static bool nth_wanted; /* [a] somebody has used fail-nth */

void fail_arm(void)
{
    bool nth = atomic_load_relaxed(&nth_wanted);

    atomic_store_relaxed(&failslab.armed, nth || atomic_load_relaxed(&failslab.probability) > 0);
    atomic_store_relaxed(&fail_page_alloc.armed,
                         nth || atomic_load_relaxed(&fail_page_alloc.probability) > 0);
}

/* xorshift64* (Vigna 2016); two CPUs at once may draw the same number, which does no harm. */
static uint32_t draw(struct fail_point *point)
{
    uint64_t x = atomic_load_relaxed(&point->seed);

    x ^= x >> 12;
    x ^= x << 25;
    x ^= x >> 27;
    atomic_store_relaxed(&point->seed, x);
    return (uint32_t)((x * 0x2545f4914f6cdd1dull) >> 32);
}

static void tell(const struct fail_point *point, size_t size_bytes)
{
    uint32_t verbose = atomic_load_relaxed(&point->verbose);

    if (verbose > 0) {
        log_notice("FAULT_INJECTION: forcing a failure. name %s, interval %u, probability %u, "
                   "space %u, times %d, size %zu",
                   point->name, point->interval, point->probability, point->space, point->times,
                   size_bytes);
    }
    if (verbose > 1) {
        backtrace_log(LOG_NOTICE, NULL);
    }
}

static bool take_space(struct fail_point *point, size_t size_bytes)
{
    uint32_t space = atomic_load_relaxed(&point->space);

    if (space <= size_bytes) {
        return false;
    }
    atomic_store_relaxed(&point->space, space - (uint32_t)size_bytes);
    return true;
}

bool fail_decide(struct fail_point *point, size_t size_bytes)
{
    if (fail_task_hook == NULL) {
        return false; /* the boot may not fail before there are threads */
    }
    struct fail_task *task = fail_task_hook();
    int32_t times = atomic_load_relaxed(&point->times);

    if (task != NULL && unlikely(task->nth > 0)) {
        if (--task->nth > 0) {
            return false;
        }
        tell(point, size_bytes);
        return true;
    }
    uint32_t probability = atomic_load_relaxed(&point->probability);
    if (probability == 0 || times == 0 ||
        (atomic_load_relaxed(&point->task_filter) &&
         (task == NULL || !atomic_load_relaxed(&task->make_it_fail))) ||
        take_space(point, size_bytes)) {
        return false;
    }
    uint32_t interval = atomic_load_relaxed(&point->interval);
    if (interval > 1 && (atomic_fetch_add_relaxed(&point->considered, 1) + 1) % interval != 0) {
        return false;
    }
    if (draw(point) % 100 >= probability) {
        return false;
    }
    if (times > 0) {
        atomic_store_relaxed(&point->times, times - 1);
    }
    tell(point, size_bytes);
    return true;
}

void fail_set_nth(struct fail_task *task, uint32_t nth)
{
    atomic_store_relaxed(&task->nth, nth);
    atomic_store_relaxed(&nth_wanted, true);
    fail_arm();
}

/* ---- failslab=INTERVAL,PROBABILITY,SPACE,TIMES ---- */

static void setup(struct fail_point *point, const char *value)
{
    int64_t numbers[4];
    char word[24];

    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        size_t len = 0;
        while (value[len] != '\0' && value[len] != ',') {
            len++;
        }
        if (len == 0 || len >= sizeof(word) || (value[len] == '\0') != (i == 3)) {
            return;
        }
        memcpy(word, value, len);
        word[len] = '\0';
        if (str_to_i64(word, 0, &numbers[i]) < 0) {
            return;
        }
        value += len + 1;
    }
    point->interval = (uint32_t)numbers[0];
    point->probability = (uint32_t)numbers[1];
    point->space = (uint32_t)numbers[2];
    point->times = (int32_t)numbers[3];
    fail_arm();
}

static void setup_slab(const char *value)
{
    setup(&failslab, value);
}

static void setup_pages(const char *value)
{
    setup(&fail_page_alloc, value);
}

PARAM_HANDLER(failslab, setup_slab);
PARAM_HANDLER(fail_page_alloc, setup_pages);

#endif
