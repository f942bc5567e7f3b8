/*
 * Benchmarks of memory's inner operations: frames, objects, kernel virtual memory.
 *
 * A "pair" has something and gives it back at once, which the CPU's own list serves; "alloc" and "free" take as many as no list holds.
 */
#include "kernel/debug/bench.h"

#include "kernel/base/errno.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"

#define COUNT 512u /* operations a run */

static void *kept[COUNT];

/* ---- frames ---- */

static int __bench frame_pairs(unsigned order, unsigned flags)
{
    unsigned done = 0;

    bench_begin();
    for (; done < COUNT; done++) {
        struct page *page = frame_alloc(order, flags, PAGE_KERNEL);
        if (page == NULL) {
            break;
        }
        frame_free(page);
    }
    bench_end();
    return done == COUNT ? 0 : -ENOMEM;
}

static int __bench frame_pair(void)
{
    return frame_pairs(0, 0);
}

static int __bench frame_pair_zeroed(void)
{
    return frame_pairs(0, FRAME_ZERO);
}

static int __bench frame_pair_order3(void)
{
    return frame_pairs(3, 0);
}

static int __bench frame_pair_order9(void)
{
    return frame_pairs(9, 0);
}

/* COUNT frames at hand, then gone; the marks are around one of the two. */
static int __bench frames_many(bool count_alloc)
{
    unsigned n = 0;

    if (count_alloc) {
        bench_begin();
    }
    for (; n < COUNT && (kept[n] = frame_alloc(0, 0, PAGE_KERNEL)) != NULL; n++) {
    }
    if (count_alloc) {
        bench_end();
    } else {
        bench_begin();
    }
    for (unsigned i = 0; i < n; i++) {
        frame_free(kept[i]);
    }
    if (!count_alloc) {
        bench_end();
    }
    return n == COUNT ? 0 : -ENOMEM;
}

static int __bench frame_alloc_many(void)
{
    return frames_many(true);
}

static int __bench frame_free_many(void)
{
    return frames_many(false);
}

static int __bench frame_bulk(void)
{
    struct page *pages[16];
    int err = 0;

    bench_begin();
    for (unsigned i = 0; i < COUNT / 16; i++) {
        unsigned got = frame_alloc_bulk(16, 0, PAGE_KERNEL, pages);
        pages_put(pages, got);
        err = got < 16 ? -ENOMEM : err;
    }
    bench_end();
    return err;
}

/* ---- objects ---- */

static int __bench objects(bool pairs, bool count_alloc)
{
    struct slab_cache *cache = slab_cache_create("bench", 128, 0, 0, NULL);
    unsigned n = 0;

    if (cache == NULL) {
        return -ENOMEM;
    }
    if (pairs || count_alloc) {
        bench_begin();
    }
    for (; n < COUNT && (kept[n] = slab_alloc(cache, 0)) != NULL; n++) {
        if (pairs) {
            slab_free(cache, kept[n]);
        }
    }
    if (pairs || count_alloc) {
        bench_end();
    } else {
        bench_begin();
    }
    for (unsigned i = 0; i < n && !pairs; i++) {
        slab_free(cache, kept[i]);
    }
    if (!pairs && !count_alloc) {
        bench_end();
    }
    slab_cache_destroy(cache);
    return n == COUNT ? 0 : -ENOMEM;
}

static int __bench slab_pair(void)
{
    return objects(true, false);
}

static int __bench slab_alloc_many(void)
{
    return objects(false, true);
}

static int __bench slab_free_many(void)
{
    return objects(false, false);
}

static int __bench kmalloc_pairs(size_t size)
{
    unsigned done = 0;

    bench_begin();
    for (; done < COUNT; done++) {
        void *ptr = kmalloc(size);
        if (ptr == NULL) {
            break;
        }
        kfree(ptr);
    }
    bench_end();
    return done == COUNT ? 0 : -ENOMEM;
}

#define KMALLOC_PAIR(size_)                                                                        \
    static int __bench kmalloc_pair_##size_(void)                                                  \
    {                                                                                              \
        return kmalloc_pairs(size_);                                                               \
    }                                                                                              \
    KERNEL_BENCH(kmalloc_pair_##size_) = {.group = "mm",                                           \
                                          .name = "kmalloc_pair_" #size_,                          \
                                          .amount = COUNT,                                         \
                                          .run = kmalloc_pair_##size_}

/* ---- kernel virtual memory ---- */

static int __bench vmalloc_pairs(size_t npages)
{
    const unsigned count = COUNT / 16;
    unsigned done = 0;

    bench_begin();
    for (; done < count; done++) {
        void *ptr = vmalloc(npages * PAGE_SIZE);
        if (ptr == NULL) {
            break;
        }
        vfree(ptr);
    }
    bench_end();
    return done == count ? 0 : -ENOMEM;
}

static int __bench vmalloc_pair_4(void)
{
    return vmalloc_pairs(4);
}

static int __bench vmalloc_pair_64(void)
{
    return vmalloc_pairs(64);
}

static int __bench arena_pair(void)
{
    unsigned done = 0;

    bench_begin();
    for (; done < COUNT; done++) {
        vaddr_t va = arena_alloc(8 * PAGE_SIZE);
        if (va == 0) {
            break;
        }
        arena_free(va, 8 * PAGE_SIZE);
    }
    bench_end();
    return done == COUNT ? 0 : -ENOMEM;
}

static int __bench kstack_pair(void)
{
    unsigned done = 0;

    bench_begin();
    for (; done < COUNT; done++) {
        void *stack = kstack_alloc();
        if (stack == NULL) {
            break;
        }
        kstack_free(stack);
    }
    bench_end();
    return done == COUNT ? 0 : -ENOMEM;
}

#define ROW(name_, amount_)                                                                        \
    KERNEL_BENCH(name_) = {.group = "mm", .name = #name_, .amount = (amount_), .run = name_}

ROW(frame_pair, COUNT);
ROW(frame_pair_zeroed, COUNT);
ROW(frame_pair_order3, COUNT);
ROW(frame_pair_order9, COUNT);
ROW(frame_alloc_many, COUNT);
ROW(frame_free_many, COUNT);
ROW(frame_bulk, COUNT);
ROW(slab_pair, COUNT);
ROW(slab_alloc_many, COUNT);
ROW(slab_free_many, COUNT);
KMALLOC_PAIR(16);
KMALLOC_PAIR(64);
KMALLOC_PAIR(256);
KMALLOC_PAIR(1024);
KMALLOC_PAIR(4096);
KMALLOC_PAIR(32768);
ROW(vmalloc_pair_4, COUNT / 16);
ROW(vmalloc_pair_64, COUNT / 16);
ROW(arena_pair, COUNT);
ROW(kstack_pair, COUNT);
