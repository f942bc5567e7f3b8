/*
 * What the two files of socket calls share.
 */
#pragma once

#include "kernel/net/socket.h"
#include "kernel/proc/process.h"
#include "kernel/vfs/fdtable.h"

/* The socket behind a descriptor until fd_return(*ret_ref); NULL: *ret_err is -EBADF or -ENOTSOCK. */
struct socket *socket_borrow(int fd, struct fd_ref *ret_ref, int *ret_err);
/* An address from user space; len as the user said it. -EINVAL, -EFAULT. */
int socket_name_in(const void __user *name, int len, struct __kernel_sockaddr_storage *ret_name);
/* An address to user space: as much as *to_len has room for; *to_len becomes its length. -EINVAL, -EFAULT. */
int socket_name_out(const struct __kernel_sockaddr_storage *name, int len, void __user *to,
                    int __user *to_len);
