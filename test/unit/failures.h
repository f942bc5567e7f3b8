/*
 * Every allocation of an operation fails once: the first in one attempt, the second in the next, and so on until the operation needs no
 * more. After each attempt everything must be as before: no heap object and no page may be lost or be missing.
 */
#pragma once

#include "kernel/mm/fail.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/slab_debug.h"
#include "test/unit/test.h"

#define FAILURES_MOST 2000u /* more allocations than any operation here makes */

static struct fail_task failures_task;

static inline struct fail_task *failures_hook(void)
{
    return &failures_task;
}

struct failures_use {
    uint64_t objects, object_bytes, pages;
};

static inline void failures_count_object(const struct slab_object *object, void *arg)
{
    struct failures_use *use = arg;

    /* Arenas keep some tags for the next time. */
    if (!object->internal && strcmp(object->cache_name, "vmem_tag") != 0) {
        use->objects++;
        use->object_bytes += object->size;
    }
}

/* What is in use, but for slabs: how many there are depends on luck, what is in them does not. */
static inline struct failures_use failures_use_now(void)
{
    struct failures_use use = {0};
    struct frame_stats stats;

    (void)slab_shrink_all();
    slab_objects_walk(failures_count_object, &use);
    frame_stats(&stats);
    use.pages = stats.total - stats.free - stats.by_kind[PAGE_SLAB];
    return use;
}

/*
 * attempt() does the operation, checks what can be checked, undoes it if it succeeded, and says whether it did; it does when nothing fails. Returns
 * how many of its allocations were let fail.
 */
static inline unsigned every_allocation_fails(bool (*attempt)(void))
{
    struct fail_task *(*hook_before)(void) = fail_task_hook;
    unsigned nth = 0, refused = 0;

    fail_page_alloc.min_order = 0;
    fail_page_alloc.ignore_waiting = failslab.ignore_waiting = false;
    fail_page_alloc.verbose = failslab.verbose = 0;
    EXPECT(attempt()); /* what is made once and kept */
    struct failures_use before = failures_use_now();
    fail_task_hook = failures_hook;
    for (bool failed = true; failed && nth < FAILURES_MOST;) {
        fail_set_nth(&failures_task, ++nth);
        bool done = attempt();
        failed = failures_task.nth == 0;
        failures_task.nth = 0;
        refused += !done;
        struct failures_use after = failures_use_now();
        if (after.objects != before.objects || after.object_bytes != before.object_bytes ||
            after.pages != before.pages || (!failed && !done)) {
            fail_task_hook = hook_before;
            test_fail(__FILE__, __LINE__,
                      "failure of allocation %u (the operation %s): %lld objects, %lld bytes of "
                      "them and %lld pages are lost",
                      nth, done ? "succeeded" : "failed",
                      (long long)(after.objects - before.objects),
                      (long long)(after.object_bytes - before.object_bytes),
                      (long long)(after.pages - before.pages));
        }
    }
    fail_task_hook = hook_before;
    EXPECT_LT(nth, FAILURES_MOST);
    EXPECT_GT(refused, 0);
    test_note("%u allocations failed in turn", nth - 1);
    return nth - 1;
}
