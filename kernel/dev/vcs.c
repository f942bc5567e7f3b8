/*
 * /dev/vcs*: the text of virtual terminals (vcs(4)). vcs: one byte for each character; vcsu: four bytes, Unicode; vcsa: a header (rows,
 * columns, cursor) and pairs of character and attribute. Number 0 is the active terminal. Read-only here.
 */
#include <linux/fs.h>
#include <linux/major.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/dev/vt_impl.h"

enum vcs_kind { VCS_TEXT, VCS_UNICODE, VCS_ATTRIBUTES };

#define VCSA_HEADER 4u

static const unsigned unit_bytes[] = {[VCS_TEXT] = 1, [VCS_UNICODE] = 4, [VCS_ATTRIBUTES] = 2};

static enum vcs_kind kind_of(const struct file *file)
{
    return (enum vcs_kind)(DEV_MINOR(file->inode->rdev) / 64);
}

/* The terminal of an open file; NULL: it has no screen yet. */
static struct vt *vt_of(const struct file *file)
{
    unsigned number = DEV_MINOR(file->inode->rdev) % 64;
    struct vt *vt = number == 0 ? vt_active() : &vt_table[number - 1];

    return vt_present && vt_is_ready(vt) ? vt : NULL;
}

static size_t content_bytes(const struct vt *vt, enum vcs_kind kind)
{
    size_t cells = (size_t)vt->screen.cols * vt->screen.rows;

    return cells * unit_bytes[kind] + (kind == VCS_ATTRIBUTES ? VCSA_HEADER : 0);
}

/* Foreground, background and brightness as the PC's attribute byte; colours beyond 16 as the defaults. */
static uint8_t attribute(vt_cell_t cell)
{
    unsigned fg = vt_cell_fg(cell) < 16 ? vt_cell_fg(cell) : 7;
    unsigned bg = vt_cell_bg(cell) < 16 ? vt_cell_bg(cell) : 0;
    static const uint8_t pc[8] = {0, 4, 2, 6, 1, 5, 3, 7}; /* red and blue change places */
    unsigned value = pc[fg & 7] | (fg & 8) | (unsigned)pc[bg & 7] << 4;

    if ((vt_cell_flags(cell) & VT_BOLD) != 0) {
        value |= 8;
    }
    if ((vt_cell_flags(cell) & VT_REVERSE) != 0) {
        value = (value & 0x88) | (value & 0x70) >> 4 | (value & 0x07) << 4;
    }
    return (uint8_t)value;
}

static void encode(uint8_t *at, vt_cell_t cell, enum vcs_kind kind)
{
    uint32_t character = vt_cell_char(cell);
    uint8_t byte = character == 0 ? ' ' : character < 0x100 ? (uint8_t)character : '?';

    if (kind == VCS_UNICODE) {
        memcpy(at, &character, 4);
        return;
    }
    at[0] = byte;
    if (kind == VCS_ATTRIBUTES) {
        at[1] = attribute(cell);
    }
}

/* Bytes from `pos` on, whole cells, at most `size`; vt->lock held. *ret_skip: bytes before pos. */
static size_t fill(const struct vt *vt, enum vcs_kind kind, size_t pos, uint8_t *buf, size_t size,
                   size_t *ret_skip)
{
    const struct vt_screen *screen = &vt->screen;
    size_t unit = unit_bytes[kind], cells = (size_t)screen->cols * screen->rows, n = 0, at;

    *ret_skip = 0;
    if (kind == VCS_ATTRIBUTES) {
        if (pos < VCSA_HEADER) {
            buf[0] = (uint8_t)screen->rows;
            buf[1] = (uint8_t)screen->cols;
            buf[2] = (uint8_t)screen->cursor.x;
            buf[3] = (uint8_t)screen->cursor.y;
            *ret_skip = pos;
            return VCSA_HEADER;
        }
        pos -= VCSA_HEADER;
    }
    *ret_skip = pos % unit;
    for (at = pos / unit; at < cells && n + unit <= size; at++, n += unit) {
        encode(buf + n,
               vt_screen_at(screen, (unsigned)(at % screen->cols), (unsigned)(at / screen->cols)),
               kind);
    }
    return n;
}

static ssize_t vcs_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    enum vcs_kind kind = kind_of(file);
    struct vt *vt = vt_of(file);
    uint8_t buf[256];
    ssize_t done = 0;

    if (vt == NULL) {
        return -ENXIO;
    }
    while (to->count > 0 && *pos >= 0 && (size_t)*pos < content_bytes(vt, kind)) {
        size_t skip, n, want, moved;
        uint64_t flags = spin_lock_irqsave(&vt->lock);
        n = fill(vt, kind, (size_t)*pos, buf, sizeof(buf), &skip);
        spin_unlock_irqrestore(&vt->lock, flags);
        want = MIN(n - skip, to->count);
        moved = iov_copy_to(to, buf + skip, want);
        *pos += (loff_t)moved;
        done += (ssize_t)moved;
        if (moved < want) {
            return done > 0 ? done : -EFAULT;
        }
    }
    return done;
}

static loff_t vcs_llseek(struct file *file, loff_t offset, int whence)
{
    struct vt *vt = vt_of(file);

    if (vt == NULL) {
        return -ENXIO;
    }
    return fixed_size_llseek(file, offset, whence, (loff_t)content_bytes(vt, kind_of(file)));
}

static int vcs_open(struct inode *inode, struct file *file)
{
    if (DEV_MINOR(inode->rdev) % 64 > VT_COUNT || vt_of(file) == NULL) {
        return -ENXIO;
    }
    file->mode |= FMODE_SEEK | FMODE_PREAD;
    return 0;
}

static const struct file_ops vcs_fops = {
    .open = vcs_open,
    .read = vcs_read,
    .llseek = vcs_llseek,
};

void vcs_init(void)
{
    if (chrdev_register(VCS_MAJOR, 0, 192, "vcs", &vcs_fops) < 0) {
        log_err("vt: cannot register vcs");
    }
}

void vcs_create_nodes(void)
{
    static const char *const prefixes[] = {"vcs", "vcsu", "vcsa"};
    char name[8];

    for (unsigned kind = 0; kind < ARRAY_SIZE(prefixes); kind++) {
        for (unsigned i = 0; i <= VT_COUNT; i++) {
            if (i == 0) {
                (void)str_copy(name, prefixes[kind], sizeof(name));
            } else {
                (void)ksnprintf(name, sizeof(name), "%s%u", prefixes[kind], i);
            }
            (void)devfs_create(name, S_IFCHR | 0660, DEV_MAKE(VCS_MAJOR, kind * 64 + i));
        }
    }
}
