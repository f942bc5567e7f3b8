/*
 * Whether a piece of the direct map lies inside one heap object.
 */
#include "kernel/mm/usercopy.h"

#include "kernel/core/defect.h"
#include "kernel/mm/cache.h"
#include "kernel/mm/frame.h"

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

/*
 * The first page of the block in use that the frame lies in; NULL: there is none. Only the first page of a block says what it is, the others
 * look as they did when they were last by themselves: free, often. The block is the caller's, so it stays what it is.
 */
static const struct page *block_of(pfn_t pfn)
{
    for (unsigned order = 0; order <= FRAME_MAX_ORDER; order++) {
        pfn_t first = ALIGN_DOWN(pfn, 1ull << order);
        const struct page *page = pfn_to_page(first);
        if (!pfn_valid(first)) {
            break;
        }
        if ((page->flags & PAGE_FLAG_HEAD) != 0 && page->order >= order) {
            return page->kind == PAGE_FREE ? NULL : page;
        }
    }
    return NULL;
}

static bool inside_block(const struct page *first, const void *kernel, size_t len_bytes)
{
    size_t size = PAGE_SIZE << first->order;
    size_t offset = (size_t)((const uint8_t *)kernel - (const uint8_t *)page_to_virt(first));

    return likely(len_bytes <= size - offset) ||
           tell(kernel, len_bytes, "block of pages", size, offset);
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
    if (page->kind == PAGE_FREE || page->kind == PAGE_RESERVED) {
        const struct page *first = block_of(pfn);
        if (first != NULL) {
            return inside_block(first, kernel, len_bytes);
        }
        return page->kind != PAGE_FREE || tell(kernel, len_bytes, "free memory", 0, 0);
    }
    if (page->kind == PAGE_KERNEL && (page->flags & PAGE_FLAG_HEAD) != 0) {
        return inside_block(page, kernel, len_bytes);
    }
    return true;
}
