/*
 * zram: block devices whose content is kept compressed in memory (Documentation/admin-guide/blockdev/zram.rst of Linux describes
 * the interface): /dev/zram0 and so on, and what kernel/fs/sysfs shows of them below /sys/block.
 *
 * A device comes to life when it is given a size, and is empty again after a reset. There are zram.num_devices (parameter; 1) of
 * them. There is no block layer yet: the file operations here take its place, and swap goes to the store directly.
 */
#pragma once

#include "kernel/base/types.h"
#include "kernel/vm/zstore.h"

#define ZRAM_MAJOR       253u /* of those for local use (devices.txt of Linux, 240-254) */
#define ZRAM_DEVICES_MAX 32u
#define ZRAM_SIZE_MAX    (BIT(32) << 12) /* a page's number in the store has 32 bits */

/* All take the number of a device below zram_count(). Thread context. */
unsigned zram_count(void);
/* Bytes; 0: no size yet. */
uint64_t zram_disksize(unsigned index);
/* Give it a size, rounded up to pages. -EINVAL: 0 or above ZRAM_SIZE_MAX; -EBUSY: it has one; -ENOMEM. */
int zram_set_disksize(unsigned index, uint64_t bytes);
/* Forget content and size. -EBUSY: it is open. */
int zram_reset(unsigned index);
/* The greatest use of memory, in bytes rounded up to pages; 0: no limit. Of a device with a size: -EINVAL otherwise. */
int zram_set_limit(unsigned index, uint64_t bytes);
/* -EINVAL: it has no size. */
int zram_reset_peak(unsigned index);
int zram_compact(unsigned index);

struct zram_stats {
    struct zstore_stats store; /* zeros without a size */
    uint64_t reads, writes;    /* requests, in sectors of 512 bytes */
    uint64_t invalid;          /* beyond the end */
    uint64_t freed_slots;      /* that swap gave back */
};
void zram_stats(unsigned index, struct zram_stats *ret_stats);
