/*
 * /proc/sys/vm (Documentation/admin-guide/sysctl/vm.rst). Each file is read by what it is about: the promises of memory (kernel/vm/commit.c), regions
 * (max_map_count), watermarks (kernel/mm), and reclaim. What this kernel has no use for is not here. The OOM killer's are in oom.c.
 */
#include "kernel/fs/procfs/setting.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/compact.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/slab.h"
#include "kernel/vfs/dentry.h"
#include "kernel/vm/reclaim.h"
#include "kernel/vm/tunables.h"
#include "kernel/vm/vmspace.h"

/* ---- addresses: in sys/kernel, but memory's ---- */

PROC_SETTING(randomize_va_space, "sys/kernel/randomize_va_space", vm_tunables.randomize_va_space, 0,
             2);

/* ---- promises ---- */

PROC_SETTING(overcommit_memory, "sys/vm/overcommit_memory", vm_tunables.overcommit_memory, 0, 2);
PROC_SETTING(admin_reserve, "sys/vm/admin_reserve_kbytes", vm_tunables.admin_reserve_kbytes, 0,
             INT64_MAX);
PROC_SETTING(user_reserve, "sys/vm/user_reserve_kbytes", vm_tunables.user_reserve_kbytes, 0,
             INT64_MAX);

/* Of the next two the one that was set last holds, and the other shows 0. */
static int overcommit_ratio_show(struct text *text)
{
    text_printf(text, "%d\n", atomic_load_relaxed(&vm_tunables.overcommit_ratio));
    return 0;
}

static int overcommit_ratio_write(char *value, size_t len)
{
    int64_t percent;
    int err = proc_setting_parse(value, 0, INT32_MAX, &percent);

    (void)len;
    if (err == 0) {
        atomic_store_relaxed(&vm_tunables.overcommit_ratio, (int)percent);
        atomic_store_relaxed(&vm_tunables.overcommit_kbytes, 0);
    }
    return err;
}

static int overcommit_kbytes_show(struct text *text)
{
    text_printf(text, "%llu\n",
                (unsigned long long)atomic_load_relaxed(&vm_tunables.overcommit_kbytes));
    return 0;
}

static int overcommit_kbytes_write(char *value, size_t len)
{
    int64_t kbytes;
    int err = proc_setting_parse(value, 0, INT64_MAX, &kbytes);

    (void)len;
    if (err == 0) {
        atomic_store_relaxed(&vm_tunables.overcommit_kbytes, (uint64_t)kbytes);
        atomic_store_relaxed(&vm_tunables.overcommit_ratio, 0);
    }
    return err;
}

PROC_FILE(sys_overcommit_ratio) = {.path = "sys/vm/overcommit_ratio",
                                   .mode = 0644,
                                   .show = overcommit_ratio_show,
                                   .write = overcommit_ratio_write};
PROC_FILE(sys_overcommit_kbytes) = {.path = "sys/vm/overcommit_kbytes",
                                    .mode = 0644,
                                    .show = overcommit_kbytes_show,
                                    .write = overcommit_kbytes_write};

/* ---- regions ---- */

PROC_SETTING(max_map_count, "sys/vm/max_map_count", vm_max_map_count, 0, INT32_MAX);

/* How many bits of the page number where mappings begin are random, in a new program. */
PROC_SETTING(mmap_rnd_bits, "sys/vm/mmap_rnd_bits", vm_tunables.mmap_rnd_bits, 28, 32);

/* Fixed: below USER_MIN nothing is ever mapped. */
static int mmap_min_addr_show(struct text *text)
{
    text_printf(text, "%llu\n", (unsigned long long)USER_MIN);
    return 0;
}
PROC_FILE(sys_mmap_min_addr) = {.path = "sys/vm/mmap_min_addr", .show = mmap_min_addr_show};

/* ---- reclaim ---- */

PROC_SETTING(swappiness, "sys/vm/swappiness", vm_tunables.swappiness, 0, 200);
PROC_SETTING(page_cluster, "sys/vm/page-cluster", vm_tunables.page_cluster, 0, 31);
PROC_SETTING(vfs_cache_pressure, "sys/vm/vfs_cache_pressure", vm_tunables.vfs_cache_pressure, 0,
             INT32_MAX);

/* 1: clean pages of files that have a medium behind them; 2: names and inodes nobody uses; 4: no message. */
static int drop_caches_write(char *value, size_t len)
{
    int64_t what;
    int err = proc_setting_parse(value, 1, 7, &what);

    (void)len;
    if (err < 0) {
        return err;
    }
    if ((what & 1) != 0) {
        (void)reclaim_drop_files();
    }
    while ((what & 2) != 0 && dentry_shrink(1024) > 0) {
        if (thread_signal_pending(current_thread())) {
            break;
        }
    }
    (void)slab_shrink_cpus();
    (void)vunmap_flush();
    return 0;
}
PROC_FILE(sys_drop_caches) = {
    .path = "sys/vm/drop_caches", .mode = 0200, .write = drop_caches_write};

/* Whatever is written: page blocks are emptied by moving pages, as many as can be. */
static int compact_memory_write(char *value, size_t len)
{
    (void)value, (void)len;
    frames_compact_all();
    return 0;
}
PROC_FILE(sys_compact_memory) = {
    .path = "sys/vm/compact_memory", .mode = 0200, .write = compact_memory_write};

/* ---- watermarks ---- */

static int min_free_show(struct text *text)
{
    struct frame_watermarks marks;

    frames_get_watermarks(&marks);
    text_printf(text, "%llu\n", (unsigned long long)marks.min_free_kb);
    return 0;
}

static int min_free_write(char *value, size_t len)
{
    struct frame_watermarks marks;
    int64_t kbytes;
    int err = proc_setting_parse(value, 0, INT32_MAX, &kbytes);

    (void)len;
    if (err < 0) {
        return err;
    }
    frames_get_watermarks(&marks);
    marks.min_free_kb = (uint64_t)kbytes;
    return frames_set_watermarks(&marks);
}
PROC_FILE(sys_min_free) = {
    .path = "sys/vm/min_free_kbytes", .mode = 0644, .show = min_free_show, .write = min_free_write};

static int scale_factor_show(struct text *text)
{
    struct frame_watermarks marks;

    frames_get_watermarks(&marks);
    text_printf(text, "%u\n", marks.scale_factor);
    return 0;
}

static int scale_factor_write(char *value, size_t len)
{
    struct frame_watermarks marks;
    int64_t factor;
    int err = proc_setting_parse(value, 1, 3000, &factor);

    (void)len;
    if (err < 0) {
        return err;
    }
    frames_get_watermarks(&marks);
    marks.scale_factor = (unsigned)factor;
    return frames_set_watermarks(&marks);
}
PROC_FILE(sys_scale_factor) = {.path = "sys/vm/watermark_scale_factor",
                               .mode = 0644,
                               .show = scale_factor_show,
                               .write = scale_factor_write};

static int lowmem_ratio_show(struct text *text)
{
    struct frame_watermarks marks;

    frames_get_watermarks(&marks);
    for (unsigned zone = 0; zone < ZONE_COUNT; zone++) {
        text_printf(text, zone == 0 ? "%u" : "\t%u", marks.lowmem_ratio[zone]);
    }
    text_putc(text, '\n');
    return 0;
}

/* As many of the numbers as are given, in order; less than 1 is none. */
static int lowmem_ratio_write(char *value, size_t len)
{
    struct frame_watermarks marks;
    int64_t ratios[ZONE_COUNT];
    int n = proc_numbers_parse(value, len, INT32_MIN, INT32_MAX, ratios, ZONE_COUNT);

    if (n <= 0) {
        return n < 0 ? n : -EINVAL;
    }
    frames_get_watermarks(&marks);
    for (int zone = 0; zone < n; zone++) {
        marks.lowmem_ratio[zone] = (unsigned)MAX(ratios[zone], (int64_t)0);
    }
    return frames_set_watermarks(&marks);
}
PROC_FILE(sys_lowmem_ratio) = {.path = "sys/vm/lowmem_reserve_ratio",
                               .mode = 0644,
                               .show = lowmem_ratio_show,
                               .write = lowmem_ratio_write};

/* ---- huge pages in pools ---- */

/* There are no pools: none is what there is, and none is all that can be asked for. */
static int nr_hugepages_show(struct text *text)
{
    text_puts(text, "0\n");
    return 0;
}

static int nr_hugepages_write(char *value, size_t len)
{
    int64_t pages;

    (void)len;
    return proc_setting_parse(value, 0, 0, &pages);
}
PROC_FILE(sys_nr_hugepages) = {.path = "sys/vm/nr_hugepages",
                               .mode = 0644,
                               .show = nr_hugepages_show,
                               .write = nr_hugepages_write};
