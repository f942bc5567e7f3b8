/*
 * /sys/devices/virtual/block/zram*: what zramctl(8) and scripts read and write, as Documentation/admin-guide/blockdev/zram.rst of Linux
 * describes it; and the links to it below /sys/block and /sys/dev/block.
 */
#include "kernel/dev/zram.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/fs/sysfs/sysfs.h"
#include "kernel/machine/smp.h"

#define PATH_MAX_LEN 64u

static void number(struct text *text, uint64_t value)
{
    text_printf(text, "%llu\n", (unsigned long long)value);
}

static int disksize_show(struct text *text, unsigned zram)
{
    number(text, zram_disksize(zram));
    return 0;
}

static int disksize_write(unsigned zram, char *value, size_t len)
{
    uint64_t bytes;

    (void)len;
    return str_to_size(value, &bytes) < 0 ? -EINVAL : zram_set_disksize(zram, bytes);
}

static int initstate_show(struct text *text, unsigned zram)
{
    number(text, zram_disksize(zram) > 0);
    return 0;
}

static int reset_write(unsigned zram, char *value, size_t len)
{
    uint64_t yes;

    (void)len;
    return str_to_u64(value, 10, &yes) < 0 || yes == 0 ? -EINVAL : zram_reset(zram);
}

static int algorithm_show(struct text *text, unsigned zram)
{
    (void)zram;
    text_puts(text, "[lz4] \n"); /* the names that can be chosen, the one in use in brackets */
    return 0;
}

static int algorithm_write(unsigned zram, char *value, size_t len)
{
    (void)len;
    if (strcmp(value, "lz4") != 0) {
        return -EINVAL;
    }
    return zram_disksize(zram) > 0 ? -EBUSY : 0;
}

/* As many as CPUs, whatever is written: so since Linux 4.7. */
static int streams_show(struct text *text, unsigned zram)
{
    (void)zram;
    number(text, cpu_count());
    return 0;
}

static int streams_write(unsigned zram, char *value, size_t len)
{
    (void)zram, (void)value, (void)len;
    return 0;
}

static int limit_write(unsigned zram, char *value, size_t len)
{
    uint64_t bytes;

    (void)len;
    return str_to_size(value, &bytes) < 0 ? -EINVAL : zram_set_limit(zram, bytes);
}

static int peak_write(unsigned zram, char *value, size_t len)
{
    (void)len;
    return strcmp(value, "0") != 0 ? -EINVAL : zram_reset_peak(zram);
}

static int compact_write(unsigned zram, char *value, size_t len)
{
    (void)value, (void)len;
    return zram_compact(zram);
}

static int mm_stat_show(struct text *text, unsigned zram)
{
    struct zram_stats stats;
    const struct zstore_stats *store = &stats.store;

    zram_stats(zram, &stats);
    text_printf(text, "%8llu %8llu %8llu %8llu %8llu %8llu %8llu %8llu %8llu\n",
                (unsigned long long)store->stored_pages << PAGE_SHIFT,
                (unsigned long long)store->compressed_bytes,
                (unsigned long long)store->used_pages << PAGE_SHIFT,
                (unsigned long long)store->limit_pages << PAGE_SHIFT,
                (unsigned long long)store->peak_pages << PAGE_SHIFT,
                (unsigned long long)store->same_pages, (unsigned long long)store->compacted_pages,
                (unsigned long long)store->huge_pages, (unsigned long long)store->huge_pages_ever);
    return 0;
}

static int io_stat_show(struct text *text, unsigned zram)
{
    struct zram_stats stats;

    zram_stats(zram, &stats);
    text_printf(text, "%8u %8llu %8llu %8llu\n", 0, (unsigned long long)stats.store.failed_writes,
                (unsigned long long)stats.invalid, (unsigned long long)stats.freed_slots);
    return 0;
}

/* Version of the line; writes that had to wait for memory, frees of a page just locked: neither happens. */
static int debug_stat_show(struct text *text, unsigned zram)
{
    (void)zram;
    text_puts(text, "version: 1\n       0        0\n");
    return 0;
}

static int size_show(struct text *text, unsigned zram)
{
    number(text, zram_disksize(zram) >> 9);
    return 0;
}

static int dev_show(struct text *text, unsigned zram)
{
    text_printf(text, "%u:%u\n", ZRAM_MAJOR, zram);
    return 0;
}

static int zero_show(struct text *text, unsigned zram)
{
    (void)zram;
    text_puts(text, "0\n");
    return 0;
}

static int block_size_show(struct text *text, unsigned zram)
{
    (void)zram;
    number(text, PAGE_SIZE);
    return 0;
}

static const struct text_file attributes[] = {
    {.path = "disksize", .mode = 0644, .show_for = disksize_show, .write_for = disksize_write},
    {.path = "initstate", .show_for = initstate_show},
    {.path = "reset", .mode = 0200, .write_for = reset_write},
    {.path = "comp_algorithm",
     .mode = 0644,
     .show_for = algorithm_show,
     .write_for = algorithm_write},
    {.path = "max_comp_streams",
     .mode = 0644,
     .show_for = streams_show,
     .write_for = streams_write},
    {.path = "mem_limit", .mode = 0200, .write_for = limit_write},
    {.path = "mem_used_max", .mode = 0200, .write_for = peak_write},
    {.path = "compact", .mode = 0200, .write_for = compact_write},
    {.path = "mm_stat", .show_for = mm_stat_show},
    {.path = "io_stat", .show_for = io_stat_show},
    {.path = "debug_stat", .show_for = debug_stat_show},
    {.path = "size", .show_for = size_show},
    {.path = "dev", .show_for = dev_show},
    {.path = "ro", .show_for = zero_show},
    {.path = "removable", .show_for = zero_show},
    {.path = "queue/logical_block_size", .show_for = block_size_show},
    {.path = "queue/physical_block_size", .show_for = block_size_show},
    {.path = "queue/rotational", .show_for = zero_show},
};

void sysfs_add_zram(struct text_tree *tree)
{
    char path[PATH_MAX_LEN], target[PATH_MAX_LEN];

    for (unsigned i = 0; i < zram_count(); i++) {
        for (size_t k = 0; k < ARRAY_SIZE(attributes); k++) {
            struct text_file file = attributes[k];
            file.arg = i;
            (void)ksnprintf(path, sizeof(path), "devices/virtual/block/zram%u/%s", i, file.path);
            sysfs_add(tree, &file, path, NULL);
        }
        (void)ksnprintf(path, sizeof(path), "block/zram%u", i);
        (void)ksnprintf(target, sizeof(target), "../devices/virtual/block/zram%u", i);
        sysfs_add(tree, &(struct text_file){0}, path, target);
        (void)ksnprintf(path, sizeof(path), "dev/block/%u:%u", ZRAM_MAJOR, i);
        (void)ksnprintf(target, sizeof(target), "../../devices/virtual/block/zram%u", i);
        sysfs_add(tree, &(struct text_file){0}, path, target);
    }
}
