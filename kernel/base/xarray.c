/*
 * Sparse array: a radix tree of 64-way nodes, no higher than its largest index needs.
 *
 * An array that holds nothing but index 0 has no node at all: the entry hangs on the root itself, its marks in root_marks. That
 * is the page cache of every file of one page. Otherwise `root` is a node, told by its low bit.
 *
 * Each node keeps one word per fact, a bit for each slot: whether the slot is in use, whether nothing is free below it, whether
 * anything below it carries mark 0, 1, 2. Searches go by these words and never visit a slot in vain.
 *
 * Invariants: a node has at least one slot in use; the root node has one besides slot 0 (else the tree is lowered); bit PRESENT
 * equals slot != NULL; in a leaf (shift 0) FULL equals PRESENT; above, FULL and the marks summarise the child.
 */
#include "kernel/base/xarray.h"

#include "kernel/base/bitmap.h"
#include "kernel/base/errno.h"

#define SLOT_BITS 6
#define NSLOTS    64

/* Facts kept per slot: the marks come first, with their own numbers. */
enum fact { FACT_PRESENT = XARRAY_NMARKS, FACT_FULL, NFACTS };

struct xarray_node {
    struct xarray_node *parent; /* NULL: the root */
    uint8_t shift;              /* the slot of an index is bits shift .. shift+5 */
    uint8_t offset;             /* of this node in its parent */
    uint64_t facts[NFACTS];     /* bit per slot */
    void *slots[NSLOTS];        /* child nodes, or entries where shift is 0 */
};

#define NODE_TAG 1ul

static inline struct xarray_node *root_node(const struct xarray *xa)
{
    uintptr_t root = (uintptr_t)xa->root;

    return (root & NODE_TAG) != 0 ? (struct xarray_node *)(root - NODE_TAG) : NULL;
}

static inline void *root_entry(const struct xarray *xa)
{
    return ((uintptr_t)xa->root & NODE_TAG) != 0 ? NULL : (void *)xa->root;
}

static inline void set_root_node(struct xarray *xa, struct xarray_node *node)
{
    xa->root = (struct xarray_node *)((uintptr_t)node + NODE_TAG);
    node->parent = NULL;
}

static inline unsigned slot_of(const struct xarray_node *node, uint64_t index)
{
    return (unsigned)(index >> node->shift) & (NSLOTS - 1);
}

/* Whether a tree whose root has `shift` reaches up to `index`. The highest root, of shift 60, reaches everything. */
static inline bool shift_covers(unsigned shift, uint64_t index)
{
    return shift + SLOT_BITS >= 64 || index >> (shift + SLOT_BITS) == 0;
}

void xarray_init(struct xarray *xa, const struct xarray_memory *memory)
{
    *xa = (struct xarray){.memory = memory};
}

size_t xarray_node_size(void)
{
    return sizeof(struct xarray_node);
}

void xarray_fini(struct xarray *xa)
{
    struct xarray_node *node = root_node(xa);

    while (node != NULL) {
        uint64_t present = node->facts[FACT_PRESENT];
        if (node->shift != 0 && present != 0) {
            unsigned slot = bit_ffs(present);
            node->facts[FACT_PRESENT] &= ~BIT(slot);
            node = node->slots[slot];
        } else {
            struct xarray_node *parent = node->parent;
            xa->memory->free(node);
            node = parent;
        }
    }
    xarray_init(xa, xa->memory);
}

/* The leaf that holds `index`, or NULL. */
static inline struct xarray_node *find_leaf(const struct xarray *xa, uint64_t index)
{
    struct xarray_node *node = root_node(xa);

    if (node == NULL || !shift_covers(node->shift, index)) {
        return NULL;
    }
    while (node != NULL && node->shift != 0) {
        node = node->slots[slot_of(node, index)];
    }
    return node;
}

void *xarray_load(const struct xarray *xa, uint64_t index)
{
    struct xarray_node *leaf = find_leaf(xa, index);

    if (leaf != NULL) {
        return leaf->slots[slot_of(leaf, index)];
    }
    return index == 0 ? root_entry(xa) : NULL;
}

unsigned xarray_load_many(const struct xarray *xa, uint64_t index, unsigned n, void **entries)
{
    unsigned found = 0;

    for (unsigned done = 0; done < n;) {
        const struct xarray_node *leaf = find_leaf(xa, index);
        unsigned slot = (unsigned)index % NSLOTS;
        unsigned run = n - done < NSLOTS - slot ? n - done : NSLOTS - slot;
        for (unsigned i = 0; i < run; i++) {
            entries[i] = leaf != NULL ? leaf->slots[slot + i] : NULL;
            found += entries[i] != NULL;
        }
        if (leaf == NULL && index == 0 && root_entry(xa) != NULL) {
            entries[0] = root_entry(xa);
            found++;
        }
        entries += run;
        index += run;
        done += run;
    }
    return found;
}

/* ---- facts ---- */

/* Set a mark of a slot and, up the tree, of what contains it. */
static void raise_mark(struct xarray_node *node, unsigned slot, unsigned mark)
{
    while (node != NULL && (node->facts[mark] & BIT(slot)) == 0) {
        node->facts[mark] |= BIT(slot);
        slot = node->offset;
        node = node->parent;
    }
}

static void lower_mark(struct xarray_node *node, unsigned slot, unsigned mark)
{
    while (node != NULL && (node->facts[mark] & BIT(slot)) != 0) {
        node->facts[mark] &= ~BIT(slot);
        if (node->facts[mark] != 0) {
            return;
        }
        slot = node->offset;
        node = node->parent;
    }
}

static void raise_full(struct xarray_node *node, unsigned slot)
{
    while (node != NULL) {
        node->facts[FACT_FULL] |= BIT(slot);
        if (node->facts[FACT_FULL] != ~0ull) {
            return;
        }
        slot = node->offset;
        node = node->parent;
    }
}

static void lower_full(struct xarray_node *node, unsigned slot)
{
    while (node != NULL) {
        bool was_full = node->facts[FACT_FULL] == ~0ull;
        node->facts[FACT_FULL] &= ~BIT(slot);
        if (!was_full) {
            return;
        }
        slot = node->offset;
        node = node->parent;
    }
}

/* ---- growing and shrinking ---- */

static struct xarray_node *node_create(struct xarray *xa, unsigned shift)
{
    struct xarray_node *node = xa->memory->alloc(sizeof(*node));

    if (node != NULL) {
        node->shift = (uint8_t)shift;
    }
    return node;
}

/* Hang `child` on slot `offset` of `parent`, and sum up its facts there. */
static void node_attach(struct xarray_node *parent, unsigned offset, struct xarray_node *child)
{
    child->parent = parent;
    child->offset = (uint8_t)offset;
    parent->slots[offset] = child;
    parent->facts[FACT_PRESENT] |= BIT(offset);
    if (child->facts[FACT_FULL] == ~0ull) {
        parent->facts[FACT_FULL] |= BIT(offset);
    }
    for (unsigned mark = 0; mark < XARRAY_NMARKS; mark++) {
        if (child->facts[mark] != 0) {
            parent->facts[mark] |= BIT(offset);
        }
    }
}

/* Lower the tree while its root holds nothing but slot 0; free it when it is empty. */
static void shrink_root(struct xarray *xa)
{
    struct xarray_node *node = root_node(xa);

    while (node != NULL && (node->facts[FACT_PRESENT] & ~1ull) == 0) {
        void *only = node->slots[0];
        if (node->shift == 0) {
            xa->root = only;
            xa->root_marks = 0;
            for (unsigned mark = 0; mark < XARRAY_NMARKS; mark++) {
                xa->root_marks |= (node->facts[mark] & 1) << mark;
            }
            xa->memory->free(node);
            return;
        }
        xa->memory->free(node);
        if (only == NULL) {
            xa->root = NULL;
            return;
        }
        node = only;
        set_root_node(xa, node);
    }
}

/* Free `node` and its ancestors as far as they are empty, then lower the tree. */
static void prune(struct xarray *xa, struct xarray_node *node)
{
    while (node->facts[FACT_PRESENT] == 0 && node->parent != NULL) {
        struct xarray_node *parent = node->parent;
        parent->slots[node->offset] = NULL;
        parent->facts[FACT_PRESENT] &= ~BIT(node->offset);
        xa->memory->free(node);
        node = parent;
    }
    if (node->parent == NULL) {
        shrink_root(xa);
    }
}

/* Make the tree reach up to `index`. On -ENOMEM it may have become higher than need be. */
static int grow_root(struct xarray *xa, uint64_t index)
{
    struct xarray_node *node = root_node(xa), *up;

    if (node == NULL) {
        void *entry = root_entry(xa);
        unsigned shift = 0;
        while (entry == NULL && !shift_covers(shift, index)) {
            shift += SLOT_BITS;
        }
        node = node_create(xa, shift);
        if (node == NULL) {
            return -ENOMEM;
        }
        if (entry != NULL) {
            node->slots[0] = entry;
            node->facts[FACT_PRESENT] = 1;
            node->facts[FACT_FULL] = 1;
            for (unsigned mark = 0; mark < XARRAY_NMARKS; mark++) {
                node->facts[mark] = (xa->root_marks >> mark) & 1;
            }
        }
        xa->root_marks = 0;
        set_root_node(xa, node);
    }
    while (!shift_covers(node->shift, index)) {
        up = node_create(xa, node->shift + SLOT_BITS);
        if (up == NULL) {
            return -ENOMEM;
        }
        node_attach(up, 0, node);
        set_root_node(xa, up);
        node = up;
    }
    return 0;
}

/* The leaf for `index`, made with all that leads to it. */
static int make_leaf(struct xarray *xa, uint64_t index, struct xarray_node **ret_leaf)
{
    struct xarray_node *node, *child;
    int err = grow_root(xa, index);

    if (err < 0) {
        shrink_root(xa);
        return err;
    }
    for (node = root_node(xa); node->shift != 0; node = child) {
        unsigned slot = slot_of(node, index);
        child = node->slots[slot];
        if (child == NULL) {
            child = node_create(xa, node->shift - SLOT_BITS);
            if (child == NULL) {
                prune(xa, node);
                return -ENOMEM;
            }
            node_attach(node, slot, child);
        }
    }
    *ret_leaf = node;
    return 0;
}

int xarray_store(struct xarray *xa, uint64_t index, void *entry, void **ret_old)
{
    struct xarray_node *leaf;
    void *old;
    int err;

    if (entry == NULL) {
        old = xarray_erase(xa, index);
    } else if (index == 0 && root_node(xa) == NULL) {
        old = root_entry(xa);
        xa->root = entry;
        xa->nentries += old == NULL;
    } else {
        leaf = find_leaf(xa, index);
        if (leaf == NULL) {
            err = make_leaf(xa, index, &leaf);
            if (err < 0) {
                return err;
            }
        }
        unsigned slot = slot_of(leaf, index);
        old = leaf->slots[slot];
        leaf->slots[slot] = entry;
        if (old == NULL) {
            leaf->facts[FACT_PRESENT] |= BIT(slot);
            raise_full(leaf, slot);
            xa->nentries++;
        }
    }
    if (ret_old != NULL) {
        *ret_old = old;
    }
    return 0;
}

void *xarray_erase(struct xarray *xa, uint64_t index)
{
    struct xarray_node *leaf = find_leaf(xa, index);
    unsigned slot;
    void *old;

    if (leaf == NULL) {
        old = index == 0 ? root_entry(xa) : NULL;
        if (old != NULL) {
            xarray_init(xa, xa->memory);
        }
        return old;
    }
    slot = slot_of(leaf, index);
    old = leaf->slots[slot];
    if (old == NULL) {
        return NULL;
    }
    for (unsigned mark = 0; mark < XARRAY_NMARKS; mark++) {
        lower_mark(leaf, slot, mark);
    }
    lower_full(leaf, slot);
    leaf->slots[slot] = NULL;
    leaf->facts[FACT_PRESENT] &= ~BIT(slot);
    xa->nentries--;
    if (leaf->facts[FACT_PRESENT] == 0 ||
        (leaf->parent == NULL && leaf->facts[FACT_PRESENT] == 1)) {
        prune(xa, leaf);
    }
    return old;
}

/* ---- searching ---- */

/*
 * First index from *index to `last` whose slots, all the way down, have the bit of `fact` different from `invert`: 0 looks for set
 * bits, ~0 for clear ones. In a search for clear bits a missing child is a find. The tree reaches `*index`.
 */
static bool search(const struct xarray *xa, uint64_t *index, uint64_t last, enum fact fact,
                   uint64_t invert)
{
    const struct xarray_node *node = root_node(xa);
    uint64_t at = *index;

    while (at <= last && shift_covers(root_node(xa)->shift, at)) {
        unsigned slot = slot_of(node, at);
        uint64_t bits = (node->facts[fact] ^ invert) >> slot;
        if (bits == 0) {
            /* Nothing in the rest of this node: go on behind it, from the top. */
            unsigned span = node->shift + SLOT_BITS;
            if (span >= 64) {
                return false;
            }
            at = ((at >> span) + 1) << span;
            if (at == 0) {
                return false;
            }
            node = root_node(xa);
            continue;
        }
        unsigned skip = bit_ffs(bits);
        if (skip != 0) {
            at = ((at >> node->shift) + skip) << node->shift;
        }
        if (node->shift == 0 || node->slots[slot + skip] == NULL) {
            *index = at;
            return at <= last;
        }
        node = node->slots[slot + skip];
    }
    if (invert != 0 && at <= last) {
        *index = at; /* beyond the tree everything is free */
        return true;
    }
    return false;
}

static void *find_fact(const struct xarray *xa, uint64_t *index, uint64_t last, enum fact fact)
{
    if (root_node(xa) == NULL) {
        bool here = *index == 0 && (fact == FACT_PRESENT || ((xa->root_marks >> fact) & 1) != 0);
        return here ? root_entry(xa) : NULL;
    }
    return search(xa, index, last, fact, 0) ? xarray_load(xa, *index) : NULL;
}

void *xarray_find(const struct xarray *xa, uint64_t *index, uint64_t last)
{
    return find_fact(xa, index, last, FACT_PRESENT);
}

void *xarray_find_marked(const struct xarray *xa, uint64_t *index, uint64_t last,
                         enum xarray_mark mark)
{
    return find_fact(xa, index, last, (enum fact)mark);
}

bool xarray_find_free(const struct xarray *xa, uint64_t from, uint64_t last, uint64_t *ret_index)
{
    if (from > last) {
        return false;
    }
    if (root_node(xa) == NULL) {
        if (from == 0 && root_entry(xa) != NULL) {
            if (last == 0) {
                return false;
            }
            from = 1;
        }
        *ret_index = from;
        return true;
    }
    if (!search(xa, &from, last, FACT_FULL, ~0ull)) {
        return false;
    }
    *ret_index = from;
    return true;
}

/* ---- marks ---- */

void xarray_set_mark(struct xarray *xa, uint64_t index, enum xarray_mark mark)
{
    struct xarray_node *leaf = find_leaf(xa, index);

    if (leaf != NULL) {
        unsigned slot = slot_of(leaf, index);
        if (leaf->slots[slot] != NULL) {
            raise_mark(leaf, slot, mark);
        }
    } else if (index == 0 && root_entry(xa) != NULL) {
        xa->root_marks |= 1u << mark;
    }
}

void xarray_clear_mark(struct xarray *xa, uint64_t index, enum xarray_mark mark)
{
    struct xarray_node *leaf = find_leaf(xa, index);

    if (leaf != NULL) {
        lower_mark(leaf, slot_of(leaf, index), mark);
    } else if (index == 0) {
        xa->root_marks &= ~(1u << mark);
    }
}

bool xarray_get_mark(const struct xarray *xa, uint64_t index, enum xarray_mark mark)
{
    struct xarray_node *leaf = find_leaf(xa, index);

    if (leaf != NULL) {
        return (leaf->facts[mark] >> slot_of(leaf, index)) & 1;
    }
    return index == 0 && root_entry(xa) != NULL && ((xa->root_marks >> mark) & 1) != 0;
}
