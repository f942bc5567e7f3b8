/*
 * Files whose content is text made on demand: the common part of procfs, sysfs and debugfs.
 *
 *   struct text            a growing buffer that show functions print into
 *   text_open() ...        file operations over a generator: the text is made by the first read, and anew by a read at position 0
 *   text_open_stream() ... the same for what may be long: made piece by piece while it is read
 *   struct text_tree       directories and files from tables of struct text_file, sorted by name
 *
 * Writes hand the whole value (at most TEXT_VALUE_MAX bytes, NUL-terminated, one trailing newline removed) to the file's write function.
 */
#pragma once

#include "kernel/sched/mutex.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/mount.h"

#define TEXT_VALUE_MAX 4095u

/* ---- the buffer ---- */

struct text {
    char *buf;
    size_t len, size;
    bool failed; /* memory ran out: the reader gets -ENOMEM */
};

void text_init(struct text *text);
void text_fini(struct text *text);
/* Forget the content, keep the memory. */
void text_reset(struct text *text);
void text_printf(struct text *text, const char *fmt, ...) __printf(2, 3);
void text_puts(struct text *text, const char *s);
void text_putc(struct text *text, char c);
void text_write(struct text *text, const void *data, size_t len_bytes);
/* A number in decimal behind a blank: most of /proc is made of these, and they cost less than a format. */
void text_number(struct text *text, uint64_t value);
/* A number in decimal, right-aligned in `width` columns. */
void text_decimal(struct text *text, uint64_t value, unsigned width);
/* A number in hexadecimal with at least `digits` digits. */
void text_hex(struct text *text, uint64_t value, unsigned digits);
/* The first n bits of a bitmap as Linux shows sets of CPUs and nodes: "0-3,6", or "ff,00000041" in groups of 32 bits. No newline. (bits.c) */
void text_bit_list(struct text *text, const uint64_t *bits, unsigned n);
void text_bit_mask(struct text *text, const uint64_t *bits, unsigned n);
/* Blanks up to column `column` of the line that began at text->len == line. */
void text_pad(struct text *text, size_t line, size_t column);
/* A byte string with white space and backslash as \ooo, as fstab-like files have it. */
void text_escaped(struct text *text, const char *s, const char *which);
/* Space for `n` bytes at the end; NULL: no memory. The caller adds what it used to text->len. */
char *text_reserve(struct text *text, size_t n);

/* ---- files ---- */

typedef int text_generate_fn(struct text *text, struct file *file);

/* For a file_ops.open: prepares file->private. -ENOMEM. The other three go with it. generate NULL: reading gives -EINVAL. */
int text_open(struct file *file, text_generate_fn *generate);
/*
 * The next piece of a long text: add to `text` until text_is_enough(), starting at *cursor (0 at first, its meaning is the file's), which is
 * advanced. 1: there may be more, 0: that was the end, or -errno. A reader sees each piece as of its own time.
 */
typedef int text_next_fn(struct text *text, struct file *file, uint64_t *cursor);
int text_open_stream(struct file *file, text_next_fn *next);
#define TEXT_PIECE_BYTES 16384u
static inline bool text_is_enough(const struct text *text)
{
    return text->len >= TEXT_PIECE_BYTES || text->failed;
}
void text_release(struct file *file);
ssize_t text_read(struct file *file, struct iov_iter *to, loff_t *pos);
loff_t text_llseek(struct file *file, loff_t offset, int whence);
/* Collect a written value and hand it to `take`; for file_ops.write. */
typedef int text_take_fn(struct file *file, char *value, size_t len_bytes);
ssize_t text_write_value(struct iov_iter *from, struct file *file, text_take_fn *take);

/* ---- trees ---- */

/* One file, one registration line in the linker set of its file system. */
struct text_file {
    const char *path;                            /* below the root: "sys/kernel/hostname" */
    uint32_t mode;                               /* permission bits; 0: 0444 */
    int (*show)(struct text *text);              /* 0 or -errno */
    int (*write)(char *value, size_t len_bytes); /* NULL: read-only */
    const char *link_target;                     /* a symbolic link instead */
    const struct file_ops *fops;     /* operations of its own instead of show and write */
    const struct inode_ops *dir_ops; /* a directory whose names come and go; with fops */
    /* The same with an argument, for files that many things have. */
    int (*show_for)(struct text *text, unsigned arg);
    int (*write_for)(unsigned arg, char *value, size_t len_bytes);
    unsigned arg;
    /*
     * The file, or the directory and all that is added below it later, is there while this says so; NULL: always. Any context that may sleep. The
     * file system's type has FS_NO_NEGATIVE.
     */
    bool (*there)(unsigned arg);
};

struct text_node {
    const char *name; /* not terminated: name_len bytes of file->path */
    unsigned name_len;
    struct text_node *parent, *child, *sibling; /* children sorted by name */
    const struct text_file *file;               /* NULL: a directory */
    const struct text_file *gate;               /* whose `there` decides; NULL: always there */
    uint64_t ino;
};

struct text_tree {
    struct text_node root;
    uint64_t last_ino;
};

void text_tree_init(struct text_tree *tree, uint64_t first_ino);
/* -ENOMEM, -EEXIST. Before the first mount only: the tree is immutable afterwards. A path that ends in '/' makes a directory. */
int text_tree_add(struct text_tree *tree, const struct text_file *file);
/* Nodes live for ever. NULL: none. */
const struct text_node *text_node_find(const struct text_node *dir, const char *name, unsigned len);
const struct text_node *text_node_at(const struct text_node *dir, unsigned index);

/* A fresh inode for a node, owned by root; NULL: no memory. The file system's destroy_inode frees it with kfree(). */
struct inode *text_inode_create(struct super *super, const struct text_node *node);
/* An empty inode for the file system's own kinds, embedded first in `size_bytes` of zeroed memory. */
struct inode *text_inode_alloc(struct super *super, size_t size_bytes, uint64_t ino, uint32_t mode);
const struct text_node *text_inode_node(const struct inode *inode);
/* For iterate functions: ".", ".." at positions 0 and 1. False: the walk ended. */
bool text_emit_dots(struct dir_context *ctx, uint64_t ino, uint64_t parent_ino);
/* Children of a node from position 2 on; true: all told, ctx->pos is past them. */
bool text_emit_nodes(struct dir_context *ctx, const struct text_node *dir);

/* ---- file systems that are one tree of text files ---- */

struct text_fs {
    const char *name;
    uint64_t magic;                           /* for statfs(2) */
    uint32_t root_mode;                       /* permission bits of the top directory */
    void (*populate)(struct text_tree *tree); /* adds what is not in the linker set; may be NULL */
    struct mutex lock;
    struct text_tree tree; /* [lock] until made */
    bool made;             /* [lock] */
};

/* The files registered in the linker set [start, stop) as a new superblock; for filesystem.mount. -ENOMEM. */
int text_fs_mount(struct text_fs *fs, const struct text_file *start, const struct text_file *stop,
                  const struct filesystem *type, const char *source, struct super **ret_super);
