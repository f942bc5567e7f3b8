/*
 * The system call table: one list (kernel/linux/syscalls.def) of number, name and typed arguments. Dispatch and the tracer are both
 * made from it.
 *
 * A handler takes the arguments with their C types and returns a value or a negative errno:
 *     SYSCALL(openat)(int dirfd, const char __user *path, int flags, uint32_t mode)
 * syscalls.def line:
 *     SYSCALL_ENTRY(257, openat, 4, FD, PATH, OPEN_FLAGS, MODE)
 */
#pragma once

#include "kernel/base/errno.h"
#include "kernel/machine/user.h"

#define SYSCALL(name) int64_t sys_##name
