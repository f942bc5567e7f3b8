/*
 * Extensible structures in user memory.
 */
#pragma once

#include "kernel/machine/user.h"

/*
 * Copy an extensible structure (openat2(2), clone3(2)): what user space gives beyond ours must be zero (-E2BIG), what it does
 * not give is zero. -EFAULT.
 */
int struct_from_user(void *dst, size_t known_size, const void __user *src, size_t user_size);
