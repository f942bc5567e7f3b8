/*
 * /proc/sys/vm/dirty_* (Documentation/admin-guide/sysctl/vm.rst): when dirty pages of files are written, and when writers wait.
 *
 * Of a limit's ratio and bytes, the one that was set last holds, and the other shows 0.
 */
#include "kernel/vm/writeback.h"

#include "kernel/fs/procfs/setting.h"

static struct writeback_settings *const settings = &writeback_settings;

static int show_number(struct text *text, uint64_t number)
{
    text_printf(text, "%llu\n", (unsigned long long)number);
    return 0;
}

static int write_ratio(const char *value, uint32_t *ratio, uint64_t *bytes)
{
    int64_t percent;
    int err = proc_setting_parse(value, 0, 100, &percent);

    if (err == 0) {
        atomic_store_relaxed(ratio, (uint32_t)percent);
        atomic_store_relaxed(bytes, 0);
        writeback_settings_changed();
    }
    return err;
}

static int write_bytes(const char *value, int64_t least, uint32_t *ratio, uint64_t *bytes)
{
    int64_t number;
    int err = proc_setting_parse(value, least, INT64_MAX, &number);

    if (err == 0) {
        atomic_store_relaxed(bytes, (uint64_t)number);
        atomic_store_relaxed(ratio, 0);
        writeback_settings_changed();
    }
    return err;
}

static int write_centisecs(const char *value, uint32_t *centisecs)
{
    int64_t number;
    int err = proc_setting_parse(value, 0, INT32_MAX, &number);

    if (err == 0) {
        atomic_store_relaxed(centisecs, (uint32_t)number);
        writeback_settings_changed();
    }
    return err;
}

#define SETTING(name_, member_, write_expr_)                                                       \
    static int name_##_show(struct text *text)                                                     \
    {                                                                                              \
        return show_number(text, atomic_load_relaxed(&settings->member_));                         \
    }                                                                                              \
    static int name_##_write(char *value, size_t len)                                              \
    {                                                                                              \
        (void)len;                                                                                 \
        return write_expr_;                                                                        \
    }                                                                                              \
    PROC_FILE(sys_##name_) = {                                                                     \
        .path = "sys/vm/" #name_, .mode = 0644, .show = name_##_show, .write = name_##_write}

SETTING(dirty_ratio, ratio, write_ratio(value, &settings->ratio, &settings->bytes));
SETTING(dirty_background_ratio, background_ratio,
        write_ratio(value, &settings->background_ratio, &settings->background_bytes));
SETTING(dirty_bytes, bytes, write_bytes(value, 2 * PAGE_SIZE, &settings->ratio, &settings->bytes));
SETTING(dirty_background_bytes, background_bytes,
        write_bytes(value, 1, &settings->background_ratio, &settings->background_bytes));
SETTING(dirty_expire_centisecs, expire_centisecs,
        write_centisecs(value, &settings->expire_centisecs));
SETTING(dirty_writeback_centisecs, writeback_centisecs,
        write_centisecs(value, &settings->writeback_centisecs));
