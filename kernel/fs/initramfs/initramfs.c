/*
 * The initramfs: mounts tmpfs as the root and makes the archive's entries real in it.
 *
 * Plain archives are parsed where the loader put them, so a file's data is copied once, into the page cache. A gzip member is
 * inflated piece by piece into the same parser; both kinds may follow one another, with zeros between.
 *
 * Hard links (nlink > 1): the first entry of an inode makes the file, later ones of the archive link to it by name; newc archives carry the
 * data with the last.
 */
#include "kernel/fs/initramfs.h"

#include <linux/stat.h>

#include "kernel/abi/boot.h"
#include "kernel/base/inflate.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"
#include "kernel/fs/initramfs/cpio.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/mount.h"
#include "kernel/vm/pagecache.h"

#define GZIP_MAGIC_0 0x1f /* RFC 1952, 2.3.1 */
#define GZIP_MAGIC_1 0x8b

/* A file with several names, by where it came from. */
struct unpack_link {
    struct unpack_link *next; /* of the same number, on another device */
    uint64_t dev_major, dev_minor;
    char name[];
};

struct unpack {
    struct cpio_entry entry; /* its name goes with the parser */
    char last[64];           /* the beginning of that name */
    struct file *file;       /* regular file being written, or NULL */
    char *target;            /* symbolic link: its text so far */
    size_t target_bytes;
    struct xarray links; /* by the inode's number: the first struct unpack_link */
    unsigned nentries, nfailed;
};

static void set_times(struct inode *inode, uint64_t mtime_s)
{
    spin_lock(&inode->attr_lock);
    inode->mtime = (ktime_t)mtime_s * NS_PER_S;
    spin_unlock(&inode->attr_lock);
}

/* Owner, set-ID bits and time of what was just made. The umask is 0, so plain modes are right already. */
static void set_attributes(const struct path *path, const struct cpio_entry *entry)
{
    if (entry->uid != 0 || entry->gid != 0) {
        (void)vfs_chown(path, entry->uid, entry->gid);
    }
    if ((entry->mode & 07000) != 0 && !S_ISLNK(entry->mode)) {
        (void)vfs_chmod(path, entry->mode & 07777);
    }
    set_times(path->dentry->inode, entry->mtime);
}

static int set_attributes_of(const struct cpio_entry *entry)
{
    struct path path;

    int err = path_lookup(AT_FDCWD, entry->name, 0, &path);
    if (err == 0) {
        set_attributes(&path, entry);
        path_put(&path);
    }
    return err;
}

/* What a later archive brings replaces what an earlier one brought, but for directories with something in them. */
static void remove_former(const struct cpio_entry *entry)
{
    if (vfs_unlink(AT_FDCWD, entry->name) == -EISDIR) {
        (void)vfs_rmdir(AT_FDCWD, entry->name);
    }
}

static int unpack_directory(const struct cpio_entry *entry)
{
    struct path path;

    if (path_lookup(AT_FDCWD, entry->name, LOOKUP_DIRECTORY, &path) == 0) {
        (void)vfs_chmod(&path, entry->mode & 07777);
        set_attributes(&path, entry);
        path_put(&path);
        return 0;
    }
    remove_former(entry);
    int err = vfs_mkdir(AT_FDCWD, entry->name, entry->mode);
    return err < 0 ? err : set_attributes_of(entry);
}

static struct unpack_link *find_link(const struct unpack *unpack, const struct cpio_entry *entry)
{
    struct unpack_link *link = xarray_load(&unpack->links, entry->ino);

    while (link != NULL &&
           !(link->dev_major == entry->dev_major && link->dev_minor == entry->dev_minor)) {
        link = link->next;
    }
    return link;
}

/* Link to the first name of the inode, or remember this one as the first. 1: linked. */
static int unpack_hard_link(struct unpack *unpack, const struct cpio_entry *entry)
{
    struct unpack_link *link = find_link(unpack, entry);

    if (link != NULL) {
        int err = vfs_link(AT_FDCWD, link->name, AT_FDCWD, entry->name, 0);
        return err < 0 ? err : 1;
    }
    size_t bytes = strlen(entry->name) + 1;
    link = kmalloc(sizeof(*link) + bytes);
    if (link == NULL) {
        return -ENOMEM;
    }
    *link = (struct unpack_link){.next = xarray_load(&unpack->links, entry->ino),
                                 .dev_major = entry->dev_major,
                                 .dev_minor = entry->dev_minor};
    memcpy(link->name, entry->name, bytes);
    int err = xarray_store(&unpack->links, entry->ino, link, NULL);
    if (err < 0) {
        kfree(link);
    }
    return err;
}

static int unpack_regular(struct unpack *unpack, const struct cpio_entry *entry)
{
    int linked = 0;

    if (entry->nlink > 1) {
        linked = unpack_hard_link(unpack, entry);
        if (linked == -EEXIST) {
            remove_former(entry);
            linked = unpack_hard_link(unpack, entry);
        }
        if (linked < 0) {
            return linked;
        }
    }
    if (linked == 0) {
        remove_former(entry);
    }
    return vfs_open(AT_FDCWD, entry->name, O_WRONLY | O_CREAT | O_NOFOLLOW, entry->mode & 0777, 0,
                    &unpack->file);
}

/* An entry that could not be made is told and passed over: more may depend on those that follow. Without memory none of them can be. */
static int unpack_go_on(struct unpack *unpack, int err)
{
    if (err >= 0 || err == -ENOMEM) {
        return err;
    }
    if (unpack->nfailed++ == 0) {
        log_err("initramfs: cannot make %s: error %d", unpack->entry.name, -err);
    }
    return 0;
}

static int make_entry(struct unpack *unpack, const struct cpio_entry *entry)
{
    switch (entry->mode & S_IFMT) {
    case S_IFDIR:
        return unpack_directory(entry);
    case S_IFREG:
        return unpack_regular(unpack, entry);
    case S_IFLNK:
        if (entry->size_bytes == 0 || entry->size_bytes >= CPIO_NAME_MAX) {
            return -EILSEQ;
        }
        unpack->target = kzalloc(entry->size_bytes + 1);
        unpack->target_bytes = 0;
        return unpack->target == NULL ? -ENOMEM : 0;
    default:
        remove_former(entry);
        int err = vfs_mknod(AT_FDCWD, entry->name, entry->mode,
                            DEV_MAKE((uint32_t)entry->rdev_major, (uint32_t)entry->rdev_minor));
        return err < 0 ? err : set_attributes_of(entry);
    }
}

static int unpack_begin(void *arg, const struct cpio_entry *entry)
{
    struct unpack *unpack = arg;

    unpack->entry = *entry;
    (void)str_copy(unpack->last, entry->name, sizeof(unpack->last));
    unpack->nentries++;
    return unpack_go_on(unpack, make_entry(unpack, entry));
}

static int unpack_data(void *arg, const uint8_t *data, size_t len_bytes)
{
    struct unpack *unpack = arg;

    if (unpack->target != NULL) {
        memcpy(unpack->target + unpack->target_bytes, data, len_bytes);
        unpack->target_bytes += len_bytes;
    }
    while (unpack->file != NULL && len_bytes > 0) {
        struct iov_iter from;
        iov_init_kernel(&from, (void *)(uintptr_t)data, len_bytes);
        ssize_t n = vfs_write(unpack->file, &from, NULL);
        if (n <= 0) {
            return n == 0 ? -EIO : (int)n;
        }
        data += n;
        len_bytes -= (size_t)n;
    }
    return 0;
}

static int unpack_end(void *arg)
{
    struct unpack *unpack = arg;
    int err = 0;

    if (unpack->target != NULL) {
        remove_former(&unpack->entry);
        err = vfs_symlink(unpack->target, AT_FDCWD, unpack->entry.name);
        if (err == 0) {
            err = set_attributes_of(&unpack->entry);
        }
        err = unpack_go_on(unpack, err);
        kfree(unpack->target);
        unpack->target = NULL;
    }
    if (unpack->file != NULL) {
        set_attributes(&unpack->file->path, &unpack->entry);
        file_put(unpack->file);
        unpack->file = NULL;
    }
    return err;
}

static void unpack_trailer(void *arg)
{
    struct unpack *unpack = arg;
    struct unpack_link *link;
    uint64_t ino = 0;

    xarray_for_each (&unpack->links, ino, UINT64_MAX, link) {
        while (link != NULL) {
            struct unpack_link *next = link->next;
            kfree(link);
            link = next;
        }
    }
    xarray_fini(&unpack->links);
}

static int feed_stream(void *arg, const uint8_t *data, size_t len_bytes)
{
    return cpio_stream_feed(arg, data, len_bytes);
}

/* One gzip member; *ret_used is its length. */
static int unpack_gzip(struct cpio_stream *stream, const uint8_t *data, size_t len_bytes,
                       size_t *ret_used)
{
    const struct inflate_sink sink = {.write = feed_stream, .arg = stream};
    struct inflate_state *state = kvmalloc(inflate_state_size());

    if (state == NULL) {
        return -ENOMEM;
    }
    int err = gzip_member(state, data, len_bytes, &sink, ret_used);
    kvfree(state);
    return err;
}

/* Where the next gzip member may begin inside plain archives is not known in advance, so those are fed up to their trailer. */
int cpio_unpack(const uint8_t *data, size_t len_bytes, const struct cpio_sink *sink)
{
    struct cpio_stream *stream = kvmalloc(sizeof(*stream));
    size_t pos = 0;
    int err = 0;

    if (stream == NULL) {
        return -ENOMEM;
    }
    cpio_stream_init(stream, sink);
    while (err == 0 && pos < len_bytes) {
        if (stream->state == CPIO_BETWEEN && data[pos] == 0) {
            pos++;
            continue;
        }
        size_t used = 0;
        if (cpio_stream_between(stream) && len_bytes - pos >= 2 && data[pos] == GZIP_MAGIC_0 &&
            data[pos + 1] == GZIP_MAGIC_1) {
            err = unpack_gzip(stream, data + pos, len_bytes - pos, &used);
        } else {
            err = cpio_stream_feed_archive(stream, data + pos, len_bytes - pos, &used);
        }
        pos += used;
    }
    if (err == 0 && !cpio_stream_between(stream)) {
        err = -EIO;
    }
    kvfree(stream);
    return err;
}

/* What Linux' built-in archive holds: a console for init's standard streams before anything is mounted. */
static void make_defaults(void)
{
    (void)vfs_mkdir(AT_FDCWD, "/dev", 0755);
    (void)vfs_mknod(AT_FDCWD, "/dev/console", S_IFCHR | 0600, DEV_MAKE(5, 1));
    (void)vfs_mkdir(AT_FDCWD, "/root", 0700);
}

void initramfs_unpack(const uint8_t *data, size_t len_bytes)
{
    struct unpack unpack = {0};
    const struct cpio_sink sink = {.trailer = unpack_trailer,
                                   .begin = unpack_begin,
                                   .data = unpack_data,
                                   .end = unpack_end,
                                   .arg = &unpack};

    xarray_init(&unpack.links, &pagecache_xarray_memory);
    int err = cpio_unpack(data, len_bytes, &sink);
    if (err < 0) {
        log_err("initramfs: damaged after %u entries (last: %s): error %d", unpack.nentries,
                unpack.nentries == 0 ? "none" : unpack.last, -err);
    } else {
        log_info("initramfs: %u entries, %llu KiB", unpack.nentries,
                 (unsigned long long)len_bytes / 1024);
    }
    if (unpack.nfailed > 1) {
        log_err("initramfs: %u entries could not be made", unpack.nfailed);
    }
    file_put(unpack.file);
    kfree(unpack.target);
    unpack_trailer(&unpack);
}

/* With the mount options that the parameter initramfs_options gives, as Linux has it from 6.18 on; wrong ones are told and left out. */
static int mount_root(void)
{
    const char *given = param_string("initramfs_options");
    char options[128];

    if (given != NULL) {
        int err = -EINVAL;
        if (ksnprintf(options, sizeof(options), "mode=0755,%s", given) < (int)sizeof(options)) {
            err = vfs_mount_root("tmpfs", options);
        }
        if (err == 0) {
            return 0;
        }
        log_err("initramfs: cannot mount the root with \"%s\": error %d", given, -err);
    }
    return vfs_mount_root("tmpfs", "mode=0755");
}

void initramfs_mount_root(const struct boot_handoff *handoff)
{
    int err = mount_root();
    struct fs_context *fs = current_thread()->fs;

    if (err < 0) {
        panic("initramfs: cannot mount the root: error %d", -err);
    }
    uint32_t umask = fs->umask;
    fs->umask = 0;
    make_defaults();
    if (handoff->initramfs == 0 || handoff->initramfs_size_bytes == 0) {
        log_warn("initramfs: none was loaded");
    } else {
        initramfs_unpack(phys_to_virt(handoff->initramfs), handoff->initramfs_size_bytes);
    }
    fs->umask = umask;
}
