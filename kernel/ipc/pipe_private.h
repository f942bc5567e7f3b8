/*
 * Pipes from the inside: what pipe.c shares with fifo.c.
 */
#pragma once

#include "kernel/ipc/pipe.h"

#define PIPE_SLOTS  (PIPE_DEFAULT_BYTES / PAGE_SIZE)
#define PIPE_SPARES 2

struct pipe_slot {
    struct page *page;
    uint32_t offset, len;
    bool packet; /* O_DIRECT: a read takes all of it or drops the rest */
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
    uint32_t files;      /* [inode->attr_lock] open files; the last one frees the pipe */
    struct user *user;   /* [I] whom its size is counted for, referenced */
    uint32_t naccounted; /* [lock] slots that are */
    uint32_t nspares;    /* [lock] */
    struct page *spares[PIPE_SPARES]; /* [lock] drained pages, for the next writes */
    struct pipe_slot inline_slots[PIPE_SLOTS];
};

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
int64_t pipe_fcntl(struct file *file, unsigned cmd, uint64_t arg);
