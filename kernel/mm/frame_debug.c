/*
 * A bit per frame says that it is full of poison: not yet true of memory that was never freed. Frames beyond the bitmap are not watched.
 *
 * Locks: bits are set and cleared atomically; a frame belongs to whoever frees or allocates it just then.
 */
#include "kernel/mm/frame_debug.h"

#ifndef frame_debug_free
#include "kernel/core/defect.h"

#define FRAME_POISON   0xdbdbdbdbdbdbdbdbull
#define FRAMES_MAX     (GIB(16) >> PAGE_SHIFT)
#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(uint64_t))

static uint64_t poisoned[FRAMES_MAX / 64]; /* [a] */

void frame_debug_free(struct page *page, unsigned order)
{
    for (pfn_t pfn = page_to_pfn(page), end = pfn + (1ull << order); pfn < end; pfn++) {
        uint64_t *words = page_to_virt(pfn_to_page(pfn));
        if (pfn >= FRAMES_MAX) {
            return;
        }
        for (unsigned i = 0; i < WORDS_PER_PAGE; i++) {
            words[i] = FRAME_POISON;
        }
        (void)__atomic_fetch_or(&poisoned[pfn / 64], BIT(pfn % 64), __ATOMIC_RELAXED);
    }
}

static void frame_check(pfn_t pfn)
{
    const uint64_t *words = page_to_virt(pfn_to_page(pfn));

    for (unsigned i = 0; i < WORDS_PER_PAGE; i++) {
        if (words[i] == FRAME_POISON) {
            continue;
        }
        if (defect_begin(DEFECT_HEAP)) {
            log_write(DEFECT_LEVEL, "heap: free frame %#llx was written to: offset %zu is %#llx",
                      (unsigned long long)pfn, i * sizeof(words[0]), (unsigned long long)words[i]);
            defect_end();
        }
        return;
    }
}

void frame_debug_alloc(struct page *page, unsigned order)
{
    for (pfn_t pfn = page_to_pfn(page), end = pfn + (1ull << order); pfn < end; pfn++) {
        if (pfn >= FRAMES_MAX) {
            return;
        }
        uint64_t bit = BIT(pfn % 64);
        if (__atomic_fetch_and(&poisoned[pfn / 64], ~bit, __ATOMIC_RELAXED) & bit) {
            frame_check(pfn);
        }
    }
}
#endif
