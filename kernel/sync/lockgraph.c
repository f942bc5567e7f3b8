/*
 * The graph of lock classes as a bit matrix: row A has bit B when B was taken under A. Searches are breadth first over whole rows, and
 * happen only when something new is seen, so they need not be fast.
 */
#include "kernel/sync/lockgraph.h"

#ifdef CONFIG_LOCKDEP

#include "kernel/base/atomic.h"
#include "kernel/base/bitmap.h"
#include "kernel/base/string.h"
#include "kernel/sync/spinlock.h"

#define WORDS BITMAP_WORDS(LOCK_CLASSES_MAX)

static struct spinlock classes_lock; /* raw, unknown to the checker */
static const struct lock_class
    *classes[LOCK_CLASSES_MAX];        /* [classes_lock] until nclasses says that it is there */
static unsigned nclasses = 1;          /* [a] id 0 means none */
static uint8_t uses[LOCK_CLASSES_MAX]; /* [a] */
static uintptr_t use_places[LOCK_CLASSES_MAX][4];                 /* [a] */
static uint64_t edges[LOCK_CLASSES_MAX][WORDS];                   /* [a] */
static uintptr_t edge_places[LOCK_CLASSES_MAX][LOCK_CLASSES_MAX]; /* [a] */

uint16_t lockgraph_class_id(struct lock_class *class)
{
    spin_lock_raw_(&classes_lock);
    if (class->id == 0 && nclasses < LOCK_CLASSES_MAX) {
        classes[nclasses] = class;
        atomic_store_release(&class->id, (uint16_t)nclasses);
        atomic_store_release(&nclasses, nclasses + 1);
    }
    spin_unlock_raw_(&classes_lock);
    return class->id;
}

const char *lockgraph_name(uint16_t id)
{
    return classes[id] == NULL ? "?" : classes[id]->name;
}

bool lockgraph_has_edge(uint16_t first, uint16_t second)
{
    return (atomic_load_relaxed(&edges[first][second / 64]) & BIT(second % 64)) != 0;
}

bool lockgraph_add_edge(uint16_t first, uint16_t second, uintptr_t place)
{
    uint64_t bit = BIT(second % 64);

    atomic_store_relaxed(&edge_places[first][second], place);
    return (__atomic_fetch_or(&edges[first][second / 64], bit, __ATOMIC_SEQ_CST) & bit) == 0;
}

uintptr_t lockgraph_edge_place(uint16_t first, uint16_t second)
{
    return atomic_load_relaxed(&edge_places[first][second]);
}

/* Breadth first from `from`; before[n] is the class from which n was reached, 0: not reached. Returns when `to` is. */
static void spread(uint16_t from, uint16_t to, uint16_t before[LOCK_CLASSES_MAX])
{
    uint16_t queue[LOCK_CLASSES_MAX];
    unsigned head = 0, tail = 0;

    memset(before, 0, LOCK_CLASSES_MAX * sizeof(before[0]));
    before[from] = from;
    queue[tail++] = from;
    while (head < tail && before[to] == 0) {
        uint16_t at = queue[head++];
        for (unsigned word = 0; word < WORDS; word++) {
            uint64_t left = atomic_load_relaxed(&edges[at][word]);
            for (; left != 0; left &= left - 1) {
                unsigned next = word * 64 + (unsigned)__builtin_ctzll(left);
                if (before[next] == 0) {
                    before[next] = at;
                    queue[tail++] = (uint16_t)next;
                }
            }
        }
    }
}

unsigned lockgraph_path(uint16_t from, uint16_t to, uint16_t *path, unsigned max)
{
    uint16_t before[LOCK_CLASSES_MAX];
    unsigned n = 1;

    spread(from, to, before);
    if (before[to] == 0) {
        return 0;
    }
    for (uint16_t at = to; at != from; at = before[at]) {
        n++;
    }
    for (unsigned i = n; i-- > 0; to = before[to]) {
        if (i < max) {
            path[i] = to;
        }
    }
    return MIN(n, max);
}

static unsigned use_index(unsigned use)
{
    return (unsigned)__builtin_ctz(use);
}

bool lockgraph_note_use(uint16_t id, unsigned use, uintptr_t place)
{
    atomic_store_relaxed(&use_places[id][use_index(use)], place);
    return (__atomic_fetch_or(&uses[id], (uint8_t)use, __ATOMIC_SEQ_CST) & use) == 0;
}

bool lockgraph_has_use(uint16_t id, unsigned all)
{
    return (atomic_load_relaxed(&uses[id]) & all) == all;
}

uintptr_t lockgraph_use_place(uint16_t id, unsigned use)
{
    return atomic_load_relaxed(&use_places[id][use_index(use)]);
}

bool lockgraph_unsafe(uint16_t id, unsigned inside, unsigned open, uint16_t *ret_inside,
                      uint16_t *ret_open)
{
    uint16_t before[LOCK_CLASSES_MAX];
    uint16_t first = 0, last = 0;
    unsigned n = atomic_load_acquire(&nclasses);

    spread(id, 0, before);
    for (uint16_t i = 1; i < n && last == 0; i++) {
        if (before[i] != 0 && lockgraph_has_use(i, open)) {
            last = i;
        }
    }
    for (uint16_t i = 1; i < n && first == 0; i++) {
        uint16_t unused;
        if (lockgraph_has_use(i, inside) && lockgraph_path(i, id, &unused, 1) != 0) {
            first = i;
        }
    }
    if (first == 0 || last == 0) {
        return false;
    }
    *ret_inside = first;
    *ret_open = last;
    return true;
}

void lockgraph_reset(void)
{
    memset(edges, 0, sizeof(edges));
    memset(uses, 0, sizeof(uses));
}

#endif /* CONFIG_LOCKDEP */
