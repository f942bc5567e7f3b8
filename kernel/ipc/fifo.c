/*
 * FIFOs (fifo(7)): pipes that are found by a name. The pipe hangs on the inode while anybody has it open; opening one side waits for
 * the other.
 */
#include "kernel/ipc/pipe_private.h"

/* The pipe behind a FIFO, counted for one more file; made by the first. NULL: *ret_err, as pipe_alloc(). */
static struct pipe *fifo_attach(struct inode *inode, int *ret_err)
{
    struct pipe *fresh = NULL;
    *ret_err = pipe_alloc(&fresh);

    spin_lock(&inode->attr_lock);
    struct pipe *pipe = inode->private;
    if (pipe != NULL) {
        pipe->files++;
    } else if (fresh != NULL) {
        pipe = inode->private = fresh;
        fresh = NULL;
    }
    spin_unlock(&inode->attr_lock);
    if (fresh != NULL) {
        pipe_free(fresh);
    }
    return pipe;
}

/*
 * open(2) waits for the other side, unless it was asked not to, opens both, or `met` it while the counts were made: a side that was
 * there then has been met, even if it is woken, does its work and is gone before we look again.
 */
static int fifo_rendezvous(struct file *file, struct pipe *pipe, bool met, uint32_t seen_reads,
                           uint32_t seen_writes)
{
    wait_wake_all(&pipe->open_wait, 0);
    if (met) {
        return 0;
    }
    switch (file->mode & (FMODE_READ | FMODE_WRITE)) {
    case FMODE_READ:
        if ((file->flags & O_NONBLOCK) != 0) {
            file->pos = (loff_t)seen_writes; /* pipe_poll: no hang-up before a writer came */
            return 0;
        }
        return wait_event_interruptible(&pipe->open_wait,
                                        READ_ONCE(pipe->writes_opened) != seen_writes);
    case FMODE_WRITE:
        return wait_event_interruptible(&pipe->open_wait,
                                        READ_ONCE(pipe->reads_opened) != seen_reads);
    default:
        return 0;
    }
}

/* Count a new file on the inode's pipe. `meet`: as open(2) of a FIFO, which waits for the other side or refuses. */
static int open_ends(struct inode *inode, struct file *file, bool meet)
{
    unsigned mode = file->mode & (FMODE_READ | FMODE_WRITE);

    if (mode == 0) {
        return -EINVAL;
    }
    int err;
    struct pipe *pipe = fifo_attach(inode, &err);
    if (pipe == NULL) {
        return err;
    }
    file->private = pipe;
    file->pos = -1; /* no count of openings: see pipe_poll */
    mutex_lock(&pipe->lock);
    if (meet && mode == FMODE_WRITE && (file->flags & O_NONBLOCK) != 0 && pipe->readers == 0) {
        mutex_unlock(&pipe->lock);
        pipe_close_end(inode, pipe, 0);
        return -ENXIO;
    }
    uint32_t seen_reads = pipe->reads_opened, seen_writes = pipe->writes_opened;
    bool met = mode == FMODE_READ ? pipe->writers != 0 : pipe->readers != 0;
    if ((mode & FMODE_READ) != 0) {
        pipe->readers++;
        pipe->reads_opened++;
    }
    if ((mode & FMODE_WRITE) != 0) {
        pipe->writers++;
        pipe->writes_opened++;
    }
    mutex_unlock(&pipe->lock);
    err = meet ? fifo_rendezvous(file, pipe, met, seen_reads, seen_writes) : 0;
    if (err < 0) {
        pipe_close_end(inode, pipe, mode);
    }
    return err;
}

static int fifo_open(struct inode *inode, struct file *file)
{
    return open_ends(inode, file, true);
}

int pipe_reopen(struct inode *inode, struct file *file)
{
    return open_ends(inode, file, false);
}

const struct file_ops fifo_fops = {.open = fifo_open,
                                   .release = pipe_release,
                                   .read = pipe_read,
                                   .write = pipe_write,
                                   .poll = pipe_poll,
                                   .ioctl = pipe_ioctl,
                                   .fasync = pipe_fasync,
                                   .fcntl = pipe_fcntl};
