/*
 * The cursor over scattered memory: copying through it, moving it forth and back, and taking user vectors in.
 *
 * Invariant: offset < iov->iov_len, or count is 0, or the segment is empty and the next look steps over it.
 */
#include "kernel/vm/iov.h"

#include "kernel/base/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/thread.h"

enum iov_direction { IOV_TO, IOV_FROM, IOV_CLEAR };

/* Step to the segment that holds the next byte. count > 0. */
static inline void iov_settle(struct iov_iter *iter)
{
    while (iter->offset >= iter->iov->iov_len) {
        iter->offset -= iter->iov->iov_len;
        iter->iov++;
        iter->nsegs--;
    }
}

/* Clear page by page: what lies before a page that cannot be written counts. Returns the bytes left. */
static size_t iov_clear_user(uint8_t __user *at, size_t n)
{
    while (n > 0) {
        size_t chunk = MIN(n, (size_t)(PAGE_SIZE - (uintptr_t)at % PAGE_SIZE));
        if (clear_user(at, chunk) < 0) {
            break;
        }
        at += chunk;
        n -= chunk;
    }
    return n;
}

/* Bytes of one segment not moved. */
static inline size_t iov_move(const struct iov_iter *iter, void *at, void *buf, size_t n,
                              enum iov_direction direction)
{
    if (iter->kernel) {
        if (direction == IOV_TO) {
            memcpy(at, buf, n);
        } else if (direction == IOV_FROM) {
            memcpy(buf, at, n);
        } else {
            memset(at, 0, n);
        }
        return 0;
    }
    if (direction == IOV_TO) {
        return copy_to_user_partial(at, buf, n);
    }
    if (direction == IOV_FROM) {
        return copy_from_user_partial(buf, at, n);
    }
    return iov_clear_user(at, n);
}

static inline size_t iov_run(struct iov_iter *iter, void *buf, size_t len,
                             enum iov_direction direction)
{
    size_t done = 0;

    len = MIN(len, iter->count);
    while (done < len) {
        iov_settle(iter);
        size_t n = MIN(len - done, iter->iov->iov_len - iter->offset);
        uint8_t *at = user_at((uint8_t *)iter->iov->iov_base, iter->offset);
        void *from = direction == IOV_CLEAR ? NULL : (uint8_t *)buf + done;
        size_t left = iov_move(iter, at, from, n, direction);
        iter->offset += n - left;
        iter->count -= n - left;
        done += n - left;
        if (unlikely(left > 0)) {
            break;
        }
    }
    return done;
}

/* With `nofault`, faults are not resolved while this runs. */
static inline size_t iov_run_checked(struct iov_iter *iter, void *buf, size_t len,
                                     enum iov_direction direction)
{
    if (likely(!iter->nofault)) {
        return iov_run(iter, buf, len, direction);
    }
    current_thread()->fault_disabled++;
    size_t done = iov_run(iter, buf, len, direction);
    current_thread()->fault_disabled--;
    return done;
}

size_t iov_copy_to(struct iov_iter *iter, const void *src, size_t len_bytes)
{
    return iov_run_checked(iter, (void *)(uintptr_t)src, len_bytes, IOV_TO);
}

size_t iov_copy_from(struct iov_iter *iter, void *dst, size_t len_bytes)
{
    return iov_run_checked(iter, dst, len_bytes, IOV_FROM);
}

size_t iov_zero(struct iov_iter *iter, size_t len_bytes)
{
    return iov_run_checked(iter, NULL, len_bytes, IOV_CLEAR);
}

void iov_advance(struct iov_iter *iter, size_t len_bytes)
{
    size_t n = MIN(len_bytes, iter->count);

    iter->offset += n;
    iter->count -= n;
    if (iter->count > 0) {
        iov_settle(iter);
    }
}

void iov_revert(struct iov_iter *iter, size_t len_bytes)
{
    iter->count += len_bytes;
    while (iter->offset < len_bytes) {
        len_bytes -= iter->offset;
        iter->iov--;
        iter->nsegs++;
        iter->offset = iter->iov->iov_len;
    }
    iter->offset -= len_bytes;
}

/* readv(2): EINVAL for a length that is negative as a ssize_t or a sum that overflows it. */
static int iov_check(struct iovec *vec, size_t nsegs, size_t *ret_total)
{
    size_t total = 0;

    for (size_t i = 0; i < nsegs; i++) {
        size_t len = vec[i].iov_len;
        if ((ssize_t)len < 0 || (ssize_t)(total + len) < 0) {
            return -EINVAL;
        }
        if (!user_range_ok(vec[i].iov_base, len)) {
            return -EFAULT;
        }
        total += len;
    }
    *ret_total = total;
    return 0;
}

int iov_import(const struct iovec __user *uvec, size_t nsegs, struct iovec *fast, size_t nfast,
               struct iovec **ret_vec, struct iov_iter *ret_iter)
{
    struct iovec *vec = fast;
    size_t total;

    if (nsegs > UIO_MAXIOV) {
        return -EINVAL;
    }
    if (nsegs > nfast && (vec = kmalloc(nsegs * sizeof(*vec))) == NULL) {
        return -ENOMEM;
    }
    int err = copy_from_user(vec, uvec, nsegs * sizeof(*vec));
    if (err == 0) {
        err = iov_check(vec, nsegs, &total);
    }
    if (err < 0) {
        if (vec != fast) {
            kfree(vec);
        }
        return err;
    }
    iov_init_vec(ret_iter, vec, nsegs, total);
    *ret_vec = vec;
    return 0;
}
