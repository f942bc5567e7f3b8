/*
 * Arguments that live in user memory: path names and extensible structures.
 */
#pragma once

#include <linux/limits.h>

#include "kernel/machine/user.h"

/* A path name copied from user space; short ones need no heap. */
struct path_buf {
    char *name;
    char inline_name[240];
};

/* -EFAULT, -ENAMETOOLONG, -ENOMEM; "" is -ENOENT unless allow_empty. Pair with path_buf_put() after success. */
int path_buf_get(struct path_buf *buf, const char __user *upath, bool allow_empty);
void path_buf_put(struct path_buf *buf);

/*
 * Copy an extensible structure: what user space gives beyond ours must be zero (-E2BIG), what it does not give is zero.
 * -EFAULT.
 */
int struct_from_user(void *dst, size_t known_size, const void __user *src, size_t user_size);
