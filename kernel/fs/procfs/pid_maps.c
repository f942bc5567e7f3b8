/*
 * /proc/PID/{maps,smaps,smaps_rollup}: the regions of an address space, and what each has in memory (proc(5);
 * Documentation/filesystems/proc.rst, 1.1).
 *
 * A large space makes a long text: it is made in pieces, each under one hold of the space's lock. The cursor is the address that the
 * next piece begins at, so what is mapped or unmapped between two reads shows or not, but nothing shows twice.
 */
#include "kernel/base/string.h"
#include "kernel/fs/procfs/procfs.h"
#include "kernel/machine/cpu.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vm/huge.h"
#include "kernel/vm/usage.h"

#define NAME_COLUMN 73
#define PATH_BYTES  4096u

/* ---- the line of a region ---- */

static void line_head(struct text *text, uint64_t start, uint64_t end, const char *rights,
                      uint64_t offset, uint64_t dev, uint64_t ino)
{
    text_hex(text, start, 8);
    text_putc(text, '-');
    text_hex(text, end, 8);
    text_putc(text, ' ');
    text_write(text, rights, 4);
    text_putc(text, ' ');
    text_hex(text, offset, 8);
    text_putc(text, ' ');
    text_hex(text, DEV_MAJOR(dev), 2);
    text_putc(text, ':');
    text_hex(text, DEV_MINOR(dev), 2);
    text_number(text, ino);
    text_putc(text, ' ');
}

/* `path` is room for PATH_BYTES. vm->lock held. */
static void region_line(struct text *text, const struct vm_region *region, char *path)
{
    const char rights[4] = {
        (region->flags & VM_READ) != 0 ? 'r' : '-', (region->flags & VM_WRITE) != 0 ? 'w' : '-',
        (region->flags & VM_EXEC) != 0 ? 'x' : '-', (region->flags & VM_SHARED) != 0 ? 's' : 'p'};
    const char *name = region->name;
    uint64_t dev = 0, ino = 0, pgoff = 0;
    size_t line = text->len;

    if (region->source != NULL && region->source->ops->describe != NULL) {
        path[0] = '\0';
        region->source->ops->describe(region->source, &dev, &ino, path, PATH_BYTES);
        if (path[0] != '\0') {
            pgoff = region->pgoff;
            name = path;
        }
    }
    line_head(text, region->start, region->end, rights, pgoff << PAGE_SHIFT, dev, ino);
    if (name != NULL) {
        text_pad(text, line, NAME_COLUMN);
        text_escaped(text, name, "\n");
    }
    text_putc(text, '\n');
}

/* ---- the figures of smaps ---- */

static void line_kb(struct text *text, const char *label, uint64_t bytes)
{
    text_puts(text, label);
    text_decimal(text, bytes >> 10, 8);
    text_puts(text, " kB\n");
}

static void usage_lines(struct text *text, const struct vm_usage *usage, bool rollup)
{
    line_kb(text, "Rss:            ", usage->rss);
    line_kb(text, "Pss:            ", usage->pss >> VM_PSS_SHIFT);
    line_kb(text, "Pss_Dirty:      ", usage->pss_dirty >> VM_PSS_SHIFT);
    if (rollup) {
        line_kb(text, "Pss_Anon:       ", usage->pss_anon >> VM_PSS_SHIFT);
        line_kb(text, "Pss_File:       ", usage->pss_file >> VM_PSS_SHIFT);
        line_kb(text, "Pss_Shmem:      ", usage->pss_shmem >> VM_PSS_SHIFT);
    }
    line_kb(text, "Shared_Clean:   ", usage->shared_clean);
    line_kb(text, "Shared_Dirty:   ", usage->shared_dirty);
    line_kb(text, "Private_Clean:  ", usage->private_clean);
    line_kb(text, "Private_Dirty:  ", usage->private_dirty);
    line_kb(text, "Referenced:     ", usage->referenced);
    line_kb(text, "Anonymous:      ", usage->anonymous);
    line_kb(text, "LazyFree:       ", usage->lazy_free);
    line_kb(text, "AnonHugePages:  ", usage->anon_huge);
    line_kb(text, "ShmemPmdMapped: ", usage->shmem_huge);
    line_kb(text, "FilePmdMapped:  ", usage->file_huge);
    line_kb(text, "Shared_Hugetlb: ", 0);
    line_kb(text, "Private_Hugetlb:", 0);
    line_kb(text, "Swap:           ", usage->swap);
    line_kb(text, "SwapPss:        ", usage->swap_pss >> VM_PSS_SHIFT);
    line_kb(text, "Locked:         ", usage->pss_locked >> VM_PSS_SHIFT);
}

/* The names of proc(5) for what a region's flags say. */
static void flags_line(struct text *text, const struct vm_region *region)
{
    static const struct {
        uint32_t flag;
        char name[4];
    } names[] = {
        {VM_READ, "rd "},       {VM_WRITE, "wr "},    {VM_EXEC, "ex "},     {VM_SHARED, "sh "},
        {VM_MAYREAD, "mr "},    {VM_MAYWRITE, "mw "}, {VM_MAYEXEC, "me "},  {VM_SHARED, "ms "},
        {VM_GROWSDOWN, "gd "},  {VM_LOCKED, "lo "},   {VM_SEQ_READ, "sr "}, {VM_RAND_READ, "rr "},
        {VM_DONTFORK, "dc "},   {VM_SPECIAL, "de "},  {0, "ac "},           {VM_NORESERVE, "nr "},
        {VM_WIPEONFORK, "wf "}, {VM_DONTDUMP, "dd "}, {VM_HUGE, "hg "},     {VM_NOHUGE, "nh "},
    };
    bool accounted = (region->flags & (VM_WRITE | VM_SHARED | VM_NORESERVE)) == VM_WRITE;

    text_puts(text, "VmFlags: ");
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        if (names[i].flag == 0 ? accounted : (region->flags & names[i].flag) != 0) {
            text_write(text, names[i].name, 3);
        }
    }
    text_putc(text, '\n');
}

static void region_figures(struct text *text, struct vm_region *region)
{
    struct vm_usage usage = {0};

    vm_region_usage(region, &usage);
    line_kb(text, "Size:           ", region->end - region->start);
    line_kb(text, "KernelPageSize: ", PAGE_SIZE);
    line_kb(text, "MMUPageSize:    ", PAGE_SIZE);
    usage_lines(text, &usage, false);
    text_puts(text,
              vm_region_huge_eligible(region) ? "THPeligible:    1\n" : "THPeligible:    0\n");
    if (cpu_pkeys() > 1) {
        text_printf(text, "ProtectionKey:  %8u\n", vm_region_pkey(region));
    }
    flags_line(text, region);
}

/* ---- the files ---- */

/* Regions from *cursor on, each a line, and its figures if wanted. */
static int regions_next(struct text *text, const struct proc_target *target, uint64_t *cursor,
                        bool figures)
{
    struct vmspace *vm = proc_target_vm(target);
    struct vm_region *region;
    char *path;

    if (vm == NULL) {
        return 0;
    }
    path = kmalloc(PATH_BYTES);
    if (path == NULL) {
        vmspace_put(vm);
        return -ENOMEM;
    }
    rwsem_lock_read(&vm->lock);
    region = vmspace_find(vm, *cursor);
    for (; region != NULL && !text_is_enough(text); region = vm_region_next(region)) {
        region_line(text, region, path);
        if (figures) {
            region_figures(text, region);
        }
        *cursor = region->end;
    }
    rwsem_unlock_read(&vm->lock);
    kfree(path);
    vmspace_put(vm);
    return region != NULL;
}

static int maps_next(struct text *text, const struct proc_target *target, uint64_t *cursor)
{
    return regions_next(text, target, cursor, false);
}

static int smaps_next(struct text *text, const struct proc_target *target, uint64_t *cursor)
{
    return regions_next(text, target, cursor, true);
}

/* The whole space in one: the sums, and of the region line what has a meaning for all. */
static int smaps_rollup_show(struct text *text, const struct proc_target *target)
{
    struct vmspace *vm = proc_target_vm(target);
    struct vm_usage usage = {0};
    uint64_t start = 0, end = 0;

    if (vm == NULL) {
        return -ESRCH;
    }
    rwsem_lock_read(&vm->lock);
    for (struct vm_region *at = vmspace_first(vm); at != NULL; at = vm_region_next(at)) {
        start = end == 0 ? at->start : start;
        end = at->end;
        vm_region_usage(at, &usage);
    }
    rwsem_unlock_read(&vm->lock);
    vmspace_put(vm);
    line_head(text, start, end, "---p", 0, 0, 0);
    text_pad(text, 0, NAME_COLUMN);
    text_puts(text, "[rollup]\n");
    usage_lines(text, &usage, true);
    return 0;
}

PROC_PID_FILE(maps) = {.name = "maps",
                       .mode = S_IFREG | 0444,
                       .flags = PROC_PID_TASK | PROC_PID_ACCESS,
                       .next = maps_next};
PROC_PID_FILE(smaps) = {.name = "smaps",
                        .mode = S_IFREG | 0444,
                        .flags = PROC_PID_TASK | PROC_PID_ACCESS,
                        .next = smaps_next};
PROC_PID_FILE(smaps_rollup) = {.name = "smaps_rollup",
                               .mode = S_IFREG | 0444,
                               .flags = PROC_PID_TASK | PROC_PID_ACCESS,
                               .show = smaps_rollup_show};
