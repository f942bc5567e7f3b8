/*
 * Pipes (pipe(7), POSIX.1-2017 read and write); fifo.c gives them names.
 *
 * A pipe is a ring of slots, each a page with a range of bytes in it. A write fills pages of its own, and adds to the last one when
 * everything that does not fill a page fits there; so what is at most PIPE_BUF bytes long goes into one slot, whole or not at all.
 * A read takes bytes from the oldest slots.
 *
 * Readers and writers sleep exclusively: one event wakes one of them, and who leaves something for another behind wakes the next.
 * Wakes happen when the pipe stops being empty or full, after the lock is released, so that the woken do not run into it.
 *
 * Locking: pipe->lock (mutex) for the ring and the counts of openers; what the sleepers' conditions read is re-checked under it.
 */
#include "kernel/ipc/pipe.h"

#include <asm/ioctls.h>
#include <asm/signal.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/ipc/pipe_private.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"
#include "kernel/security/cred.h"
#include "kernel/vm/oom.h"

static struct slab_cache *pipe_slab __ro_after_init;

static struct lock_class pipe_lock_class __maybe_unused = {
    .name = "pipe", .sleeps = true, .nests = true};

static void pipe_construct(void *object)
{
    struct pipe *pipe = object;

    mutex_init(&pipe->lock, "pipe");
    lockdep_set_class(&pipe->lock, &pipe_lock_class);
    wait_queue_init(&pipe->read_wait);
    wait_queue_init(&pipe->write_wait);
    wait_queue_init(&pipe->open_wait);
    async_list_init(&pipe->read_async);
    async_list_init(&pipe->write_async);
}

int pipe_alloc(struct pipe **ret_pipe)
{
    struct user *user = cred_current()->user;
    uint32_t slots = pipe_account_new(user);

    if (unlikely(slots == 0)) {
        return -ENFILE;
    }
    struct pipe *pipe = slab_alloc(pipe_slab, 0);
    if (unlikely(pipe == NULL)) {
        pipe_account_drop(user, slots);
        return -ENOMEM;
    }
    pipe->slots = pipe->inline_slots;
    pipe->mask = slots - 1;
    pipe->head = pipe->tail = 0;
    pipe->readers = pipe->writers = 0;
    pipe->reads_opened = pipe->writes_opened = 0;
    pipe->files = 1;
    pipe->nspares = 0;
    pipe->watched = false;
    pipe->tells_writers = false;
    pipe->user = user_get(user);
    pipe->naccounted = slots;
    *ret_pipe = pipe;
    return 0;
}

/* ---- the ring ---- */

void pipe_free(struct pipe *pipe)
{
    while (pipe->tail != pipe->head) {
        page_put(pipe_slot(pipe, pipe->tail++)->page);
    }
    while (pipe->nspares > 0) {
        page_put(pipe->spares[--pipe->nspares]);
    }
    if (pipe->slots != pipe->inline_slots) {
        kfree(pipe->slots);
    }
    pipe_account_drop(pipe->user, pipe->naccounted);
    user_put(pipe->user);
    slab_free(pipe_slab, pipe);
}

struct page *pipe_page_get(struct pipe *pipe)
{
    struct page *page;

    if (pipe->nspares > 0) {
        return pipe->spares[--pipe->nspares];
    }
    do {
        page = frame_alloc(0, FRAME_RECLAIM, PAGE_KERNEL);
    } while (unlikely(page == NULL) && vm_out_of_memory());
    return page;
}

void pipe_page_drop(struct pipe *pipe, struct page *page)
{
    if (pipe->nspares < PIPE_SPARES) {
        pipe->spares[pipe->nspares++] = page;
    } else {
        page_put(page);
    }
}

void pipe_slot_free(struct pipe *pipe, struct pipe_slot *slot)
{
    if (unlikely(slot->shared)) {
        page_put(slot->page);
    } else {
        pipe_page_drop(pipe, slot->page);
    }
    WRITE_ONCE(pipe->tail, pipe->tail + 1);
}

/* ---- reading ---- */

/* Move bytes of the oldest slot to `to`: their number, or -EFAULT. An emptied slot is freed. Lock held. */
static ssize_t pipe_take(struct pipe *pipe, struct iov_iter *to)
{
    struct pipe_slot *slot = pipe_slot(pipe, pipe->tail);
    uint32_t want = (uint32_t)MIN((size_t)slot->len, to->count);
    size_t got = iov_copy_to(to, (uint8_t *)page_to_virt(slot->page) + slot->offset, want);

    if (unlikely(got == 0)) {
        return -EFAULT;
    }
    slot->offset += (uint32_t)got;
    slot->len -= (uint32_t)got;
    if (slot->len == 0 || slot->packet) {
        pipe_slot_free(pipe, slot);
    }
    return (ssize_t)got;
}

int pipe_wait_readable(struct pipe *pipe)
{
    mutex_unlock(&pipe->lock);
    int err = wait_event_interruptible_exclusive(
        &pipe->read_wait, !pipe_empty(pipe) || READ_ONCE(pipe->writers) == 0);
    mutex_lock(&pipe->lock);
    return err;
}

ssize_t pipe_read_as(struct file *file, struct iov_iter *to, bool nonblock)
{
    struct pipe *pipe = file->private;
    ssize_t done = 0;
    bool was_full = atomic_load_relaxed(&pipe->tells_writers), slept = false;

    if (unlikely(to->count == 0)) {
        return 0;
    }
    mutex_lock(&pipe->lock);
    for (;;) {
        if (!pipe_empty(pipe)) {
            bool packet = pipe_slot(pipe, pipe->tail)->packet;
            was_full = was_full || pipe_full(pipe);
            ssize_t got = pipe_take(pipe, to);
            if (unlikely(got < 0)) {
                done = done > 0 ? done : got;
                break;
            }
            done += got;
            if (to->count == 0 || packet) {
                break;
            }
            continue;
        }
        if (done > 0 || pipe->writers == 0) {
            break;
        }
        if (nonblock) {
            done = -EAGAIN;
            break;
        }
        int err = pipe_wait_readable(pipe);
        slept = true;
        if (unlikely(err < 0) && pipe_empty(pipe)) {
            done = err;
            break;
        }
    }
    bool wake_writer = was_full && !pipe_full(pipe);
    bool wake_next = slept && !pipe_empty(pipe);
    mutex_unlock(&pipe->lock);
    if (wake_writer) {
        pipe_wake_writers(pipe);
        async_tell(&pipe->write_async, POLL_OUT);
    }
    if (wake_next) {
        pipe_wake_readers(pipe);
    }
    if (done > 0) {
        file_accessed(file);
    }
    return done;
}

ssize_t pipe_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    (void)pos;
    return pipe_read_as(file, to, (file->flags & O_NONBLOCK) != 0);
}

/* ---- writing ---- */

/* Add what does not fill a page to the newest slot, if all of it fits there. Bytes added, 0 or -EFAULT. Lock held. */
static ssize_t pipe_merge(struct pipe *pipe, struct iov_iter *from)
{
    struct pipe_slot *slot = pipe_slot(pipe, pipe->head - 1);
    uint32_t tail_bytes = (uint32_t)(from->count & (PAGE_SIZE - 1));
    uint32_t end = slot->offset + slot->len;

    if (tail_bytes == 0 || slot->packet || slot->shared || end + tail_bytes > PAGE_SIZE) {
        return 0;
    }
    size_t got = iov_copy_from(from, (uint8_t *)page_to_virt(slot->page) + end, tail_bytes);
    if (unlikely(got < tail_bytes)) {
        iov_revert(from, got);
        return -EFAULT;
    }
    slot->len += tail_bytes;
    return tail_bytes;
}

/* Fill a new slot. Bytes, -EFAULT or -ENOMEM. Lock held; the pipe is not full. */
static ssize_t pipe_put(struct pipe *pipe, struct iov_iter *from, bool packet)
{
    struct page *page = pipe_page_get(pipe);
    size_t want = MIN(from->count, (size_t)PAGE_SIZE);

    if (unlikely(page == NULL)) {
        return -ENOMEM;
    }
    size_t got = iov_copy_from(from, page_to_virt(page), want);
    if (unlikely(got < want)) {
        iov_revert(from, got);
        pipe_page_drop(pipe, page);
        return -EFAULT;
    }
    *pipe_slot(pipe, pipe->head) =
        (struct pipe_slot){.page = page, .len = (uint32_t)want, .packet = packet};
    WRITE_ONCE(pipe->head, pipe->head + 1);
    return (ssize_t)want;
}

int pipe_wait_writable(struct pipe *pipe, bool wake_reader)
{
    mutex_unlock(&pipe->lock);
    if (wake_reader) {
        pipe_wake_readers(pipe);
    }
    int err = wait_event_interruptible_exclusive(&pipe->write_wait,
                                                 !pipe_full(pipe) || READ_ONCE(pipe->readers) == 0);
    mutex_lock(&pipe->lock);
    return err;
}

/* What a writer owes others when it is done. */
struct pipe_wakes {
    bool reader; /* bytes went into a pipe that readers may have found empty */
    bool writer; /* we slept, so we may have taken the wake of another */
};

/* The body of pipe_write. Lock held. */
static ssize_t pipe_write_locked(struct file *file, struct pipe *pipe, struct iov_iter *from,
                                 bool nonblock, struct pipe_wakes *wakes)
{
    bool packet = (file->flags & O_DIRECT) != 0;
    bool broken = pipe->readers == 0;
    ssize_t done = 0, got = 0;

    if (!broken && !pipe_empty(pipe) && !packet) {
        done = got = pipe_merge(pipe, from);
    }
    while (!broken && got >= 0 && from->count > 0) {
        if (!pipe_full(pipe)) {
            wakes->reader = wakes->reader || pipe_empty(pipe);
            got = pipe_put(pipe, from, packet);
            done += got > 0 ? got : 0;
            continue;
        }
        got = -EAGAIN;
        if (!nonblock) {
            got = pipe_wait_writable(pipe, wakes->reader);
            *wakes = (struct pipe_wakes){.writer = true};
        }
        broken = pipe->readers == 0;
    }
    if (broken) {
        file_signal_current(SIGPIPE);
        got = -EPIPE;
    }
    return done > 0 ? done : got;
}

ssize_t pipe_write_as(struct file *file, struct iov_iter *from, bool nonblock)
{
    struct pipe *pipe = file->private;
    struct pipe_wakes wakes = {0};

    if (unlikely(from->count == 0)) {
        return 0;
    }
    mutex_lock(&pipe->lock);
    ssize_t result = pipe_write_locked(file, pipe, from, nonblock, &wakes);
    bool wake_next = wakes.writer && !pipe_full(pipe);
    mutex_unlock(&pipe->lock);
    if (wakes.reader || unlikely(atomic_load_relaxed(&pipe->watched))) {
        pipe_wake_readers(pipe);
        async_tell(&pipe->read_async, POLL_IN);
    }
    if (wake_next) {
        pipe_wake_writers(pipe);
    }
    if (result > 0) {
        inode_touch(file->inode, ATTR_MTIME | ATTR_CTIME);
    }
    return result;
}

ssize_t pipe_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    (void)pos;
    return pipe_write_as(file, from, (file->flags & O_NONBLOCK) != 0);
}

/* ---- the rest ---- */

static inline uint32_t pipe_ready(const struct file *file, const struct pipe *pipe)
{
    uint32_t mask = 0;

    if ((file->mode & FMODE_READ) != 0) {
        if (!pipe_empty(pipe)) {
            mask = POLLIN | POLLRDNORM;
        }
        /* A FIFO that no writer has opened since this reader came is not hung up: it has not begun. */
        if (READ_ONCE(pipe->writers) == 0 && (uint64_t)file->pos != pipe->writes_opened) {
            mask |= POLLHUP;
        }
    }
    if ((file->mode & FMODE_WRITE) != 0) {
        if (!pipe_full(pipe)) {
            mask |= POLLOUT | POLLWRNORM;
        }
        if (READ_ONCE(pipe->readers) == 0) {
            mask |= POLLERR;
        }
    }
    return mask;
}

/* Apart, so that asking alone stays short. */
static __noinline uint32_t pipe_poll_register(struct file *file, struct poll_table *table)
{
    struct pipe *pipe = file->private;

    atomic_store_relaxed(&pipe->watched, true);
    if ((file->mode & FMODE_READ) != 0) {
        poll_wait(table, &pipe->read_wait);
    }
    if ((file->mode & FMODE_WRITE) != 0) {
        poll_wait(table, &pipe->write_wait);
    }
    return pipe_ready(file, pipe);
}

uint32_t pipe_poll(struct file *file, struct poll_table *table)
{
    if (unlikely(table != NULL && table->enqueue != NULL)) {
        return pipe_poll_register(file, table);
    }
    return pipe_ready(file, file->private);
}

int pipe_fasync(int fd, struct file *file, bool on)
{
    struct pipe *pipe = file->private;
    int err = 0;

    if ((file->mode & FMODE_READ) != 0) {
        err = async_set(&pipe->read_async, fd, file, on);
        atomic_store_relaxed(&pipe->watched, true);
    }
    if (err == 0 && (file->mode & FMODE_WRITE) != 0) {
        err = async_set(&pipe->write_async, fd, file, on);
        if (err < 0) {
            (void)async_set(&pipe->read_async, fd, file, false);
        } else if (on) {
            atomic_store_relaxed(&pipe->tells_writers, true);
        }
    }
    return err;
}

int64_t pipe_ioctl(struct file *file, unsigned cmd, uint64_t arg)
{
    struct pipe *pipe = file->private;
    int bytes = 0;

    if (cmd != FIONREAD) {
        return -ENOTTY;
    }
    mutex_lock(&pipe->lock);
    for (uint32_t i = pipe->tail; i != pipe->head; i++) {
        bytes += (int)pipe_slot(pipe, i)->len;
    }
    mutex_unlock(&pipe->lock);
    return put_user(bytes, (int __user *)arg);
}

/* Wake everybody: one side has closed for good. */
static void pipe_wake_all(struct pipe *pipe)
{
    wait_wake_all(&pipe->read_wait, POLLIN | POLLRDNORM | POLLHUP | POLLERR);
    wait_wake_all(&pipe->write_wait, POLLOUT | POLLWRNORM | POLLHUP | POLLERR);
    async_tell(&pipe->read_async, POLL_IN);
    async_tell(&pipe->write_async, POLL_OUT);
}

void pipe_close_end(struct inode *inode, struct pipe *pipe, unsigned mode)
{
    mutex_lock(&pipe->lock);
    pipe->readers -= (mode & FMODE_READ) != 0 ? 1 : 0;
    pipe->writers -= (mode & FMODE_WRITE) != 0 ? 1 : 0;
    bool alone = (pipe->readers == 0) != (pipe->writers == 0);
    mutex_unlock(&pipe->lock);
    if (alone) {
        pipe_wake_all(pipe);
    }
    spin_lock(&inode->attr_lock);
    bool last = --pipe->files == 0;
    if (last) {
        inode->private = NULL;
    }
    spin_unlock(&inode->attr_lock);
    if (last) {
        pipe_free(pipe);
    }
}

void pipe_release(struct file *file)
{
    pipe_close_end(file->inode, file->private, file->mode);
}

static const struct file_ops pipe_fops = {.open = pipe_reopen,
                                          .release = pipe_release,
                                          .read = pipe_read,
                                          .write = pipe_write,
                                          .poll = pipe_poll,
                                          .ioctl = pipe_ioctl,
                                          .fasync = pipe_fasync,
                                          .fcntl = pipe_fcntl};

static const struct file_ops no_pipe_fops;

bool file_is_pipe(const struct file *file)
{
    return file->fops == &pipe_fops || file->fops == &fifo_fops;
}

int pipe_create(int flags, struct file **ret_read, struct file **ret_write)
{
    struct inode *inode = anon_inode_create(S_IFIFO | 0600);
    struct pipe *pipe = NULL;
    char name[32];
    int err = inode == NULL ? -ENOMEM : pipe_alloc(&pipe);

    if (err < 0) {
        goto free_both;
    }
    (void)ksnprintf(name, sizeof(name), "pipe:[%llu]", (unsigned long long)inode->ino);
    flags &= O_NONBLOCK | O_DIRECT;
    err = file_create_anonymous(inode_get(inode), name, &pipe_fops, flags & O_NONBLOCK, FMODE_READ,
                                ret_read);
    if (err < 0) {
        goto free_both;
    }
    err = file_create_anonymous(inode_get(inode), name, &pipe_fops, flags | O_WRONLY, FMODE_WRITE,
                                ret_write);
    if (err < 0) {
        goto put_read;
    }
    pipe->readers = pipe->writers = 1;
    pipe->writes_opened = 1; /* differs from the read end's pos: hung up once the writer has gone */
    pipe->files = 2;
    inode->private = pipe;
    inode->fops = &pipe_fops;
    (*ret_read)->private = pipe;
    (*ret_write)->private = pipe;
    inode_put(inode);
    return 0;

put_read:
    (*ret_read)->fops = &no_pipe_fops; /* there is no pipe to release */
    file_put(*ret_read);
free_both:
    if (pipe != NULL) {
        pipe_free(pipe);
    }
    inode_put(inode);
    return err;
}

void pipes_init(void)
{
    pipe_slab = slab_cache_create("pipe", sizeof(struct pipe), 0, 0, pipe_construct);
    if (pipe_slab == NULL) {
        panic("ipc: no memory for the pipe cache");
    }
    fifo_fops_hook = &fifo_fops;
}
