/*
 * /proc/{kpagecount,kpageflags}: every frame of memory, a 64-bit word each, at its number times 8 (Documentation/admin-guide/mm/pagemap.rst).
 * kpagecount: how many page table entries of user spaces show it. kpageflags: what it is, as KPF_* of linux/kernel-page-flags.h.
 *
 * A word is a glance without a lock: the frame may be something else already.
 */
#include <linux/kernel-page-flags.h>

#include "kernel/fs/procfs/procfs.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/node.h"
#include "kernel/vm/usage.h"

/* Not of the stable ones, but told by Linux for those who look into the kernel (tools/vm/page-types). */
#define KPF_RESERVED 32
#define KPF_MLOCKED  33

#define CHUNK_WORDS 512u

static uint64_t count_word(pfn_t pfn)
{
    const struct page *page = pfn_valid(pfn) ? pfn_to_page(pfn) : NULL;

    switch (page == NULL ? PAGE_RESERVED : page->kind) {
    case PAGE_ANON:
    case PAGE_FILE:
    case PAGE_SHARED:
        return atomic_load_relaxed(&page->mapcount);
    default:
        return 0;
    }
}

/* The first frame of the block that a frame is inside of, whose struct page says what all of it is; the frame's own else. */
static const struct page *block_of(pfn_t pfn)
{
    const struct page *page = pfn_to_page(pfn);

    for (unsigned order = 1; page->kind == PAGE_RESERVED && order <= FRAME_MAX_ORDER; order++) {
        pfn_t first = ALIGN_DOWN(pfn, 1ull << order);
        const struct page *head = pfn_valid(first) ? pfn_to_page(first) : page;
        if (head->kind != PAGE_RESERVED && head->order >= order && head->order <= FRAME_MAX_ORDER) {
            return head;
        }
    }
    return page;
}

static uint64_t kind_bits(const struct page *page)
{
    switch (page->kind) {
    case PAGE_FREE:
        return BIT(KPF_BUDDY);
    case PAGE_RESERVED:
        return BIT(KPF_RESERVED);
    case PAGE_SLAB:
        return BIT(KPF_SLAB);
    case PAGE_TABLE:
        return BIT(KPF_PGTABLE);
    case PAGE_ANON:
        return (atomic_load_relaxed(&page->flags) & PAGE_FLAG_LAZY) != 0
                   ? BIT(KPF_ANON) /* what may go is not backed by swap */
                   : BIT(KPF_ANON) | BIT(KPF_SWAPBACKED);
    case PAGE_SHARED:
        return BIT(KPF_SWAPBACKED);
    default:
        return vm_page_is_zero(page) ? BIT(KPF_ZERO_PAGE) : 0;
    }
}

static uint64_t flags_word(pfn_t pfn)
{
    static const struct {
        uint16_t flag;
        uint8_t bit;
    } bits[] = {
        {PAGE_FLAG_LOCKED, KPF_LOCKED},         {PAGE_FLAG_ERROR, KPF_ERROR},
        {PAGE_FLAG_REFERENCED, KPF_REFERENCED}, {PAGE_FLAG_UPTODATE, KPF_UPTODATE},
        {PAGE_FLAG_DIRTY, KPF_DIRTY},           {PAGE_FLAG_LRU, KPF_LRU},
        {PAGE_FLAG_ACTIVE, KPF_ACTIVE},         {PAGE_FLAG_SWAPCACHE, KPF_SWAPCACHE},
        {PAGE_FLAG_MLOCKED, KPF_MLOCKED},       {PAGE_FLAG_MLOCKED, KPF_UNEVICTABLE},
    };

    if (!pfn_valid(pfn)) {
        return pfn_is_ram(pfn) ? BIT(KPF_BUDDY) : BIT(KPF_NOPAGE);
    }
    const struct page *page = pfn_to_page(pfn);
    uint64_t word = kind_bits(block_of(pfn));
    if ((word & (BIT(KPF_BUDDY) | BIT(KPF_RESERVED) | BIT(KPF_SLAB) | BIT(KPF_PGTABLE))) != 0) {
        return word; /* the flags are the owner's */
    }
    uint16_t flags = atomic_load_relaxed(&page->flags);
    for (size_t i = 0; i < ARRAY_SIZE(bits); i++) {
        word |= (flags & bits[i].flag) != 0 ? BIT(bits[i].bit) : 0;
    }
    return word | (count_word(pfn) != 0 ? BIT(KPF_MMAP) : 0);
}

/* One past the last frame of memory. */
static pfn_t frames_end(void)
{
    struct zone_stats zone;
    pfn_t end = 0;

    for (unsigned i = 0; i < nodes_count() * ZONE_COUNT; i++) {
        if (zone_stats(i / ZONE_COUNT, (enum zone_id)(i % ZONE_COUNT), &zone)) {
            end = MAX(end, zone.end);
        }
    }
    return end;
}

static ssize_t words_read(struct iov_iter *to, loff_t *pos, uint64_t (*word)(pfn_t pfn))
{
    pfn_t pfn = (pfn_t)*pos / sizeof(uint64_t), end = frames_end();
    uint64_t *words;
    ssize_t done = 0;

    if (*pos < 0 || *pos % sizeof(uint64_t) != 0 || to->count % sizeof(uint64_t) != 0) {
        return -EINVAL;
    }
    words = kmalloc(CHUNK_WORDS * sizeof(*words));
    if (words == NULL) {
        return -ENOMEM;
    }
    while (to->count > 0 && pfn < end && !thread_signal_pending(current_thread())) {
        size_t n = MIN(to->count / sizeof(*words), (size_t)CHUNK_WORDS);
        n = MIN(n, (size_t)(end - pfn));
        for (size_t i = 0; i < n; i++) {
            words[i] = word(pfn + i);
        }
        size_t copied = iov_copy_to(to, words, n * sizeof(*words));
        done += (ssize_t)copied;
        if (copied < n * sizeof(*words)) {
            done = done > 0 ? done : -EFAULT;
            break;
        }
        pfn += n;
    }
    *pos += done > 0 ? done : 0;
    kfree(words);
    return done;
}

static ssize_t count_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    (void)file;
    return words_read(to, pos, count_word);
}

static ssize_t flags_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    (void)file;
    return words_read(to, pos, flags_word);
}

static const struct file_ops count_fops = {.read = count_read, .llseek = text_llseek};
static const struct file_ops flags_fops = {.read = flags_read, .llseek = text_llseek};

PROC_FILE(kpagecount) = {.path = "kpagecount", .mode = 0400, .fops = &count_fops};
PROC_FILE(kpageflags) = {.path = "kpageflags", .mode = 0400, .fops = &flags_fops};
