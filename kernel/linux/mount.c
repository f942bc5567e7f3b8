/*
 * mount(2), umount2(2), pivot_root(2).
 */
#include <linux/capability.h>
#include <linux/fcntl.h>
#include <linux/mount.h>

#include "kernel/linux/syscall.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/file.h"
#include "kernel/vfs/mount.h"

/* Options: a string of at most a page. NULL stays NULL. */
static int string_from_user(const char __user *ustring, char **ret_string)
{
    if (ustring == NULL) {
        *ret_string = NULL;
        return 0;
    }
    char *buf = kmalloc(PAGE_SIZE);
    if (buf == NULL) {
        return -ENOMEM;
    }
    ssize_t len = strncpy_from_user(buf, ustring, PAGE_SIZE);
    if (len < 0) {
        kfree(buf);
        return len == -ENAMETOOLONG ? -EINVAL : (int)len;
    }
    *ret_string = buf;
    return 0;
}

SYSCALL5(mount, const char __user *, usource, const char __user *, utarget, const char __user *,
         utype, unsigned long, flags, const char __user *, uoptions)
{
    char *source, *type, *options;
    struct path target;

    if (!current_has_cap(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    int err = string_from_user(usource, &source);
    if (err < 0) {
        return err;
    }
    err = string_from_user(utype, &type);
    if (err < 0) {
        goto free_source;
    }
    err = string_from_user(uoptions, &options);
    if (err < 0) {
        goto free_type;
    }
    err = path_lookup_user(AT_FDCWD, utarget, LOOKUP_FOLLOW, &target);
    if (err < 0) {
        goto free_options;
    }
    err = vfs_mount(source, &target, type, flags, options);
    path_put(&target);

free_options:
    kfree(options);
free_type:
    kfree(type);
free_source:
    kfree(source);
    return err;
}

SYSCALL2(umount2, const char __user *, utarget, int, flags)
{
    struct path target;

    if ((flags & ~0xf) != 0) {
        return -EINVAL;
    }
    if (!current_has_cap(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    int err = path_lookup_user(AT_FDCWD, utarget,
                               (flags & 8 /* UMOUNT_NOFOLLOW */) != 0 ? 0 : LOOKUP_FOLLOW, &target);
    if (err == 0) {
        err = vfs_umount(&target, flags);
        path_put(&target);
    }
    return err;
}

SYSCALL2(pivot_root, const char __user *, unew, const char __user *, uold)
{
    struct path new_root, put_old;

    if (!current_has_cap(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    int err = path_lookup_user(AT_FDCWD, unew, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &new_root);
    if (err < 0) {
        return err;
    }
    err = path_lookup_user(AT_FDCWD, uold, LOOKUP_FOLLOW | LOOKUP_DIRECTORY, &put_old);
    if (err == 0) {
        err = vfs_pivot_root(&new_root, &put_old);
        path_put(&put_old);
    }
    path_put(&new_root);
    return err;
}
