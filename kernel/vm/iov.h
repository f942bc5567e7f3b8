/*
 * A cursor over scattered memory: user iovecs, or one kernel buffer. Every read and write path moves its bytes through it, so that
 * a file system, a pipe or a terminal never knows where they come from.
 */
#pragma once

#include <linux/uio.h> /* UIO_MAXIOV */

#include "kernel/machine/user.h"

struct iov_iter {
    const struct iovec *iov; /* current segment */
    size_t nsegs;            /* with the current one */
    size_t offset;           /* into the current segment */
    size_t count;            /* bytes left in all */
    bool kernel;             /* iov_base are kernel pointers */
    bool nofault;            /* fail instead of resolving faults */
    struct iovec single;     /* storage for one segment */
};

/* The iterator points into itself: it is not to be copied by assignment. */
static inline void iov_init_vec(struct iov_iter *iter, const struct iovec *iov, size_t nsegs,
                                size_t count)
{
    iter->iov = iov;
    iter->nsegs = nsegs;
    iter->offset = 0;
    iter->count = count;
    iter->kernel = false;
    iter->nofault = false;
}
static inline void iov_init_user(struct iov_iter *iter, void __user *base, size_t len_bytes)
{
    iov_init_vec(iter, &iter->single, 1, len_bytes);
    iter->single.iov_base = base;
    iter->single.iov_len = len_bytes;
}
static inline void iov_init_kernel(struct iov_iter *iter, void *base, size_t len_bytes)
{
    iov_init_user(iter, base, len_bytes);
    iter->kernel = true;
}
/*
 * Copy an array of user iovecs in and check it (readv, writev): count <= UIO_MAXIOV, lengths sum below SSIZE_MAX.
 * `fast` holds up to nfast segments; *ret_vec is `fast` or a kmalloc'd array that the caller frees when it differs.
 */
int iov_import(const struct iovec __user *uvec, size_t nsegs, struct iovec *fast, size_t nfast,
               struct iovec **ret_vec, struct iov_iter *ret_iter);
/* Bytes moved; fewer than len when a fault stopped the copy (or the iterator ended). Advances. */
size_t iov_copy_to(struct iov_iter *iter, const void *src, size_t len_bytes); /* kernel -> iter */
size_t iov_copy_from(struct iov_iter *iter, void *dst, size_t len_bytes);     /* iter -> kernel */
size_t iov_zero(struct iov_iter *iter, size_t len_bytes);
void iov_advance(struct iov_iter *iter, size_t len_bytes);
void iov_revert(struct iov_iter *iter, size_t len_bytes);
