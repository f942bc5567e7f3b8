/*
 * A medium for one file, simulated: pages of bytes, reached after a delay by completions in interrupt context, which may fail. It counts
 * requests, and checks what a file system may rely on.
 *
 * Tests that wait run in a kernel thread: store_test() starts it, and lets time pass until nothing is left to do.
 */
#pragma once

#include "kernel/core/time.h"
#include "kernel/core/timer.h"
#include "kernel/vm/iov.h"
#include "kernel/vm/readahead.h"
#include "kernel/vm/writeback.h"
#include "test/unit/vm/space.h"

#define STORE_PAGES    2048u
#define STORE_REQUESTS 64u

struct store_request {
    struct timer timer;
    unsigned n;
    int error;
    bool active;
    bool read;
    uint64_t index;
    struct page *pages[WRITEBACK_RUN];
};

static struct store {
    uint8_t medium[STORE_PAGES][PAGE_SIZE];
    bool writing[STORE_PAGES];
    ktime_t delay;          /* of each write; 0: done before write_pages() returns */
    ktime_t busy;           /* how long write_pages() takes, but for the first time */
    int refuse;             /* error of the next write_pages() */
    int error;              /* of all writes that begin from now on */
    bool backwards;         /* tell the last page of a run first */
    ktime_t read_delay;     /* of read_pages(); read_page() takes no time */
    int read_error;         /* of all reads that end from now on */
    int read_refuse;        /* error of the next read_pages() */
    unsigned reads;         /* read_page() calls */
    unsigned aheads;        /* read_pages() calls */
    unsigned pages_read;    /* by either */
    uint64_t first_read;    /* of the latest read_pages() */
    unsigned last_run;      /* how long it was */
    unsigned writes;        /* requests */
    unsigned pages_written; /* pages */
    unsigned longest;       /* run */
    unsigned mkwrites;      /* page_mkwrite() calls */
    int mkwrite_error;
    ktime_t last_done; /* when the latest request ended */
    struct store_request requests[STORE_REQUESTS];
} store;

#ifdef STORE_INODE /* the file has an inode */
static struct inode store_inode;
#define store_cache store_inode.cache
#else
static struct pagecache store_cache;
#endif
static struct writeback store_wb;
static struct writeback_device store_device;

static inline void store_sleep(ktime_t ns)
{
    struct wait_queue never;
    ktime_t until = ktime_now() + ns;

    wait_queue_init(&never);
    (void)wait_event_until(&never, false, until);
}

static inline void store_end_read(struct store_request *request)
{
    for (unsigned i = 0; i < request->n && store.read_error == 0; i++) {
        struct page *page = request->pages[i];
        EXPECT_EQ(page->flags & (PAGE_FLAG_LOCKED | PAGE_FLAG_UPTODATE), PAGE_FLAG_LOCKED);
        memcpy(page_to_virt(page), store.medium[request->index + i], PAGE_SIZE);
        store.pages_read++;
    }
    pagecache_read_done(request->pages, request->n, store.read_error);
    request->active = false;
}

static inline void store_end(struct store_request *request)
{
    if (request->read) {
        store_end_read(request);
        return;
    }
    for (unsigned i = 0; i < request->n; i++) {
        struct page *page = request->pages[i];
        store.writing[page->index] = false;
        if (request->error == 0) {
            memcpy(store.medium[page->index], page_to_virt(page), PAGE_SIZE);
            store.pages_written++;
        }
    }
    store.last_done = ktime_now();
    if (store.backwards) {
        for (unsigned i = request->n; i-- > 0;) {
            writeback_done(&store_cache, &request->pages[i], 1, request->error);
        }
    } else {
        writeback_done(&store_cache, request->pages, request->n, request->error);
    }
    request->active = false;
}

static inline void store_timer(struct timer *timer)
{
    store_end(container_of(timer, struct store_request, timer));
}

static inline struct store_request *store_request_new(struct page **pages, unsigned n)
{
    struct store_request *request = store.requests;

    while (request->active) {
        request++;
        EXPECT(request < store.requests + STORE_REQUESTS);
    }
    request->active = true;
    request->n = n;
    request->index = pages[0]->index;
    for (unsigned i = 0; i < n; i++) {
        EXPECT_EQ(pages[i]->index, pages[0]->index + i);
        request->pages[i] = pages[i];
    }
    return request;
}

static inline void store_begin(struct store_request *request, ktime_t delay)
{
    if (delay == 0) {
        store_end(request);
    } else {
        timer_init(&request->timer, store_timer);
        timer_arm(&request->timer, ktime_now() + delay);
    }
}

static inline int store_write_pages(struct pagecache *cache, struct page **pages, unsigned n)
{
    EXPECT(cache == &store_cache && n >= 1 && n <= WRITEBACK_RUN);
    if (store.refuse != 0) {
        int err = store.refuse;
        store.refuse = 0;
        return err;
    }
    struct store_request *request = store_request_new(pages, n);
    request->read = false;
    request->error = store.error;
    store.writes++;
    store.longest = MAX(store.longest, n);
    if (store.busy != 0 && store.writes > 1) {
        store_sleep(store.busy);
    }
    for (unsigned i = 0; i < n; i++) {
        EXPECT(!store.writing[pages[i]->index]); /* never twice at a time */
        EXPECT((pages[i]->flags & PAGE_FLAG_WRITEBACK) != 0);
        store.writing[pages[i]->index] = true;
    }
    store_begin(request, store.delay);
    return 0;
}

static inline int store_read_pages(struct pagecache *cache, struct page **pages, unsigned n)
{
    EXPECT(cache == &store_cache && n >= 1 && n <= READAHEAD_RUN);
    if (store.read_refuse != 0) {
        int err = store.read_refuse;
        store.read_refuse = 0;
        return err;
    }
    struct store_request *request = store_request_new(pages, n);
    request->read = true;
    store.aheads++;
    store.first_read = pages[0]->index;
    store.last_run = n;
    store_begin(request, store.read_delay);
    return 0;
}

static inline int store_read_page(struct pagecache *cache, struct page *page)
{
    (void)cache;
    store.reads++;
    if (store.read_error != 0) {
        return store.read_error;
    }
    store.pages_read++;
    memcpy(page_to_virt(page), store.medium[page->index], PAGE_SIZE);
    return 0;
}

static inline int store_mkwrite(struct pagecache *cache, struct page *page)
{
    (void)cache, (void)page;
    store.mkwrites++;
    return store.mkwrite_error;
}

static const struct pagecache_ops store_ops = {.read_page = store_read_page,
                                               .read_pages = store_read_pages,
                                               .write_pages = store_write_pages,
                                               .page_mkwrite = store_mkwrite};

static inline void store_put_nothing(struct vm_source *source)
{
    (void)source;
}
static const struct vm_source_ops store_source_ops = {.get = store_put_nothing,
                                                      .put = store_put_nothing};
static struct vm_source store_source = {.ops = &store_source_ops, .cache = &store_cache};

static inline ssize_t store_write(loff_t pos, const void *data, size_t len)
{
    struct iov_iter iter;

    iov_init_kernel(&iter, (void *)(uintptr_t)data, len);
    return pagecache_write(&store_cache, &pos, &iter);
}

static inline void store_fill(uint64_t first, uint64_t npages, uint8_t value)
{
    static uint8_t data[PAGE_SIZE];

    memset(data, value, sizeof(data));
    for (uint64_t i = first; i < first + npages; i++) {
        EXPECT_EQ(store_write((loff_t)(i << PAGE_SHIFT), data, PAGE_SIZE), PAGE_SIZE);
    }
}

/* Read so many pages with what the open file `ra` knows; they have to be what the medium has. */
static inline void store_read_at(struct readahead *ra, uint64_t index, uint64_t npages)
{
    static uint8_t data[STORE_PAGES * PAGE_SIZE];
    struct iov_iter iter;
    loff_t pos = (loff_t)(index << PAGE_SHIFT);

    iov_init_kernel(&iter, data, npages << PAGE_SHIFT);
    EXPECT_EQ(pagecache_read(&store_cache, ra, &pos, &iter), npages << PAGE_SHIFT);
    EXPECT_MEM_EQ(data, store.medium[index], npages << PAGE_SHIFT);
}

/* Every byte of these pages of the medium has that value. */
static inline bool store_holds(uint64_t first, uint64_t npages, uint8_t value)
{
    for (uint64_t i = first; i < first + npages; i++) {
        for (unsigned at = 0; at < PAGE_SIZE; at++) {
            if (store.medium[i][at] != value) {
                return false;
            }
        }
    }
    return true;
}

static bool store_test_ended;

static inline void store_thread(void *arg)
{
    void (*test)(void) = *(void (**)(void))arg;

    EXPECT_EQ(writeback_device_init(&store_device, "test"), 0);
    pagecache_init(&store_cache, &store_ops, NULL);
    writeback_init(&store_wb, &store_cache, &store_device);
    test();
    writeback_fini(&store_wb);
    pagecache_fini(&store_cache);
    writeback_device_fini(&store_device);
    store_test_ended = true;
}

static inline void store_test(void (*test)(void))
{
    struct writeback_settings defaults = writeback_settings;
    struct writeback_stats stats;

    vm_test_init();
    host_sched_begin();
    memset(&store, 0, sizeof(store));
    store_test_ended = false;
    struct thread *thread = thread_create_kernel("test", store_thread, &test);
    EXPECT(thread != NULL);
    thread_start(thread);
    preempt_enable();
    host_run_threads();
    EXPECT(store_test_ended);
    writeback_stats(&stats);
    EXPECT_EQ(stats.dirty, 0);
    EXPECT_EQ(stats.writeback, 0);
    writeback_settings = defaults;
}
