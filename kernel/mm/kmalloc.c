/*
 * General kernel memory: a table turns the size into one of the object caches; sizes of a page and more are page blocks.
 *
 * kfree() finds the cache through the struct page of the object's frame; for a page block that holds the size asked for, which no other
 * block of the kernel's has there.
 *
 * Builds that watch the heap (slab_debug.h) fill what a block has beyond the size with a red zone, and have some of it always.
 */
#include "kernel/mm/kmalloc.h"

#include "kernel/base/bitmap.h"
#include "kernel/base/string.h"
#include "kernel/core/defect.h"
#include "kernel/core/panic.h"
#include "kernel/mm/cache.h"
#include "kernel/mm/frame.h"

#define SMALL_MAX   1024u /* the table has a step of 8 bytes up to here, of 128 beyond */
#define CLASSES_MAX 3072u

static const struct {
    uint16_t size;
    const char *name;
} classes[] = {
    {8, "kmalloc-8"},       {16, "kmalloc-16"},     {32, "kmalloc-32"},     {48, "kmalloc-48"},
    {64, "kmalloc-64"},     {96, "kmalloc-96"},     {128, "kmalloc-128"},   {192, "kmalloc-192"},
    {256, "kmalloc-256"},   {384, "kmalloc-384"},   {512, "kmalloc-512"},   {768, "kmalloc-768"},
    {1024, "kmalloc-1024"}, {1536, "kmalloc-1536"}, {2048, "kmalloc-2048"}, {3072, "kmalloc-3072"},
};

static struct slab_cache kmalloc_caches[ARRAY_SIZE(classes)];
static uint8_t small_class[SMALL_MAX / 8 + 1];     /* [I] (size + 7) / 8 -> class */
static uint8_t large_class[CLASSES_MAX / 128 + 1]; /* [I] (size + 127) / 128 -> class */

void kmalloc_init(void)
{
    for (unsigned i = 0; i < ARRAY_SIZE(classes); i++) {
        slab_cache_setup(&kmalloc_caches[i], classes[i].name, classes[i].size);
        BUG_ON(kmalloc_caches[i].id != KMALLOC_ID + i);
    }
    for (unsigned i = 0, class = 0; i < ARRAY_SIZE(small_class); i++) {
        class += i * 8 > classes[class].size;
        small_class[i] = (uint8_t) class;
    }
    for (unsigned i = 0, class = 0; i < ARRAY_SIZE(large_class); i++) {
        while (i * 128 > classes[class].size) {
            class ++;
        }
        large_class[i] = (uint8_t) class;
    }
}

static __always_inline void *kmalloc_small(unsigned class, size_t size)
{
    struct slab_cache *cache = &kmalloc_caches[class];
    void *ptr = slab_alloc_by_id(cache, KMALLOC_ID + class, 0);

    if (ptr != NULL) {
        slab_debug_set_size(cache, ptr, size);
    }
    return ptr;
}

/* ---- page blocks ---- */

#define BLOCK_MAX (PAGE_SIZE << FRAME_MAX_ORDER)

/* The order of a block for `size` bytes, with a red zone where there is one and it fits. */
static unsigned block_order(size_t size)
{
    return log2_ceil(DIV_ROUND_UP(MIN(size + SLAB_DEBUG_GAP, BLOCK_MAX), PAGE_SIZE));
}

/* The block is for `size` bytes now. */
static void block_set_size(struct page *page, size_t size)
{
    page->private = (uint32_t)size;
    slab_debug_close_block(page_to_virt(page), size, PAGE_SIZE << page->order);
}

static __noinline void *kmalloc_pages(size_t size, unsigned flags)
{
    if (size > BLOCK_MAX) {
        return NULL;
    }
    struct page *page =
        frame_alloc(block_order(size), (flags & ALLOC_ZERO) != 0 ? FRAME_ZERO : 0, PAGE_KERNEL);
    if (page == NULL) {
        return NULL;
    }
    block_set_size(page, size);
    return page_to_virt(page);
}

static void tell_bad_free(const void *ptr, const char *what)
{
    if (defect_begin(DEFECT_HEAP)) {
        log_write(DEFECT_LEVEL, "heap: %s: %p", what, ptr);
        defect_end();
    }
}

/* Whatever kfree() gets that is no object: leave alone what is not ours. */
static __noinline void kfree_pages(void *ptr, struct page *page)
{
    if (page->kind == PAGE_FREE) {
        tell_bad_free(ptr, "freed twice");
    } else if (page->kind != PAGE_KERNEL || page->private == 0 || page_to_virt(page) != ptr) {
        tell_bad_free(ptr, "freed, but is no memory of kmalloc");
    } else {
        slab_debug_open_block(ptr, page->private, PAGE_SIZE << page->order);
        frame_free(page);
    }
}

/* ---- the interface ---- */

void *kmalloc(size_t size_bytes)
{
    if (likely(size_bytes <= SMALL_MAX)) {
        return kmalloc_small(small_class[(size_bytes + 7) / 8], size_bytes);
    }
    if (size_bytes <= CLASSES_MAX) {
        return kmalloc_small(large_class[(size_bytes + 127) / 128], size_bytes);
    }
    return kmalloc_pages(size_bytes, 0);
}

void *kzalloc(size_t size_bytes)
{
    if (size_bytes > CLASSES_MAX) {
        return kmalloc_pages(size_bytes, ALLOC_ZERO);
    }
    void *ptr = kmalloc(size_bytes);
    if (ptr != NULL) {
        memset(ptr, 0, size_bytes);
    }
    return ptr;
}

void *kcalloc(size_t n, size_t size_bytes)
{
    size_t total;

    if (__builtin_mul_overflow(n, size_bytes, &total)) {
        return NULL;
    }
    return kzalloc(total);
}

size_t kmalloc_size(const void *ptr)
{
    const struct page *page = virt_to_page(ptr);

    if (page->kind == PAGE_SLAB) {
        return slab_debug_size(page->owner, ptr);
    }
    return SLAB_DEBUG_GAP > 0 ? page->private : PAGE_SIZE << page->order;
}

/* Make what `ptr` points to `size` bytes long where it is. False: it has not so many. */
static bool resize_in_place(void *ptr, size_t size)
{
    struct page *page = virt_to_page(ptr);

    if (page->kind == PAGE_SLAB) {
        struct slab_cache *cache = page->owner;
        if (size > cache->size) {
            return false;
        }
        slab_debug_resize(cache, ptr, size);
        return true;
    }
    /* What is left small does not keep a large block. */
    if (size <= CLASSES_MAX || size > BLOCK_MAX || block_order(size) + 1u < page->order ||
        block_order(size) > page->order) {
        return false;
    }
    slab_debug_open_block(ptr, page->private, PAGE_SIZE << page->order);
    block_set_size(page, size);
    return true;
}

void *krealloc(void *ptr, size_t size_bytes)
{
    if (ptr == NULL) {
        return kmalloc(size_bytes);
    }
    if (resize_in_place(ptr, size_bytes)) {
        return ptr;
    }
    size_t old = kmalloc_size(ptr);
    void *fresh = kmalloc(size_bytes);
    if (fresh == NULL) {
        return size_bytes <= old ? ptr : NULL;
    }
    memcpy(fresh, ptr, MIN(old, size_bytes));
    kfree(ptr);
    return fresh;
}

void kfree(void *ptr)
{
    if (unlikely(ptr == NULL)) {
        return;
    }
    if (SLAB_DEBUG_GAP > 0 && !pfn_valid(virt_to_phys(ptr) >> PAGE_SHIFT)) {
        tell_bad_free(ptr, "freed, but is no memory of kmalloc");
        return;
    }
    struct page *page = virt_to_page(ptr);
    if (likely(page->kind == PAGE_SLAB)) {
        slab_free_inline(page->owner, ptr);
        return;
    }
    kfree_pages(ptr, page);
}

char *kstrndup(const char *s, size_t max)
{
    size_t len = strnlen(s, max);
    char *copy = kmalloc(len + 1);

    if (copy != NULL) {
        memcpy(copy, s, len);
        copy[len] = '\0';
    }
    return copy;
}

char *kstrdup(const char *s)
{
    return kmemdup(s, strlen(s) + 1);
}

void *kmemdup(const void *src, size_t len_bytes)
{
    void *copy = kmalloc(len_bytes);

    if (copy != NULL) {
        memcpy(copy, src, len_bytes);
    }
    return copy;
}
