/*
 * Trees of generated files: built from tables once, immutable afterwards, so look-ups need no lock.
 */
#include "kernel/base/string.h"
#include "kernel/fs/textfs/text.h"
#include "kernel/mm/kmalloc.h"

void text_tree_init(struct text_tree *tree, uint64_t first_ino)
{
    memset(tree, 0, sizeof(*tree));
    tree->root.ino = first_ino;
    tree->root.parent = &tree->root;
    tree->last_ino = first_ino;
}

/* Less than, equal, greater than 0 as names sort. */
static int name_compare(const struct text_node *node, const char *name, unsigned len)
{
    int order = memcmp(node->name, name, MIN(node->name_len, len));

    return order != 0 ? order : (int)node->name_len - (int)len;
}

const struct text_node *text_node_find(const struct text_node *dir, const char *name, unsigned len)
{
    for (const struct text_node *node = dir->child; node != NULL; node = node->sibling) {
        if (node->name_len == len && memcmp(node->name, name, len) == 0) {
            return node;
        }
    }
    return NULL;
}

const struct text_node *text_node_at(const struct text_node *dir, unsigned index)
{
    const struct text_node *node = dir->child;

    while (node != NULL && index > 0) {
        node = node->sibling;
        index--;
    }
    return node;
}

/* The child of this name, made if it is missing; NULL: no memory. */
static struct text_node *child_make(struct text_tree *tree, struct text_node *dir, const char *name,
                                    unsigned len)
{
    struct text_node **link = &dir->child, *node;

    while (*link != NULL && name_compare(*link, name, len) < 0) {
        link = &(*link)->sibling;
    }
    if (*link != NULL && name_compare(*link, name, len) == 0) {
        return *link;
    }
    node = kzalloc(sizeof(*node));
    if (node != NULL) {
        node->name = name;
        node->name_len = len;
        node->parent = dir;
        node->gate = dir->gate;
        node->ino = ++tree->last_ino;
        node->sibling = *link;
        *link = node;
    }
    return node;
}

int text_tree_add(struct text_tree *tree, const struct text_file *file)
{
    struct text_node *node = &tree->root;
    const char *name = file->path;

    for (;;) {
        const char *slash = strchr(name, '/');
        unsigned len = slash == NULL ? (unsigned)strlen(name) : (unsigned)(slash - name);
        node = child_make(tree, node, name, len);
        if (node == NULL) {
            return -ENOMEM;
        }
        if (slash == NULL) {
            break;
        }
        name = slash + 1;
        if (*name == '\0') {
            node->gate = file->there != NULL ? file : node->gate;
            return 0; /* a directory, that others may fill or mount on */
        }
    }
    if (node->file != NULL || node->child != NULL) {
        return -EEXIST;
    }
    node->file = file;
    node->gate = file->there != NULL ? file : node->gate;
    return 0;
}

static bool node_is_there(const struct text_node *node)
{
    return node->gate == NULL || node->gate->there(node->gate->arg);
}

/* ---- inodes ---- */

static int tree_lookup(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode)
{
    const struct text_node *node = text_node_find(text_inode_node(dir), name, len);

    if (node == NULL || !node_is_there(node)) {
        return -ENOENT;
    }
    *ret_inode = text_inode_create(dir->super, node);
    return *ret_inode == NULL ? -ENOMEM : 0;
}

/* Modes and owners are the kernel's. */
static int refuse_setattr(struct inode *inode, const struct inode_attr *attr)
{
    (void)inode;
    return (attr->valid & (ATTR_MODE | ATTR_UID | ATTR_GID)) != 0 ? -EPERM : 0;
}

static bool tree_revalidate(struct inode *inode)
{
    return node_is_there(text_inode_node(inode));
}

static const struct inode_ops dir_ops = {.lookup = tree_lookup, .setattr = refuse_setattr};
static const struct inode_ops file_ops = {.setattr = refuse_setattr};
/* Those that come and go. */
static const struct inode_ops gated_dir_ops = {
    .lookup = tree_lookup, .revalidate = tree_revalidate, .setattr = refuse_setattr};
static const struct inode_ops gated_file_ops = {.revalidate = tree_revalidate,
                                                .setattr = refuse_setattr};

bool text_emit_dots(struct dir_context *ctx, uint64_t ino, uint64_t parent_ino)
{
    if (ctx->pos == 0) {
        if (!ctx->emit(ctx, ".", 1, ino, S_IFDIR >> 12, 1)) {
            return false;
        }
        ctx->pos = 1;
    }
    if (ctx->pos == 1) {
        if (!ctx->emit(ctx, "..", 2, parent_ino, S_IFDIR >> 12, 2)) {
            return false;
        }
        ctx->pos = 2;
    }
    return true;
}

static uint32_t node_mode(const struct text_node *node)
{
    const struct text_file *file = node->file;

    if (file == NULL || file->dir_ops != NULL) {
        return S_IFDIR | 0555;
    }
    if (file->link_target != NULL) {
        return S_IFLNK | 0777;
    }
    return S_IFREG | (file->mode == 0 ? 0444 : file->mode);
}

bool text_emit_nodes(struct dir_context *ctx, const struct text_node *dir)
{
    const struct text_node *node = text_node_at(dir, (unsigned)ctx->pos - 2);

    for (; node != NULL; node = node->sibling) {
        if (node_is_there(node) && !ctx->emit(ctx, node->name, node->name_len, node->ino,
                                              node_mode(node) >> 12, ctx->pos + 1)) {
            return false;
        }
        ctx->pos++;
    }
    return true;
}

static int tree_iterate(struct file *file, struct dir_context *ctx)
{
    const struct text_node *dir = text_inode_node(file->inode);

    if (text_emit_dots(ctx, dir->ino, dir->parent->ino)) {
        (void)text_emit_nodes(ctx, dir);
    }
    return 0;
}

static const struct file_ops dir_fops = {.iterate = tree_iterate, .llseek = generic_file_llseek};

static int show_generate(struct text *text, struct file *file)
{
    const struct text_file *entry = text_inode_node(file->inode)->file;

    return entry->show != NULL ? entry->show(text) : entry->show_for(text, entry->arg);
}

static int show_open(struct inode *inode, struct file *file)
{
    const struct text_file *entry = text_inode_node(inode)->file;
    bool shows = entry->show != NULL || entry->show_for != NULL;

    return text_open(file, shows ? show_generate : NULL);
}

static int take_value(struct file *file, char *value, size_t len)
{
    const struct text_file *entry = text_inode_node(file->inode)->file;

    return entry->write != NULL ? entry->write(value, len)
                                : entry->write_for(entry->arg, value, len);
}

static ssize_t show_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    const struct text_file *entry = text_inode_node(file->inode)->file;
    ssize_t n;

    if (entry->write == NULL && entry->write_for == NULL) {
        return -EIO;
    }
    n = text_write_value(from, file, take_value);
    if (n > 0) {
        *pos += n;
    }
    return n;
}

static const struct file_ops show_fops = {
    .open = show_open,
    .release = text_release,
    .read = text_read,
    .write = show_write,
    .llseek = text_llseek,
};

struct inode *text_inode_alloc(struct super *super, size_t size_bytes, uint64_t ino, uint32_t mode)
{
    struct inode *inode = kzalloc(size_bytes);

    if (inode != NULL) {
        inode_construct(inode);
        inode_init(inode, super, NULL, mode);
        inode->uid = 0;
        inode->gid = 0;
        inode->ino = ino;
        inode->nlink = (mode & S_IFMT) == S_IFDIR ? 2 : 1;
        if ((mode & S_IFMT) == S_IFREG) {
            pagecache_init(&inode->cache, NULL, inode);
        }
    }
    return inode;
}

struct inode *text_inode_create(struct super *super, const struct text_node *node)
{
    struct inode *inode = text_inode_alloc(super, sizeof(*inode), node->ino, node_mode(node));

    if (inode == NULL) {
        return NULL;
    }
    inode->private = (void *)(uintptr_t)node;
    if (node->file == NULL) {
        inode->ops = node->gate == NULL ? &dir_ops : &gated_dir_ops;
        inode->fops = &dir_fops;
    } else {
        inode->ops = node->file->dir_ops != NULL ? node->file->dir_ops
                     : node->gate == NULL        ? &file_ops
                                                 : &gated_file_ops;
        inode->link_target = node->file->link_target;
        inode->fops = node->file->fops != NULL ? node->file->fops : &show_fops;
    }
    return inode;
}

const struct text_node *text_inode_node(const struct inode *inode)
{
    return inode->private;
}
