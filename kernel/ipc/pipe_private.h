/*
 * Pipes from the inside: what pipe.c shares with fifo.c and splice.c. Of two pipes the one at the lower address is locked first.
 */
#pragma once

#include <asm/poll.h>

#include "kernel/ipc/pipe.h"
#include "kernel/vfs/async.h"

#define PIPE_SLOTS  (PIPE_DEFAULT_BYTES / PAGE_SIZE)
#define PIPE_SPARES 2

struct pipe_slot {
    struct page *page;
    uint32_t offset, len;
    bool packet; /* O_DIRECT: a read takes all of it or drops the rest */
    bool shared; /* another slot shows the page too: nothing is added to it */
};

struct pipe {
    struct mutex lock;
    struct wait_queue read_wait;  /* bytes came, or the last writer went */
    struct wait_queue write_wait; /* room came, or the last reader went */
    struct wait_queue open_wait;  /* FIFOs: the other side opened */
    struct pipe_slot *slots;      /* [lock] inline_slots or kmalloc'd */
    uint32_t mask;                /* [lock] slots - 1 */
    uint32_t head, tail;          /* [lock] free-running: next slot to fill, oldest filled one */
    uint32_t readers, writers;    /* [lock] open ends */
    uint32_t reads_opened, writes_opened; /* [lock] openings ever, for the rendezvous of FIFOs */
    struct async_list read_async, write_async; /* files that O_ASYNC is set on */
    bool watched;        /* [a] poll, epoll or O_ASYNC waited for it once: each write is an event */
    bool tells_writers;  /* [a] O_ASYNC: each read is one, too */
    uint32_t files;      /* [inode->attr_lock] open files; the last one frees the pipe */
    struct user *user;   /* [I] whom its size is counted for, referenced */
    uint32_t naccounted; /* [lock] slots that are */
    uint32_t nspares;    /* [lock] */
    struct page *spares[PIPE_SPARES]; /* [lock] drained pages, for the next writes */
    struct pipe_slot inline_slots[PIPE_SLOTS];
};

static inline struct pipe_slot *pipe_slot(const struct pipe *pipe, uint32_t index)
{
    return &pipe->slots[index & pipe->mask];
}

static inline bool pipe_empty(const struct pipe *pipe)
{
    return READ_ONCE(pipe->head) == READ_ONCE(pipe->tail);
}

static inline bool pipe_full(const struct pipe *pipe)
{
    return READ_ONCE(pipe->head) - READ_ONCE(pipe->tail) > READ_ONCE(pipe->mask);
}

static inline void pipe_wake_readers(struct pipe *pipe)
{
    if (wait_queue_active(&pipe->read_wait)) {
        wait_wake_n(&pipe->read_wait, 1, POLLIN | POLLRDNORM | WAIT_SYNC);
    }
}

static inline void pipe_wake_writers(struct pipe *pipe)
{
    if (wait_queue_active(&pipe->write_wait)) {
        wait_wake_n(&pipe->write_wait, 1, POLLOUT | POLLWRNORM | WAIT_SYNC);
    }
}

/* A page to fill: a spare one or a new one; NULL: no memory. May sleep. Lock held. */
struct page *pipe_page_get(struct pipe *pipe);
/* A page that nobody else has: it is kept as a spare one, or freed. Lock held. */
void pipe_page_drop(struct pipe *pipe, struct page *page);
/* The oldest slot is empty or given up. Lock held. */
void pipe_slot_free(struct pipe *pipe, struct pipe_slot *slot);
/* Sleep until there is something to read or nobody to write it. -ERESTARTSYS. Lock held, and released meanwhile. */
int pipe_wait_readable(struct pipe *pipe);
/* Full: let a reader know if wanted, and sleep until there is room or nobody to make any. As above. */
int pipe_wait_writable(struct pipe *pipe, bool wake_reader);
/* read(2) and write(2), whatever the file's flags say about blocking. */
ssize_t pipe_read_as(struct file *file, struct iov_iter *to, bool nonblock);
ssize_t pipe_write_as(struct file *file, struct iov_iter *from, bool nonblock);

/* Count a new pipe for the user: the number of slots it may have; 0: none. */
uint32_t pipe_account_new(struct user *user);
/* A pipe with so many slots goes. */
void pipe_account_drop(struct user *user, uint32_t slots);

/* With no ends and one file. -ENOMEM; -ENFILE: the user has as many as may be. */
int pipe_alloc(struct pipe **ret_pipe);
void pipe_free(struct pipe *pipe);
/* The ends that `mode` (FMODE_READ, FMODE_WRITE) names go, and one file; the last one takes the pipe along. */
void pipe_close_end(struct inode *inode, struct pipe *pipe, unsigned mode);

/* open(2) of a pipe's end through /proc/PID/fd: another end, whoever else is there. */
int pipe_reopen(struct inode *inode, struct file *file);

/* File operations that pipes and FIFOs share; file->private is the pipe. */
void pipe_release(struct file *file);
ssize_t pipe_read(struct file *file, struct iov_iter *to, loff_t *pos);
ssize_t pipe_write(struct file *file, struct iov_iter *from, loff_t *pos);
uint32_t pipe_poll(struct file *file, struct poll_table *table);
int64_t pipe_ioctl(struct file *file, unsigned cmd, uint64_t arg);
int pipe_fasync(int fd, struct file *file, bool on);
int64_t pipe_fcntl(struct file *file, unsigned cmd, uint64_t arg);
