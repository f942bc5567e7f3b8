/*
 * Descriptors as calls give them to user space.
 */
#pragma once

#include "kernel/machine/user.h"

struct file;

/*
 * pipe2(2), socketpair(2): two new descriptors for these files, told to user space. The references are taken over, also on failure: -EMFILE,
 * -ENOMEM, -EFAULT. May sleep.
 */
int fd_give_two(struct file *const files[2], bool cloexec, int __user *ufds);
