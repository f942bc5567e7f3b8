/*
 * swapon(2) and swapoff(2), after permission and flags were checked. May sleep, swapoff for long.
 */
#pragma once

#include "kernel/base/types.h"

/*
 * Make the block device or file `name` swap space; priority and discard as in struct swap_area_info. Errors of open(2); -EBUSY: it is in
 * use; -EINVAL: it has no header of mkswap(8), or cannot be swap space; -EPERM: there are too many; -ENOMEM.
 */
int vfs_swapon(const char *name, int priority, bool discard);
/* Errors of open(2); -EINVAL: it is no swap space; -ENOMEM: there is not enough memory for what is in it; -EINTR. */
int vfs_swapoff(const char *name);
