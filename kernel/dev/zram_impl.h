/*
 * What zram.c (devices) and zram_file.c (their files) share. Private to kernel/dev/zram*.c.
 */
#pragma once

#include "kernel/dev/zram.h"
#include "kernel/sched/mutex.h"

struct file;
struct file_ops;

/* Locks:  d device->lock   a atomic */
struct zram_device {
    struct mutex lock;
    struct zstore *store; /* [a] set and cleared under lock; it stays while the device is open */
    uint64_t size;        /* [a] bytes, whole pages; set before the store */
    unsigned openers;     /* [d] */
    const struct file *holder; /* [d] who opened it with O_EXCL */
    struct mutex write_lock;   /* writes of files: those of parts of pages read first */
    uint64_t reads, writes, invalid, freed_slots; /* [a] */
};

extern const struct file_ops zram_fops;
/* NULL: there is no such device. */
struct zram_device *zram_device(unsigned index);
