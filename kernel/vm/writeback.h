/*
 * Writeback: file pages that are newer than the medium, and how they get there.
 *
 * What a file system brings
 *   - pagecache_ops.read_page and write_pages (pagecache.h), and a struct writeback beside the page cache in each inode that can be written:
 *     writeback_init() after pagecache_init(), writeback_fini() before pagecache_fini().
 *   - a struct writeback_device for each medium or file system, whose thread does the writing in the background.
 *   - fsync: pagecache_sync(), then its own metadata, then writeback_error_check() with the mark kept in the open file. Its super's sync:
 *     writeback_device_sync().
 *   - Before the last reference to an inode that still has a name goes: pagecache_sync(), or its dirty pages are lost with it.
 *
 * The life of a page
 *   dirty      write(2), or a write through a shared mapping, made it newer: PAGE_FLAG_DIRTY, the dirty mark in the cache's tree
 *   writeback  PAGE_FLAG_WRITEBACK: write_pages() has it; the dirty flag was cleared before, and all mappings write-protected, so whoever
 *              writes to it from now on makes it dirty again, and it is written once more. A page is never written twice at a time.
 *   clean      writeback_done() was told; an error is kept with the file, and the page is clean all the same: who cares learns of it by fsync
 *
 * When: after dirty_expire_centisecs; when more than dirty_background_ratio of memory is dirty; when sync asks. Beyond dirty_ratio writers wait.
 *
 * Locking: a page becomes dirty, and enters writeback, under cache->lock. writeback_done() may be called in interrupts and takes none of the cache's
 * locks. Order: cache->lock -> device->lock, wb->lock.
 */
#pragma once

#include "kernel/vm/pagecache.h"

#define WRITEBACK_RUN 64u /* pages that write_pages() gets at a time, at most */

struct writeback_device {
    const char *name;      /* [I] */
    struct list_node link; /* [devices_lock of writeback_thread.c] */
    struct spinlock lock;
    struct list_node dirty; /* [lock] struct writeback.node, longest dirty first */
    struct list_node
        owed; /* [lock] the same: dirty pages of theirs may be older than the latest pass */
    struct wait_queue wake; /* its thread's */
    struct wait_queue idle; /* nothing is being written, nobody is busy */
    uint64_t nwriteback;    /* [a] pages */
    unsigned nbusy;         /* [lock] files that somebody works on */
    uint64_t pass;          /* [lock] of the thread over the list */
    bool hurry;             /* [a] more is dirty than should be */
    bool begun;             /* [a] something became dirty where nothing was */
    bool stop;              /* [a] */
    bool ended;             /* [lock] */
};

struct writeback {
    struct pagecache *cache;         /* [I] */
    struct writeback_device *device; /* [I] */
    struct list_node node;           /* [device lock] */
    ktime_t dirtied;                 /* [device lock] since when there is something dirty */
    bool listed;                     /* [device lock] */
    uint64_t pass;          /* [device lock] when it was listed: it waits for the next one */
    unsigned nbusy;         /* [device lock] the device's thread works on it, or a sync */
    uint64_t ndirty;        /* [cache lock] pages */
    struct spinlock lock;   /* irqsave: completions come from interrupts */
    uint64_t nwriteback;    /* [lock] pages */
    struct wait_queue done; /* a page has been written, or busy ended */
    uint32_t error;         /* [a] writeback_error_check() */
};

/* A thread of its own, "wb/NAME". -ENOMEM. */
int writeback_device_init(struct writeback_device *device, const char *name);
/* All files of it are gone. */
void writeback_device_fini(struct writeback_device *device);
void writeback_init(struct writeback *wb, struct pagecache *cache, struct writeback_device *device);
/* Nobody uses the cache any more. Waits for pages that are being written; dirty ones are the caller's matter (or loss). pagecache_fini()
 * may follow, and only then the memory of both goes. May sleep. */
void writeback_fini(struct writeback *wb);

/* The page has been changed, by the one who calls, who has a reference and has made the change. Page lock not needed. Never sleeps. */
void pagecache_mark_dirty_slow(struct pagecache *cache, struct page *page);
static inline void pagecache_mark_dirty(struct pagecache *cache, struct page *page)
{
    if (unlikely(cache->writeback != NULL)) {
        pagecache_mark_dirty_slow(cache, page);
    }
}
/* After some writing: if too much is dirty, wait until the media have caught up, or a signal comes. No locks that write_pages() takes are
 * held. May sleep. */
void writeback_balance_slow(void);
static inline void writeback_balance(const struct pagecache *cache)
{
    if (unlikely(cache->writeback != NULL)) {
        writeback_balance_slow();
    }
}
/* Memory is wanted: let all threads write what is dirty, now. Any context that may take spin locks. */
void writeback_hurry(void);

/*
 * Told by the file system: these pages, which write_pages() got, are on the medium, or (-EIO, -ENOSPC ...) will never be. In any order, in
 * parts of a run, in any context.
 */
void writeback_done(struct pagecache *cache, struct page **pages, unsigned n, int err);

/*
 * Start writing what is dirty of pages [first, last]; a page that is being written already is left out. Errors of the medium are kept; -ENOMEM:
 * there was no memory to write with, and something is left dirty. May sleep.
 */
int pagecache_write_start(struct pagecache *cache, uint64_t first, uint64_t last);
/* Wait for what is being written of them. May sleep. */
void pagecache_write_wait(struct pagecache *cache, uint64_t first, uint64_t last);
/* Both: all that was dirty of them when this was called is on the medium, or its error is kept; or -ENOMEM. May sleep. */
int pagecache_sync(struct pagecache *cache, uint64_t first, uint64_t last);
/* The same for all files of a device. */
int writeback_device_sync(struct writeback_device *device);

/*
 * Errors, told once to each who looks: an open file keeps a mark, made by writeback_error_mark() when it is opened. The check gives the error that
 * came since (0: none) and moves the mark on. An error that nobody has been told yet is new for files opened after it, too.
 */
uint32_t writeback_error_mark(const struct writeback *wb);
int writeback_error_check(struct writeback *wb, uint32_t *mark);

/* /proc/sys/vm/dirty_*: any value inside the bounds of Linux at any time. A byte limit other than 0 goes before the ratio. */
struct writeback_settings {
    uint32_t ratio, background_ratio; /* [a] of the memory that could be had, in hundredths */
    uint64_t bytes, background_bytes; /* [a] */
    uint32_t expire_centisecs, writeback_centisecs; /* [a] 0 of the latter: no writing by age */
};
extern struct writeback_settings writeback_settings;
/* After that, whoever waits looks again. May be left out when a limit rises. */
void writeback_settings_changed(void);

struct writeback_stats {
    uint64_t dirty, writeback; /* pages, now */
    uint64_t dirtied, written; /* so far */
    uint64_t threshold, background_threshold;
};
void writeback_stats(struct writeback_stats *ret_stats);
/* For pagecache.c: the page leaves the cache, whose lock is held; its dirt goes with it. */
void writeback_page_leaves_locked(struct pagecache *cache, struct page *page);
/* Pages that have left it are not anybody else's before the medium is done with them. May sleep. */
void writeback_wait_left(struct pagecache *cache, struct page **pages, unsigned n);
