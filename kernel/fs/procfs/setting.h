/*
 * /proc/sys files that are one number, kept in a variable of any integer type of which every value inside the bounds is right at any time:
 *
 *     PROC_SETTING(panic_on_oom, "sys/vm/panic_on_oom", oom_panic, 0, 2);
 */
#pragma once

#include "kernel/base/string.h"
#include "kernel/fs/procfs/procfs.h"

/* -EINVAL: not a number, or out of bounds. */
static inline int proc_setting_parse(const char *value, int64_t min, int64_t max, int64_t *ret)
{
    int64_t number;
    int err = str_to_i64(value, 0, &number);

    if (err < 0 || number < min || number > max) {
        return -EINVAL;
    }
    *ret = number;
    return 0;
}

/*
 * As many of n numbers as the text of a write gives, with blanks between them; how many. The text is cut up, and one byte behind its end is
 * written to.
 */
int proc_numbers_parse(char *value, size_t len, int64_t min, int64_t max, int64_t *numbers,
                       unsigned n);

#define PROC_SETTING(id_, path_, variable_, min_, max_)                                            \
    static int id_##_show(struct text *text)                                                       \
    {                                                                                              \
        text_printf(text, "%lld\n", (long long)atomic_load_relaxed(&(variable_)));                 \
        return 0;                                                                                  \
    }                                                                                              \
    static int id_##_write(char *value, size_t len)                                                \
    {                                                                                              \
        int64_t number;                                                                            \
        int err = proc_setting_parse(value, (min_), (max_), &number);                              \
        (void)len;                                                                                 \
        if (err == 0) {                                                                            \
            atomic_store_relaxed(&(variable_), (__typeof__(variable_))number);                     \
        }                                                                                          \
        return err;                                                                                \
    }                                                                                              \
    PROC_FILE(sys_##id_) = {.path = (path_), .mode = 0644, .show = id_##_show, .write = id_##_write}
