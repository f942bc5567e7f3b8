/*
 * /sys/kernel/debug/{fail_page_alloc,failslab}/: allocations that fail on purpose (Documentation/fault-injection/fault-injection.rst).
 * Of our own: seed, from which the sequence of chances follows.
 */
#include "kernel/mm/fail.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/fs/debugfs/debugfs.h"

static int number_write(const char *value, int64_t min, int64_t max, int64_t *ret)
{
    int64_t number;

    if (str_to_i64(value, 0, &number) < 0 || number < min || number > max) {
        return -EINVAL;
    }
    *ret = number;
    return 0;
}

/* Linux shows and takes Y and N, and takes 1 and 0. */
static int flag_write(const char *value, bool *ret)
{
    bool yes = *value == 'Y' || *value == 'y' || *value == '1';

    if (!yes && *value != 'N' && *value != 'n' && *value != '0') {
        return -EINVAL;
    }
    atomic_store_relaxed(ret, yes);
    return 0;
}

#define NUMBER(point_, member_, file_, min_, max_)                                                 \
    static int point_##_##member_##_show(struct text *text)                                        \
    {                                                                                              \
        text_printf(text, "%lld\n", (long long)atomic_load_relaxed(&point_.member_));              \
        return 0;                                                                                  \
    }                                                                                              \
    static int point_##_##member_##_write(char *value, size_t len)                                 \
    {                                                                                              \
        int64_t number;                                                                            \
        int err = number_write(value, (min_), (max_), &number);                                    \
        (void)len;                                                                                 \
        if (err == 0) {                                                                            \
            atomic_store_relaxed(&point_.member_, (__typeof__(point_.member_))number);             \
            fail_arm();                                                                            \
        }                                                                                          \
        return err;                                                                                \
    }                                                                                              \
    DEBUG_FILE(point_##_##member_) = {.path = #point_ "/" file_,                                   \
                                      .mode = 0600,                                                \
                                      .show = point_##_##member_##_show,                           \
                                      .write = point_##_##member_##_write}

#define FLAG(point_, member_, file_)                                                               \
    static int point_##_##member_##_show(struct text *text)                                        \
    {                                                                                              \
        text_puts(text, atomic_load_relaxed(&point_.member_) ? "Y\n" : "N\n");                     \
        return 0;                                                                                  \
    }                                                                                              \
    static int point_##_##member_##_write(char *value, size_t len)                                 \
    {                                                                                              \
        (void)len;                                                                                 \
        return flag_write(value, &point_.member_);                                                 \
    }                                                                                              \
    DEBUG_FILE(point_##_##member_) = {.path = #point_ "/" file_,                                   \
                                      .mode = 0600,                                                \
                                      .show = point_##_##member_##_show,                           \
                                      .write = point_##_##member_##_write}

#define POINT(point_)                                                                              \
    NUMBER(point_, probability, "probability", 0, 100);                                            \
    NUMBER(point_, interval, "interval", 0, UINT32_MAX);                                           \
    NUMBER(point_, times, "times", INT32_MIN, INT32_MAX);                                          \
    NUMBER(point_, space, "space", 0, INT32_MAX);                                                  \
    NUMBER(point_, verbose, "verbose", 0, UINT32_MAX);                                             \
    NUMBER(point_, seed, "seed", 1, INT64_MAX);                                                    \
    FLAG(point_, task_filter, "task-filter")

POINT(fail_page_alloc);
NUMBER(fail_page_alloc, min_order, "min-order", 0, 64);
FLAG(fail_page_alloc, ignore_waiting, "ignore-gfp-wait");
POINT(failslab);
