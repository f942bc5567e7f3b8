/*
 * splice(2) and kin, over the ring of slots that a pipe is.
 *
 * A pipe stays locked while a file is read into it or written from it, so that what was read has a place and what could not be written
 * stays where it was. Who waits for the pipe meanwhile waits for the file.
 */
#include "kernel/ipc/splice.h"

#include <asm/signal.h>

#include "kernel/ipc/pipe_private.h"

static bool wants_nonblock(const struct file *file)
{
    return (file->flags & O_NONBLOCK) != 0;
}

/* Room in `pipe`, which is locked, or why not. *ret_slept: another one's wake may have come to us. */
static int wait_room(struct pipe *pipe, bool nonblock, bool *ret_slept)
{
    while (pipe->readers != 0 && pipe_full(pipe)) {
        if (nonblock) {
            return -EAGAIN;
        }
        *ret_slept = true;
        int err = pipe_wait_writable(pipe, false);
        if (err < 0) {
            return err;
        }
    }
    if (pipe->readers == 0) {
        file_signal_current(SIGPIPE);
        return -EPIPE;
    }
    return 0;
}

/* 1: there is something to read; 0: there never will be; -EAGAIN, -ERESTARTSYS. Locked. */
static int wait_data(struct pipe *pipe, bool nonblock, bool *ret_slept)
{
    while (pipe_empty(pipe)) {
        if (pipe->writers == 0) {
            return 0;
        }
        if (nonblock) {
            return -EAGAIN;
        }
        *ret_slept = true;
        int err = pipe_wait_readable(pipe);
        if (err < 0) {
            return err;
        }
    }
    return 1;
}

/* After the lock is free: writers hear of room, and readers of what we leave them. */
static void wake_after_take(struct pipe *pipe, bool was_full, bool slept)
{
    if ((was_full || atomic_load_relaxed(&pipe->tells_writers)) && !pipe_full(pipe)) {
        pipe_wake_writers(pipe);
        async_tell(&pipe->write_async, POLL_OUT);
    }
    if (slept && !pipe_empty(pipe)) {
        pipe_wake_readers(pipe);
    }
}

static void wake_after_put(struct pipe *pipe, bool was_empty, bool slept)
{
    if ((was_empty || atomic_load_relaxed(&pipe->watched)) && !pipe_empty(pipe)) {
        pipe_wake_readers(pipe);
        async_tell(&pipe->read_async, POLL_IN);
    }
    if (slept && !pipe_full(pipe)) {
        pipe_wake_writers(pipe);
    }
}

/* ---- a file into a pipe ---- */

/* Fill a new slot with one reading. Bytes, 0 at the end of the file, or an error. Locked, not full. */
static ssize_t put_from_file(struct pipe *pipe, struct file *in, loff_t *pos, size_t count)
{
    struct page *page = pipe_page_get(pipe);
    struct iov_iter iter;

    if (page == NULL) {
        return -ENOMEM;
    }
    iov_init_kernel(&iter, page_to_virt(page), MIN(count, (size_t)PAGE_SIZE));
    ssize_t got = vfs_read(in, &iter, pos);
    if (got <= 0) {
        pipe_page_drop(pipe, page);
        return got;
    }
    *pipe_slot(pipe, pipe->head) = (struct pipe_slot){.page = page, .len = (uint32_t)got};
    WRITE_ONCE(pipe->head, pipe->head + 1);
    return got;
}

/*
 * As many readings as there is room for. What is no regular file is read once: a second time might wait for what the first one got
 * at once.
 */
static ssize_t file_to_pipe(struct file *in, loff_t *pos, struct file *out, size_t count,
                            bool nonblock)
{
    struct pipe *pipe = out->private;
    bool slept = false;
    size_t done = 0;

    mutex_lock(&pipe->lock);
    bool was_empty = pipe_empty(pipe);
    ssize_t result = wait_room(pipe, nonblock || wants_nonblock(out), &slept);
    was_empty = was_empty || pipe_empty(pipe);
    while (result >= 0 && done < count && !pipe_full(pipe)) {
        size_t want = MIN(count - done, (size_t)PAGE_SIZE);
        result = put_from_file(pipe, in, pos, want);
        done += result > 0 ? (size_t)result : 0;
        if (result < (ssize_t)want || !inode_is_regular(in->inode)) {
            break;
        }
    }
    mutex_unlock(&pipe->lock);
    wake_after_put(pipe, was_empty, slept);
    return done > 0 ? (ssize_t)done : result;
}

/* ---- a pipe into a file ---- */

/* Write from the oldest slot. Bytes, or an error. Locked, not empty. */
static ssize_t take_to_file(struct pipe *pipe, struct file *out, loff_t *pos, size_t count)
{
    struct pipe_slot *slot = pipe_slot(pipe, pipe->tail);
    struct iov_iter iter;

    iov_init_kernel(&iter, (uint8_t *)page_to_virt(slot->page) + slot->offset,
                    MIN(count, (size_t)slot->len));
    ssize_t put = vfs_write(out, &iter, pos);
    if (put > 0) {
        slot->offset += (uint32_t)put;
        slot->len -= (uint32_t)put;
        if (slot->len == 0) {
            pipe_slot_free(pipe, slot);
        }
    }
    return put;
}

static ssize_t pipe_to_file(struct file *in, struct file *out, loff_t *pos, size_t count,
                            bool nonblock)
{
    struct pipe *pipe = in->private;
    bool slept = false, was_full = false;
    size_t done = 0;

    mutex_lock(&pipe->lock);
    ssize_t result = wait_data(pipe, nonblock || wants_nonblock(in), &slept);
    while (result > 0 && done < count && !pipe_empty(pipe)) {
        was_full = was_full || pipe_full(pipe);
        size_t want = MIN(count - done, (size_t)pipe_slot(pipe, pipe->tail)->len);
        result = take_to_file(pipe, out, pos, want);
        done += result > 0 ? (size_t)result : 0;
        if (result < (ssize_t)want) {
            break;
        }
    }
    mutex_unlock(&pipe->lock);
    wake_after_take(pipe, was_full, slept);
    return done > 0 ? (ssize_t)done : result;
}

/* ---- between pipes ---- */

static void lock_two(struct pipe *one, struct pipe *two)
{
    mutex_lock(&MIN(one, two)->lock);
    mutex_lock(&MAX(one, two)->lock);
}

static void unlock_two(struct pipe *one, struct pipe *two)
{
    mutex_unlock(&MAX(one, two)->lock);
    mutex_unlock(&MIN(one, two)->lock);
}

/*
 * Lock both when `in` has something and `out` has room. Slept for one, the other may have changed: look again. 1 and both locked;
 * 0: the end; or an error, with neither locked. A wake that came to us is passed on at once: we may yet sleep for the other, or leave.
 */
static int lock_ready(struct pipe *in, struct pipe *out, bool nonblock)
{
    for (;;) {
        bool slept_in = false, slept_out = false;

        mutex_lock(&in->lock);
        int ready = wait_data(in, nonblock, &slept_in);
        mutex_unlock(&in->lock);
        if (slept_in && !pipe_empty(in)) {
            pipe_wake_readers(in);
        }
        if (ready <= 0) {
            return ready;
        }
        mutex_lock(&out->lock);
        int err = wait_room(out, nonblock, &slept_out);
        mutex_unlock(&out->lock);
        if (slept_out && !pipe_full(out)) {
            pipe_wake_writers(out);
        }
        if (err < 0) {
            return err;
        }
        lock_two(in, out);
        if (!pipe_empty(in) && out->readers != 0 && !pipe_full(out)) {
            return 1;
        }
        unlock_two(in, out);
    }
}

/* Show `len` bytes of a slot in a new slot of `out` as well. Both locked. */
static void put_shared(struct pipe *out, struct pipe_slot *slot, uint32_t len)
{
    struct pipe_slot *copy = pipe_slot(out, out->head);

    page_get(slot->page);
    slot->shared = true;
    *copy = *slot;
    copy->len = len;
    WRITE_ONCE(out->head, out->head + 1);
}

static size_t move_slots(struct pipe *in, struct pipe *out, size_t count)
{
    size_t done = 0;

    while (done < count && !pipe_empty(in) && !pipe_full(out)) {
        struct pipe_slot *slot = pipe_slot(in, in->tail);
        uint32_t len = (uint32_t)MIN(count - done, (size_t)slot->len);
        if (len == slot->len) {
            *pipe_slot(out, out->head) = *slot;
            WRITE_ONCE(out->head, out->head + 1);
            WRITE_ONCE(in->tail, in->tail + 1);
        } else {
            put_shared(out, slot, len);
            slot->offset += len;
            slot->len -= len;
        }
        done += len;
    }
    return done;
}

static size_t share_slots(struct pipe *in, struct pipe *out, size_t count)
{
    size_t done = 0;

    for (uint32_t i = in->tail; done < count && i != in->head && !pipe_full(out); i++) {
        struct pipe_slot *slot = pipe_slot(in, i);
        uint32_t len = (uint32_t)MIN(count - done, (size_t)slot->len);
        put_shared(out, slot, len);
        done += len;
    }
    return done;
}

static ssize_t pipe_to_pipe(struct file *in, struct file *out, size_t count, bool nonblock,
                            size_t (*transfer)(struct pipe *in, struct pipe *out, size_t count))
{
    struct pipe *from = in->private, *to = out->private;

    int ready = lock_ready(from, to, nonblock || wants_nonblock(in) || wants_nonblock(out));
    if (ready <= 0) {
        return ready;
    }
    bool was_full = pipe_full(from), was_empty = pipe_empty(to);
    size_t done = transfer(from, to, count);
    unlock_two(from, to);
    wake_after_take(from, was_full, false);
    wake_after_put(to, was_empty, false);
    return (ssize_t)done;
}

/* ---- the calls ---- */

ssize_t splice_files(struct file *in, loff_t *in_pos, struct file *out, loff_t *out_pos,
                     size_t count, bool nonblock)
{
    bool from_pipe = file_is_pipe(in), to_pipe = file_is_pipe(out);

    if ((in->mode & FMODE_READ) == 0 || (out->mode & FMODE_WRITE) == 0) {
        return -EBADF;
    }
    if ((from_pipe && in_pos != NULL) || (to_pipe && out_pos != NULL)) {
        return -ESPIPE;
    }
    if (from_pipe && to_pipe) {
        return in->private == out->private ? -EINVAL
                                           : pipe_to_pipe(in, out, count, nonblock, move_slots);
    }
    if (from_pipe) {
        if ((out_pos != NULL && (out->mode & FMODE_PREAD) == 0) || (out->flags & O_APPEND) != 0 ||
            out->fops->write == NULL) {
            return -EINVAL;
        }
        return pipe_to_file(in, out, out_pos, count, nonblock);
    }
    if (!to_pipe || (in_pos != NULL && (in->mode & FMODE_PREAD) == 0) || in->fops->read == NULL) {
        return -EINVAL;
    }
    return file_to_pipe(in, in_pos, out, count, nonblock);
}

ssize_t splice_tee(struct file *in, struct file *out, size_t count, bool nonblock)
{
    if ((in->mode & FMODE_READ) == 0 || (out->mode & FMODE_WRITE) == 0) {
        return -EBADF;
    }
    if (!file_is_pipe(in) || !file_is_pipe(out) || in->private == out->private) {
        return -EINVAL;
    }
    return pipe_to_pipe(in, out, count, nonblock, share_slots);
}

ssize_t splice_memory(struct file *pipe, struct iov_iter *iter, bool nonblock)
{
    if (!file_is_pipe(pipe)) {
        return -EBADF;
    }
    nonblock = nonblock || wants_nonblock(pipe);
    return (pipe->mode & FMODE_WRITE) != 0 ? pipe_write_as(pipe, iter, nonblock)
                                           : pipe_read_as(pipe, iter, nonblock);
}
