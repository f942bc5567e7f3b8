/*
 * Damage to the heap on purpose: see selftest.h. The writes are not instrumented, so that it is the heap's own checks that meet them
 * (kernel/mm/slab_debug.c) and not the address sanitizer.
 */
#include "kernel/debug/selftest.h"
#include "kernel/machine/preempt.h"
#include "kernel/machine/user.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/poison.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/slab_debug.h"

NO_SANITIZE_ADDRESS static void plant(void *object, size_t at)
{
    ((volatile uint8_t *)object)[at] = 1;
}

static bool overrun(void)
{
    void *block = kmalloc(100);

    plant(block, 100);
    kfree(block);
    return true;
}

static bool stale_write(void)
{
    struct slab_cache *cache = slab_cache_create("selftest", 48, 0, 0, NULL);
    void *object = slab_alloc(cache, 0), *kept = slab_alloc(cache, 0);
    void *again[64];
    unsigned n = 0;

    slab_free(cache, object);
    (void)slab_shrink_all(); /* out of quarantine; `kept` holds the slab */
    plant(object, 8);
    while (n < ARRAY_SIZE(again) && (n == 0 || again[n - 1] != object)) {
        again[n++] = slab_alloc(cache, 0);
    }
    bool met = again[n - 1] == object;
    while (n > 0) {
        slab_free(cache, again[--n]);
    }
    slab_free(cache, kept);
    slab_cache_destroy(cache);
    return met;
}

static bool double_free(void)
{
    void *block = kmalloc(33);
    void *volatile again = block;

    kfree(block);
    kfree(again);
    return true;
}

static bool wrong_free(void)
{
    uint8_t *block = kmalloc(64);
    uint8_t *volatile middle = block + 16;

    kfree(middle);
    kfree(block);
    return true;
}

/* Larger than any object: a block of pages. */
static bool block_overrun(void)
{
    void *block = kmalloc(5000);

    plant(block, 5000);
    kfree(block);
    return true;
}

/* Nothing is left over in its pages, so the red zone is a page of its own. */
static bool page_overrun(void)
{
    void *block = kmalloc(PAGE_SIZE);

    plant(block, PAGE_SIZE);
    kfree(block);
    return true;
}

static bool block_double_free(void)
{
    void *block = kmalloc(5000);
    void *volatile again = block;

    kfree(block);
    kfree(again);
    return true;
}

static bool block_wrong_free(void)
{
    uint8_t *block = kmalloc(5000);
    uint8_t *volatile second = block + PAGE_SIZE;

    kfree(second);
    kfree(block);
    return true;
}

static bool wild_free(void)
{
    static uint64_t variable[8];
    void *volatile wild = variable;

    kfree(wild);
    return true;
}

static bool vmalloc_double_free(void)
{
    void *block = vmalloc(5000);
    void *volatile again = block;

    vfree(block);
    vfree(again);
    return true;
}

static bool vmalloc_wrong_free(void)
{
    uint8_t *block = vmalloc(3 * PAGE_SIZE);
    uint8_t *volatile second = block + PAGE_SIZE;

    vfree(second);
    vfree(block);
    return true;
}

static bool arena_double_free(void)
{
    vaddr_t va = arena_alloc(5 * PAGE_SIZE);

    arena_free(va, 5 * PAGE_SIZE);
    arena_free(va, 5 * PAGE_SIZE);
    return va != 0;
}

/* Two pieces at once, as if they were one. */
static bool arena_wrong_free(void)
{
    vaddr_t va = arena_alloc(PAGE_SIZE);

    arena_free(va, 2 * PAGE_SIZE);
    arena_free(va, PAGE_SIZE);
    return va != 0;
}

static bool frame_double_free(void)
{
    struct page *page = frame_alloc(0, 0, PAGE_KERNEL);

    frame_free(page);
    frame_free(page);
    return true;
}

static bool frame_double_put(void)
{
    struct page *page = frame_alloc(0, 0, PAGE_KERNEL);

    page_put(page);
    page_put(page);
    return true;
}

/* A length that is one too many; nobody's address is as good as any, for it is not looked at. */
static bool leak_to_user(void)
{
    void *object = kmalloc(512);
    size_t left = copy_to_user_partial((void __user *)USER_MIN, object, 513);

    kfree(object);
    return left == 513;
}

static bool smash_from_user(void)
{
    uint8_t *block = kmalloc(8192 - SLAB_REDZONE_BYTES);
    size_t left = copy_from_user_partial(block + 4000, (const void __user *)USER_MIN, 8192);

    kfree(block);
    return left == 8192;
}

#ifndef CONFIG_KASAN /* which sees the write itself, and leaves free frames as they are */
/* Frames come back last in, first out. */
static bool stale_frame(void)
{
    struct page *page = frame_alloc(0, 0, PAGE_KERNEL);
    bool met = false;

    preempt_disable();
    frame_free(page);
    plant(page_to_virt(page), 123);
    struct page *again = frame_alloc(0, 0, PAGE_KERNEL);
    met = again == page;
    preempt_enable();
    frame_free(again);
    return met;
}
#endif

#define HEAP_SELFTEST(group_, fn, name_, expect_)                                                  \
    SELFTEST(heap_##fn) = {                                                                        \
        .group = (group_), .name = (name_), .run = (fn), .kind = DEFECT_HEAP, .expect = (expect_)}

HEAP_SELFTEST("redzone", overrun, "a byte written past the end", "heap: written past the end: ");
HEAP_SELFTEST("redzone", stale_write, "a write to a freed object",
              "heap: written to after it was freed: ");
HEAP_SELFTEST("doublefree", double_free, "an object freed twice", "heap: freed twice: ");
HEAP_SELFTEST("doublefree", wrong_free, "the middle of an object freed",
              "heap: freed, but is no object of this cache: ");
HEAP_SELFTEST("redzone", block_overrun, "a byte written past the end of a block of pages",
              "heap: written past the end: block ");
HEAP_SELFTEST("redzone", page_overrun, "a byte written past the end of a page",
              "heap: written past the end: block ");
HEAP_SELFTEST("doublefree", block_double_free, "a block of pages freed twice",
              "heap: freed twice: ");
HEAP_SELFTEST("doublefree", block_wrong_free, "the second page of a block freed",
              "heap: freed, but is no memory of kmalloc: ");
HEAP_SELFTEST("doublefree", wild_free, "a variable freed",
              "heap: freed, but is no memory of kmalloc: ");
HEAP_SELFTEST("doublefree", vmalloc_double_free, "vmalloc's memory freed twice",
              "heap: freed, but is no memory of vmalloc: ");
HEAP_SELFTEST("doublefree", vmalloc_wrong_free, "the middle of vmalloc's memory freed",
              "heap: freed, but is no memory of vmalloc: ");
HEAP_SELFTEST("doublefree", arena_double_free, "a piece of an arena freed twice",
              "vmem: freed, but is not in use: ");
HEAP_SELFTEST("doublefree", arena_wrong_free, "a piece of an arena freed with the next",
              "vmem: freed, but is not in use: ");
HEAP_SELFTEST("doublefree", frame_double_free, "a page frame freed twice", "heap: frame ");
HEAP_SELFTEST("doublefree", frame_double_put, "a reference dropped that nobody has",
              "heap: frame ");
HEAP_SELFTEST("usercopy", leak_to_user, "more than an object copied to user space",
              "heap: 513 bytes copied to or from user space at ");
HEAP_SELFTEST("usercopy", smash_from_user, "more than a block copied from user space",
              "heap: 8192 bytes copied to or from user space at ");
#ifndef CONFIG_KASAN
HEAP_SELFTEST("redzone", stale_frame, "a write to a free page frame",
              "was written to: offset 120 is ");
#endif
