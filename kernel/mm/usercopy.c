/*
 * Whether a piece of the direct map lies inside one heap object.
 */
#include "kernel/mm/usercopy.h"

#include "kernel/core/defect.h"
#include "kernel/mm/cache.h"

static __noinline bool tell(const void *kernel, size_t len, const char *where, size_t size,
                            size_t offset)
{
    if (defect_begin(DEFECT_HEAP)) {
        log_write(DEFECT_LEVEL,
                  "heap: %zu bytes copied to or from user space at %p: %s (%zu bytes), offset %zu",
                  len, kernel, where, size, offset);
        defect_end();
    }
    return false;
}

bool usercopy_inside(const void *kernel, size_t len_bytes)
{
    pfn_t pfn = virt_to_phys(kernel) >> PAGE_SHIFT;

    /* Else it is firmware's or a device's. RAM that anything lives in has a struct page. */
    if (unlikely(!pfn_is_ram(pfn))) {
        return true;
    }
    const struct page *page = pfn_to_page(pfn);
    if (page->kind == PAGE_SLAB) {
        const struct slab_cache *cache = page->owner;
        const uint8_t *start = page_to_virt(slab_first_page(page));
        uint32_t offset = (uint32_t)((const uint8_t *)kernel - start) % cache->stride;
        return likely(offset <= cache->size && len_bytes <= cache->size - offset) ||
               tell(kernel, len_bytes, cache->name, cache->size, offset);
    }
    if (unlikely(page->kind == PAGE_FREE)) {
        return tell(kernel, len_bytes, "free memory", 0, 0);
    }
    if (page->kind == PAGE_KERNEL && (page->flags & PAGE_FLAG_HEAD) != 0) {
        size_t size = PAGE_SIZE << page->order;
        size_t offset = (uintptr_t)kernel % PAGE_SIZE;
        return likely(len_bytes <= size - offset) ||
               tell(kernel, len_bytes, "block of pages", size, offset);
    }
    return true;
}
