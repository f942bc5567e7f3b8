/*
 * The initramfs: newc cpio archives (plain or gzip, concatenated) unpacked into the root file system.
 * Source: Linux Documentation/driver-api/early-userspace/buffer-format.rst; cpio(5) "newc".
 */
#pragma once

#include "kernel/base/types.h"

struct boot_handoff;

/* Mount tmpfs as the root and unpack the handoff's initramfs into it. */
void initramfs_mount_root(const struct boot_handoff *handoff);
/*
 * Unpack into the working directory, with umask 0. A damaged archive is reported and unpacked as far as it goes; an entry that cannot be made, where
 * a directory that is not empty has its name for one, is passed over.
 */
void initramfs_unpack(const uint8_t *data, size_t len_bytes);

/* One file of an archive as the parser sees it: the sink makes it real (vfs in the kernel, a recorder in tests). */
struct cpio_entry {
    const char *name; /* NUL-terminated, no leading '/', no ".." component */
    uint32_t mode, uid, gid, nlink;
    uint64_t ino, mtime, size_bytes;
    uint64_t dev_major, dev_minor, rdev_major, rdev_minor;
};
struct cpio_sink {
    /* Hard links lead no further back than here: another archive has inode numbers of its own. May be NULL. */
    void (*trailer)(void *arg);
    int (*begin)(void *arg, const struct cpio_entry *entry);
    int (*data)(void *arg, const uint8_t *data, size_t len_bytes);
    int (*end)(void *arg);
    void *arg;
};
/* Feed a whole buffer of concatenated archives. 0, or the first error: -EILSEQ damaged, -EIO truncated, or the sink's. */
int cpio_unpack(const uint8_t *data, size_t len_bytes, const struct cpio_sink *sink);
