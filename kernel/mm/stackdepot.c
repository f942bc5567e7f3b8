/*
 * A hash table of chains. Records lie one behind the other in pages; a chain's number says page and place in it.
 */
#include "kernel/mm/stackdepot.h"

#include "kernel/machine/cpu.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/poison.h"
#include "kernel/sync/spinlock.h"

#define MAX_PAGES  2048u
#define NBUCKETS   4096u
#define PLACE_BITS 9 /* a page has 512 words */

struct record {
    uint32_t next; /* [a] number of the next in the bucket */
    uint32_t n;    /* [I] */
    uint64_t hash; /* [I] */
    uintptr_t addrs[];
};

static struct {
    struct spinlock lock;
    uint32_t npages;            /* [lock] */
    uint32_t used;              /* [lock] words of the last page */
    uint64_t *pages[MAX_PAGES]; /* [lock] set once, before a number that needs it is known */
    uint32_t buckets[NBUCKETS]; /* [a] */
} depot = {.lock = SPINLOCK_INIT("stack depot")};

/* Numbers start at 1 << PLACE_BITS, so that 0 is none. */
static const struct record *record_of(uint32_t id)
{
    return (const struct record *)(depot.pages[(id >> PLACE_BITS) - 1] +
                                   (id & ((1u << PLACE_BITS) - 1)));
}

static uint64_t chain_hash(const uintptr_t *addrs, size_t n)
{
    uint64_t hash = n;

    for (size_t i = 0; i < n; i++) {
        hash = (hash ^ addrs[i]) * 0x9e3779b97f4a7c15ull;
        hash ^= hash >> 29;
    }
    return hash;
}

static bool record_is(const struct record *record, uint64_t hash, const uintptr_t *addrs, size_t n)
{
    if (record->hash != hash || record->n != n) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        if (record->addrs[i] != addrs[i]) {
            return false;
        }
    }
    return true;
}

static uint32_t find(uint64_t hash, const uintptr_t *addrs, size_t n)
{
    uint32_t id = atomic_load_acquire(&depot.buckets[hash % NBUCKETS]);

    while (id != 0 && !record_is(record_of(id), hash, addrs, n)) {
        id = record_of(id)->next;
    }
    return id;
}

/*
 * Room for `words` in the last page or a new one; 0: none. Memory is only taken where there is plenty: to look for some, the heap's spare
 * objects would be freed, whose chains are put here.
 */
static uint32_t room_locked(uint32_t words)
{
    if (depot.npages == 0 || depot.used + words > 1u << PLACE_BITS) {
        struct page *page =
            depot.npages < MAX_PAGES ? frame_alloc(0, FRAME_ZERO | FRAME_TRY, PAGE_KERNEL) : NULL;
        if (page == NULL) {
            return 0;
        }
        depot.pages[depot.npages++] = page_to_virt(page);
        depot.used = 0;
    }
    uint32_t id = depot.npages << PLACE_BITS | depot.used;
    depot.used += words;
    return id;
}

static uint32_t add_locked(uint64_t hash, const uintptr_t *addrs, size_t n)
{
    uint32_t words = (uint32_t)((sizeof(struct record) + n * sizeof(addrs[0])) / sizeof(uint64_t));
    uint32_t id = room_locked(words);

    if (id == 0) {
        return 0;
    }
    struct record *record = (struct record *)record_of(id);
    record->n = (uint32_t)n;
    record->hash = hash;
    record->next = depot.buckets[hash % NBUCKETS];
    for (size_t i = 0; i < n; i++) {
        record->addrs[i] = addrs[i];
    }
    /* Pairs with the acquire in find(). */
    atomic_store_release(&depot.buckets[hash % NBUCKETS], id);
    return id;
}

uint32_t stackdepot_put(const uintptr_t *addrs, size_t n)
{
    if (n == 0) {
        return 0;
    }
    n = MIN(n, (size_t)STACKDEPOT_DEPTH);
    uint64_t hash = chain_hash(addrs, n);
    uint32_t id = find(hash, addrs, n);
    if (id == 0) {
        uint64_t irq = spin_lock_irqsave(&depot.lock);
        id = find(hash, addrs, n);
        if (id == 0) {
            id = add_locked(hash, addrs, n);
        }
        spin_unlock_irqrestore(&depot.lock, irq);
    }
    return id;
}

size_t stackdepot_get(uint32_t id, const uintptr_t **ret_addrs)
{
    if (id == 0) {
        return 0;
    }
    *ret_addrs = record_of(id)->addrs;
    return record_of(id)->n;
}

uint32_t stackdepot_put_caller(unsigned skip)
{
#ifdef HOST_BUILD
    (void)skip; /* the host's sanitizer keeps them, and finding them is slow there */
    return 0;
#else
    uintptr_t addrs[STACKDEPOT_DEPTH + 4];
    size_t n = cpu_backtrace(addrs, ARRAY_SIZE(addrs), NULL);

    return n <= skip ? 0 : stackdepot_put(addrs + skip, n - skip);
#endif
}
