/*
 * References to many pages dropped at once, as an unmapping does: those that go leave the lists of reclaim together, and a 2 MiB page whose
 * frames all go is one block again without being merged frame by frame.
 */
#include "kernel/base/string.h"
#include "kernel/core/percpu.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/frame_life.h"
#include "kernel/mm/hot.h"
#include "kernel/mm/lru.h"

#define DROP_BATCH 32u

/* Take `count` from the counts of each page. Those that go leave their lists together. */
static inline void pages_drop(struct page **pages, unsigned n, uint64_t count)
{
    struct page *last[DROP_BATCH];
    unsigned nlast = 0;

    for (unsigned i = 0; i < n; i++) {
        if (page_is_live(pages[i]) &&
            (uint32_t)__atomic_fetch_sub(&pages[i]->counts, count, __ATOMIC_ACQ_REL) == 1) {
            last[nlast++] = pages[i];
        }
        if (nlast == DROP_BATCH || (i + 1 == n && nlast > 0)) {
            lru_take_freed(last, nlast);
            for (unsigned k = 0; k < nlast; k++) {
                page_free_last(last[k]);
            }
            nlast = 0;
        }
    }
}

void pages_put(struct page **pages, unsigned n)
{
    pages_drop(pages, n, 1);
}

void pages_unmap_put(struct page **pages, unsigned n)
{
    pages_drop(pages, n, PAGE_COUNT_MAPPING);
}

/* Free 2^order frames that were single ones, a whole block, of the same kind; the counts of all are 0. */
static void block_free_joined(struct page *first, unsigned order)
{
    enum page_kind kind = first->kind;

    if (frame_init_on_free) {
        memset(page_to_virt(first), 0, PAGE_SIZE << order);
    }
    page_end_life(first, order);
    for (uint64_t i = 1; i < 1ull << order; i++) {
        page_set_meta(first + i, page_meta(0, PAGE_FREE, FRAME_ORDER_HOT));
    }
    uint64_t irq = irq_save();
    this_cpu_ptr(frame_hot)->frees++;
    irq_restore(irq);
    frame_block_free(first, order, kind);
}

/* Of DROP_BATCH frames from `first` on: a bit for each whose last reference that was. They are off their lists then. */
static uint32_t batch_unmap(struct page *first)
{
    struct page *last[DROP_BATCH];
    uint32_t gone = 0;
    unsigned n = 0;

    for (unsigned i = 0; i < DROP_BATCH; i++) {
        struct page *page = first + i;
        uint64_t before = __atomic_fetch_sub(&page->counts, PAGE_COUNT_MAPPING, __ATOMIC_ACQ_REL);
        if (likely((uint32_t)before == 1)) {
            gone |= 1u << i;
            last[n++] = page;
        }
    }
    lru_take_freed(last, n);
    return gone;
}

void pages_unmap_put_block(struct page *first, unsigned order)
{
    uint32_t gone[FRAME_MAX_BLOCK / DROP_BATCH];
    const unsigned nbatches = (1u << order) / DROP_BATCH;
    uint32_t all = UINT32_MAX;

    for (unsigned i = 0; i < nbatches; i++) {
        gone[i] = batch_unmap(first + i * DROP_BATCH);
        all &= gone[i];
    }
    if (likely(all == UINT32_MAX)) {
        block_free_joined(first, order);
        return;
    }
    for (unsigned i = 0; i < nbatches * DROP_BATCH; i++) {
        if ((gone[i / DROP_BATCH] >> i % DROP_BATCH & 1) != 0) {
            page_free_last(first + i);
        }
    }
}
