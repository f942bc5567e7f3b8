/*
 * /proc/interrupts, /proc/softirqs, and /proc/irq: a directory for each line that is in use, and default_smp_affinity (proc(5),
 * Documentation/core-api/irq/irq-affinity.rst). Lines come and go with their handlers, so the directories are made when they are looked for.
 *
 * An inode's number says all: IRQ_INO + line * 256 + what; what: 0 the directory, FILE_* a file in it, DIR_HANDLER + n the directory of its n-th handler.
 */
#include "kernel/irq/irq.h"
#include "kernel/base/bittext.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/softirq.h"
#include "kernel/fs/procfs/procfs.h"
#include "kernel/machine/irq.h"
#include "kernel/machine/smp.h"

#define IRQ_INO      BIT(32) /* below the first process' numbers */
#define DEFAULT_INO  (IRQ_INO + BIT(24))
#define DIR_HANDLER  128u
#define HANDLERS_MAX 100u
#define NAME_BYTES   32u

/* ---- interrupts ---- */

static void row_show(struct text *text, unsigned row, const struct machine_irq_row *info)
{
    uint64_t sum = 0;
    unsigned cpu;

    text_printf(text, "%3s:", info->label);
    if (info->text == NULL) {
        for_each_cpu (cpu) {
            sum += machine_irq_row_count(row, cpu);
        }
        text_printf(text, " %10llu\n", (unsigned long long)sum);
        return;
    }
    for_each_online_cpu (cpu) {
        text_printf(text, " %10llu", (unsigned long long)machine_irq_row_count(row, cpu));
    }
    text_printf(text, "   %s\n", info->text);
}

static int interrupts_show(struct text *text)
{
    struct machine_irq_row row;
    struct irq_info info;
    unsigned cpu;

    text_puts(text, "           ");
    for_each_online_cpu (cpu) {
        text_printf(text, "CPU%-8u", cpu);
    }
    text_putc(text, '\n');
    for (unsigned i = 0; i < irq_limit(); i++) {
        if (!irq_describe(i, &info) || !info.in_use) {
            continue;
        }
        text_printf(text, "%3u:", i);
        for_each_online_cpu (cpu) {
            text_printf(text, " %10llu", (unsigned long long)irq_count(i, cpu));
        }
        text_printf(text, " %8s %s  %s\n", info.chip, info.input, info.actions);
    }
    for (unsigned i = 0; machine_irq_row(i, &row); i++) {
        row_show(text, i, &row);
    }
    return 0;
}

static int softirqs_show(struct text *text)
{
    unsigned cpu;

    text_puts(text, "                    ");
    for_each_cpu (cpu) {
        text_printf(text, "CPU%-8u", cpu);
    }
    text_putc(text, '\n');
    for (unsigned vector = 0; vector < SOFTIRQS; vector++) {
        text_printf(text, "%12s:", softirq_name(vector));
        for_each_cpu (cpu) {
            text_printf(text, " %10llu", (unsigned long long)softirq_count(vector, cpu));
        }
        text_putc(text, '\n');
    }
    return 0;
}

/* ---- the files of a line ---- */

static unsigned ino_line(const struct inode *inode)
{
    return (unsigned)(inode->ino - IRQ_INO) >> 8;
}

static unsigned ino_what(const struct inode *inode)
{
    return inode->ino & 255;
}

static uint64_t line_ino(unsigned line, unsigned what)
{
    return IRQ_INO + ((uint64_t)line << 8) + what;
}

static void mask_line(struct text *text, const struct cpumask *mask, bool list)
{
    if (list) {
        text_bit_list(text, mask->bits, cpu_count());
    } else {
        text_bit_mask(text, mask->bits, cpu_count());
    }
    text_putc(text, '\n');
}

static struct cpumask mask_of(unsigned cpu)
{
    struct cpumask mask = CPUMASK_NONE;

    cpumask_set(&mask, cpu);
    return mask;
}

/* No driver says where it would like to be. */
static void hint_show(struct text *text, const struct irq_info *info)
{
    const struct cpumask none = CPUMASK_NONE;

    (void)info;
    mask_line(text, &none, false);
}

static void affinity_show(struct text *text, const struct irq_info *info)
{
    mask_line(text, &info->affinity, false);
}

static void affinity_list_show(struct text *text, const struct irq_info *info)
{
    mask_line(text, &info->affinity, true);
}

static void effective_show(struct text *text, const struct irq_info *info)
{
    struct cpumask mask = mask_of(info->target);

    mask_line(text, &mask, false);
}

static void effective_list_show(struct text *text, const struct irq_info *info)
{
    struct cpumask mask = mask_of(info->target);

    mask_line(text, &mask, true);
}

static void node_show(struct text *text, const struct irq_info *info)
{
    text_printf(text, "%d\n", info->node);
}

static void spurious_show(struct text *text, const struct irq_info *info)
{
    text_printf(text, "count %u\nunhandled %u\nlast_unhandled %lld ms\n", info->count,
                info->unhandled, (long long)info->last_unhandled_ms);
}

static int mask_take(const char *value, bool list, struct cpumask *ret_mask)
{
    *ret_mask = (struct cpumask){{0}};
    return list ? bitmap_parse_list(value, ret_mask->bits, cpu_count())
                : bitmap_parse_mask(value, ret_mask->bits, cpu_count());
}

static const struct line_file {
    const char *name;
    void (*show)(struct text *text, const struct irq_info *info);
    bool writable, list;
} line_files[] = {
    {"affinity_hint", hint_show, false, false},
    {"effective_affinity", effective_show, false, false},
    {"effective_affinity_list", effective_list_show, false, true},
    {"node", node_show, false, false},
    {"smp_affinity", affinity_show, true, false},
    {"smp_affinity_list", affinity_list_show, true, true},
    {"spurious", spurious_show, false, false},
};
#define NFILES ARRAY_SIZE(line_files)
_Static_assert(NFILES < DIR_HANDLER, "inode numbers");

static int line_generate(struct text *text, struct file *file)
{
    struct irq_info info;

    if (!irq_describe(ino_line(file->inode), &info)) {
        return -ENOENT;
    }
    line_files[ino_what(file->inode) - 1].show(text, &info);
    return 0;
}

static int line_open(struct inode *inode, struct file *file)
{
    (void)inode;
    return text_open(file, line_generate);
}

static int line_take(struct file *file, char *value, size_t len_bytes)
{
    unsigned line = ino_line(file->inode);
    struct irq_info info;
    struct cpumask mask;

    (void)len_bytes;
    if (!irq_describe(line, &info) || !info.movable) {
        return -EIO;
    }
    int err = mask_take(value, line_files[ino_what(file->inode) - 1].list, &mask);
    return err < 0 ? err : irq_set_affinity(line, &mask);
}

static ssize_t line_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    (void)pos;
    return line_files[ino_what(file->inode) - 1].writable ? text_write_value(from, file, line_take)
                                                          : -EIO;
}

static int default_generate(struct text *text, struct file *file)
{
    struct cpumask mask;

    (void)file;
    irq_default_affinity(&mask);
    mask_line(text, &mask, false);
    return 0;
}

static int default_open(struct inode *inode, struct file *file)
{
    (void)inode;
    return text_open(file, default_generate);
}

static int default_take(struct file *file, char *value, size_t len_bytes)
{
    struct cpumask mask;
    int err = mask_take(value, false, &mask);

    (void)file, (void)len_bytes;
    return err < 0 ? err : irq_set_default_affinity(&mask);
}

static ssize_t default_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    (void)pos;
    return text_write_value(from, file, default_take);
}

/* ---- the tree ---- */

/* A handler's directory is there when its name can be one and no earlier handler of the line has the same. */
static bool handler_listed(unsigned line, unsigned n, char name[NAME_BYTES])
{
    char other[NAME_BYTES];

    if (n >= HANDLERS_MAX || !irq_handler_name(line, n, name, NAME_BYTES) || name[0] == '\0' ||
        strchr(name, '/') != NULL) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        if (irq_handler_name(line, i, other, sizeof(other)) && strcmp(other, name) == 0) {
            return false;
        }
    }
    return true;
}

static bool line_used(unsigned line)
{
    struct irq_info info;

    return irq_describe(line, &info) && info.in_use;
}

static bool line_revalidate(struct inode *inode)
{
    char name[NAME_BYTES];
    unsigned what = ino_what(inode);

    return what < DIR_HANDLER ? line_used(ino_line(inode))
                              : handler_listed(ino_line(inode), what - DIR_HANDLER, name);
}

static int refuse_setattr(struct inode *inode, const struct inode_attr *attr)
{
    (void)inode;
    return (attr->valid & (ATTR_MODE | ATTR_UID | ATTR_GID)) != 0 ? -EPERM : 0;
}

static int line_lookup(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode);
static int line_iterate(struct file *file, struct dir_context *ctx);
static int empty_lookup(struct inode *dir, const char *name, unsigned len,
                        struct inode **ret_inode);
static int empty_iterate(struct file *file, struct dir_context *ctx);

#define TEXT_FILE_OPS(open_, write_)                                                               \
    {                                                                                              \
        .open = (open_), .release = text_release, .read = text_read, .write = (write_),            \
        .llseek = text_llseek                                                                      \
    }
static const struct file_ops line_file_fops = TEXT_FILE_OPS(line_open, line_write);
static const struct file_ops default_fops = TEXT_FILE_OPS(default_open, default_write);
static const struct inode_ops line_file_ops = {.setattr = refuse_setattr,
                                               .revalidate = line_revalidate};
static const struct inode_ops default_ops = {.setattr = refuse_setattr};
static const struct inode_ops line_dir_ops = {
    .lookup = line_lookup, .setattr = refuse_setattr, .revalidate = line_revalidate};
static const struct file_ops line_dir_fops = {.iterate = line_iterate,
                                              .llseek = generic_file_llseek};
static const struct inode_ops handler_ops = {
    .lookup = empty_lookup, .setattr = refuse_setattr, .revalidate = line_revalidate};
static const struct file_ops handler_fops = {.iterate = empty_iterate,
                                             .llseek = generic_file_llseek};

static int inode_make(struct super *super, uint64_t ino, uint32_t mode, const struct inode_ops *ops,
                      const struct file_ops *fops, struct inode **ret_inode)
{
    struct inode *inode = text_inode_alloc(super, sizeof(*inode), ino, mode);

    if (inode == NULL) {
        return -ENOMEM;
    }
    inode->ops = ops;
    inode->fops = fops;
    *ret_inode = inode;
    return 0;
}

static int empty_lookup(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode)
{
    (void)dir, (void)name, (void)len, (void)ret_inode;
    return -ENOENT;
}

static int empty_iterate(struct file *file, struct dir_context *ctx)
{
    (void)text_emit_dots(ctx, file->inode->ino, line_ino(ino_line(file->inode), 0));
    return 0;
}

static int line_lookup(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode)
{
    unsigned line = ino_line(dir);
    char handler[NAME_BYTES];

    for (unsigned i = 0; i < NFILES; i++) {
        if (strlen(line_files[i].name) == len && memcmp(line_files[i].name, name, len) == 0) {
            return inode_make(dir->super, line_ino(line, i + 1),
                              S_IFREG | (line_files[i].writable ? 0644 : 0444), &line_file_ops,
                              &line_file_fops, ret_inode);
        }
    }
    for (unsigned n = 0; n < HANDLERS_MAX && irq_handler_name(line, n, handler, sizeof(handler));
         n++) {
        if (handler_listed(line, n, handler) && strlen(handler) == len &&
            memcmp(handler, name, len) == 0) {
            return inode_make(dir->super, line_ino(line, DIR_HANDLER + n), S_IFDIR | 0555,
                              &handler_ops, &handler_fops, ret_inode);
        }
    }
    return -ENOENT;
}

/* Positions: 2 and up the files, then the handlers. */
static int line_iterate(struct file *file, struct dir_context *ctx)
{
    unsigned line = ino_line(file->inode);
    char name[NAME_BYTES];

    if (!text_emit_dots(ctx, file->inode->ino, file->path.dentry->parent->inode->ino)) {
        return 0;
    }
    for (; ctx->pos < 2 + (loff_t)NFILES; ctx->pos++) {
        const char *entry = line_files[ctx->pos - 2].name;
        if (!ctx->emit(ctx, entry, (unsigned)strlen(entry), line_ino(line, (unsigned)ctx->pos - 1),
                       S_IFREG >> 12, ctx->pos + 1)) {
            return 0;
        }
    }
    for (;; ctx->pos++) {
        unsigned n = (unsigned)ctx->pos - 2 - NFILES;
        if (n >= HANDLERS_MAX || !irq_handler_name(line, n, name, sizeof(name))) {
            return 0;
        }
        if (handler_listed(line, n, name) &&
            !ctx->emit(ctx, name, (unsigned)strlen(name), line_ino(line, DIR_HANDLER + n),
                       S_IFDIR >> 12, ctx->pos + 1)) {
            return 0;
        }
    }
}

static int irq_lookup(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode)
{
    int64_t line = proc_parse_number(name, len);

    if (len == 20 && memcmp(name, "default_smp_affinity", 20) == 0) {
        return inode_make(dir->super, DEFAULT_INO, S_IFREG | 0644, &default_ops, &default_fops,
                          ret_inode);
    }
    if (line < 0 || line >= irq_limit() || !line_used((unsigned)line)) {
        return -ENOENT;
    }
    return inode_make(dir->super, line_ino((unsigned)line, 0), S_IFDIR | 0555, &line_dir_ops,
                      &line_dir_fops, ret_inode);
}

/* Positions: 2 + number of the line, and behind them all the default. */
static int irq_iterate(struct file *file, struct dir_context *ctx)
{
    const struct text_node *node = text_inode_node(file->inode);
    loff_t end = 2 + (loff_t)irq_limit();
    char name[12];

    if (!text_emit_dots(ctx, node->ino, node->parent->ino)) {
        return 0;
    }
    for (; ctx->pos < end; ctx->pos++) {
        unsigned line = (unsigned)ctx->pos - 2;
        unsigned len = (unsigned)kscnprintf(name, sizeof(name), "%u", line);
        if (line_used(line) &&
            !ctx->emit(ctx, name, len, line_ino(line, 0), S_IFDIR >> 12, ctx->pos + 1)) {
            return 0;
        }
    }
    if (ctx->pos == end &&
        ctx->emit(ctx, "default_smp_affinity", 20, DEFAULT_INO, S_IFREG >> 12, end + 1)) {
        ctx->pos = end + 1;
    }
    return 0;
}

static const struct inode_ops irq_dir_ops = {.lookup = irq_lookup, .setattr = refuse_setattr};
static const struct file_ops irq_dir_fops = {.iterate = irq_iterate, .llseek = generic_file_llseek};

PROC_FILE(interrupts) = {.path = "interrupts", .show = interrupts_show};
PROC_FILE(softirqs) = {.path = "softirqs", .show = softirqs_show};
PROC_FILE(irq) = {.path = "irq", .dir_ops = &irq_dir_ops, .fops = &irq_dir_fops};
