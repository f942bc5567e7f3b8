/*
 * Settings of several numbers.
 */
#include "kernel/fs/procfs/setting.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

int proc_numbers_parse(char *value, size_t len, int64_t min, int64_t max, int64_t *numbers,
                       unsigned n)
{
    const char *end = value + len;
    unsigned found = 0;

    for (char *at = value; at < end && found < n;) {
        char *stop = at;
        while (stop < end && !is_blank(*stop)) {
            stop++;
        }
        if (stop > at) {
            *stop = '\0';
            int err = proc_setting_parse(at, min, max, &numbers[found]);
            if (err < 0) {
                return err;
            }
            found++;
        }
        at = stop + 1;
    }
    return (int)found;
}
