/*
 * eventfd(2).
 */
#pragma once

#include "kernel/vfs/file.h"

/* A counter that starts with `value`, as a file with one reference. flags: EFD_*. -EINVAL, -ENOMEM. May sleep. */
int eventfd_create(unsigned value, int flags, struct file **ret_file);
