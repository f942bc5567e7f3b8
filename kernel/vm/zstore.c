/*
 * One word for each page, in tables of 512 that come into being with the first page in them:
 *
 *     bit 63       locked
 *     bits 2..62   what the type says
 *     bits 0..1    type: nothing; the value of all words of the page (as far as 61 bits, signed, hold it); the handle of an object; the
 *                  number of a frame
 */
#include "kernel/vm/zstore.h"

#include "kernel/base/errno.h"
#include "kernel/base/lz4.h"
#include "kernel/base/string.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vm/zpool.h"

#define TABLE_WORDS 512u
#define PAGE_WORDS  (PAGE_SIZE / sizeof(uint64_t))

enum word_type { WORD_NONE, WORD_SAME, WORD_OBJECT, WORD_FRAME };

#define WORD_LOCKED     BIT(63)
#define WORD_TYPE_BITS  2
#define WORD_VALUE_BITS 61

_Static_assert(ZPOOL_HANDLE_BITS <= WORD_VALUE_BITS, "an object's handle fits");

/* Where a CPU compresses to, and puts together what lies in pieces. */
struct stream {
    struct spinlock lock;
    struct lz4_table table;      /* [lock] */
    uint8_t data[ZPOOL_LEN_MAX]; /* [lock] */
};

struct zstore {
    uint64_t npages;        /* [I] */
    uint64_t **tables;      /* [a] each NULL or a page; they stay */
    struct stream *streams; /* [I] */
    unsigned nstreams;      /* [I] */
    struct zpool pool;
    uint64_t nstored, nsame, nhuge, nhuge_ever; /* [a] */
    uint64_t compressed_bytes;                  /* [a] */
    uint64_t ncompacted, nfailed;               /* [a] */
    uint64_t peak_pages;                        /* [a] */
};

/* ---- words ---- */

static uint64_t word_make(enum word_type type, uint64_t value)
{
    return ((value << WORD_TYPE_BITS) & ~WORD_LOCKED) | type;
}

static enum word_type word_type(uint64_t word)
{
    return (enum word_type)(word & (BIT(WORD_TYPE_BITS) - 1));
}

static uint64_t word_value(uint64_t word)
{
    return (word & ~WORD_LOCKED) >> WORD_TYPE_BITS;
}

/* The value of WORD_SAME: the top bits are copies of its highest one. */
static uint64_t word_fill(uint64_t word)
{
    return (uint64_t)((int64_t)(word << 1) >> (WORD_TYPE_BITS + 1));
}

static uint64_t *word_find(const struct zstore *store, uint64_t index)
{
    uint64_t *table = atomic_load_acquire(&store->tables[index / TABLE_WORDS]);

    return table == NULL ? NULL : &table[index % TABLE_WORDS];
}

/* The same, with its table. NULL: no memory. */
static uint64_t *word_find_or_create(struct zstore *store, uint64_t index)
{
    uint64_t *word = word_find(store, index), *table = NULL;

    if (word != NULL) {
        return word;
    }
    struct page *page = frame_alloc(0, FRAME_ZERO | FRAME_RESERVE, PAGE_KERNEL);
    if (page == NULL) {
        return NULL;
    }
    if (!atomic_cas(&store->tables[index / TABLE_WORDS], &table, (uint64_t *)page_to_virt(page))) {
        page_put(page); /* another came first */
    }
    return word_find(store, index);
}

static bool word_trylock(uint64_t *word)
{
    preempt_disable();
    if ((atomic_fetch_or(word, WORD_LOCKED) & WORD_LOCKED) == 0) {
        return true;
    }
    preempt_enable();
    return false;
}

static void word_lock(uint64_t *word)
{
    while (!word_trylock(word)) {
        while ((atomic_load_relaxed(word) & WORD_LOCKED) != 0) {
            cpu_relax();
        }
    }
}

/* Unlock with another value. */
static void word_unlock(uint64_t *word, uint64_t value)
{
    atomic_store_release(word, value & ~WORD_LOCKED);
    preempt_enable();
}

/* ---- life ---- */

struct zstore *zstore_create(uint64_t npages)
{
    struct zstore *store = kvmalloc(sizeof(*store));

    if (store == NULL) {
        return NULL;
    }
    memset(store, 0, sizeof(*store));
    store->npages = npages;
    store->nstreams = cpu_count();
    zpool_init(&store->pool);
    size_t tables_bytes = DIV_ROUND_UP(npages, TABLE_WORDS) * sizeof(store->tables[0]);
    store->tables = kvmalloc(tables_bytes);
    if (store->tables == NULL) {
        goto free_store;
    }
    memset(store->tables, 0, tables_bytes);
    store->streams = kvmalloc(store->nstreams * sizeof(store->streams[0]));
    if (store->streams == NULL) {
        goto free_tables;
    }
    for (unsigned i = 0; i < store->nstreams; i++) {
        spin_init(&store->streams[i].lock, "zstore stream");
    }
    return store;

free_tables:
    kvfree(store->tables);
free_store:
    kvfree(store);
    return NULL;
}

void zstore_destroy(struct zstore *store)
{
    if (store == NULL) {
        return;
    }
    for (uint64_t i = 0; i < DIV_ROUND_UP(store->npages, TABLE_WORDS); i++) {
        if (store->tables[i] == NULL) {
            continue;
        }
        for (uint64_t k = 0; k < TABLE_WORDS; k++) {
            zstore_discard(store, i * TABLE_WORDS + k);
        }
        page_put(virt_to_page(store->tables[i]));
    }
    zpool_fini(&store->pool);
    kvfree(store->streams);
    kvfree(store->tables);
    kvfree(store);
}

/* ---- pages in and out ---- */

static struct stream *stream_lock(const struct zstore *store)
{
    /* Whether we stay on this CPU does not matter: the stream is locked. */
    struct stream *stream = &store->streams[this_cpu->id % store->nstreams];

    spin_lock(&stream->lock);
    return stream;
}

static bool page_is_same(const uint64_t *words, uint64_t *ret_fill)
{
    uint64_t fill = words[0];

    if (words[PAGE_WORDS - 1] != fill) {
        return false;
    }
    for (unsigned i = 1; i < PAGE_WORDS - 1; i++) {
        if (words[i] != fill) {
            return false;
        }
    }
    *ret_fill = fill;
    return true;
}

static void page_fill(uint64_t *words, uint64_t fill)
{
    if (fill == 0) {
        memset(words, 0, PAGE_SIZE);
        return;
    }
    for (unsigned i = 0; i < PAGE_WORDS; i++) {
        words[i] = fill;
    }
}

static void note_peak(struct zstore *store)
{
    uint64_t used = atomic_load_relaxed(&store->pool.npages);
    uint64_t peak = atomic_load_relaxed(&store->peak_pages);

    while (used > peak && !atomic_cas(&store->peak_pages, &peak, used)) {
    }
}

/* A frame of its own for a page that does not get smaller. Counted in the pool's frames, and held to its limit. */
static int frame_store(struct zstore *store, const void *page, uint64_t *ret_word)
{
    uint64_t limit = atomic_load_relaxed(&store->pool.limit_pages);
    struct page *frame = NULL;

    if (atomic_fetch_add_relaxed(&store->pool.npages, 1) < limit || limit == 0) {
        frame = frame_alloc(0, FRAME_RESERVE, PAGE_KERNEL);
    }
    if (frame == NULL) {
        (void)atomic_fetch_sub_relaxed(&store->pool.npages, 1);
        return -ENOMEM;
    }
    memcpy(page_to_virt(frame), page, PAGE_SIZE);
    (void)atomic_fetch_add_relaxed(&store->nhuge, 1);
    (void)atomic_fetch_add_relaxed(&store->nhuge_ever, 1);
    (void)atomic_fetch_add_relaxed(&store->compressed_bytes, PAGE_SIZE);
    *ret_word = word_make(WORD_FRAME, page_to_pfn(frame));
    return 0;
}

/* Put the content away; *ret_word says where. */
static int content_store(struct zstore *store, uint64_t index, const void *page, uint64_t *ret_word)
{
    uint64_t fill, word;
    zhandle_t handle;

    if (page_is_same(page, &fill)) {
        word = word_make(WORD_SAME, fill);
        if (word_fill(word) == fill) {
            (void)atomic_fetch_add_relaxed(&store->nsame, 1);
            *ret_word = word;
            return 0;
        }
    }
    struct stream *stream = stream_lock(store);
    size_t len = lz4_compress(page, PAGE_SIZE, stream->data, sizeof(stream->data), &stream->table);
    int err = len == 0 ? 0 : zpool_store(&store->pool, (uint32_t)index, stream->data, len, &handle);
    spin_unlock(&stream->lock);
    if (err < 0) {
        return err;
    }
    if (len == 0) {
        return frame_store(store, page, ret_word);
    }
    (void)atomic_fetch_add_relaxed(&store->compressed_bytes, len);
    *ret_word = word_make(WORD_OBJECT, handle);
    return 0;
}

/* Let go of what a word, which nobody can find any more, stood for. */
static void content_free(struct zstore *store, uint64_t word)
{
    switch (word_type(word)) {
    case WORD_NONE:
        return;
    case WORD_SAME:
        (void)atomic_fetch_sub_relaxed(&store->nsame, 1);
        break;
    case WORD_OBJECT:
        (void)atomic_fetch_sub_relaxed(&store->compressed_bytes,
                                       zpool_len(&store->pool, word_value(word)));
        zpool_free(&store->pool, word_value(word));
        break;
    case WORD_FRAME:
        page_put(pfn_to_page(word_value(word)));
        (void)atomic_fetch_sub_relaxed(&store->compressed_bytes, PAGE_SIZE);
        (void)atomic_fetch_sub_relaxed(&store->nhuge, 1);
        (void)atomic_fetch_sub_relaxed(&store->pool.npages, 1);
        break;
    }
    (void)atomic_fetch_sub_relaxed(&store->nstored, 1);
}

int zstore_write(struct zstore *store, uint64_t index, const void *page)
{
    uint64_t *word = word_find_or_create(store, index);
    uint64_t fresh = 0;

    int err = word == NULL ? -ENOMEM : content_store(store, index, page, &fresh);
    if (err < 0) {
        (void)atomic_fetch_add_relaxed(&store->nfailed, 1);
        return err;
    }
    (void)atomic_fetch_add_relaxed(&store->nstored, 1);
    note_peak(store);
    word_lock(word);
    uint64_t old = *word;
    word_unlock(word, fresh);
    content_free(store, old);
    return 0;
}

static int object_read(const struct zstore *store, zhandle_t handle, void *page)
{
    const void *data = zpool_read(&store->pool, handle, NULL);
    struct stream *stream = NULL;

    if (data == NULL) {
        stream = stream_lock(store);
        data = zpool_read(&store->pool, handle, stream->data);
    }
    ssize_t n = lz4_decompress(data, zpool_len(&store->pool, handle), page, PAGE_SIZE);
    if (stream != NULL) {
        spin_unlock(&stream->lock);
    }
    return n == (ssize_t)PAGE_SIZE ? 0 : -EIO;
}

int zstore_read(struct zstore *store, uint64_t index, void *page)
{
    uint64_t *word = word_find(store, index);
    int err = 0;

    if (word == NULL) {
        page_fill(page, 0);
        return 0;
    }
    word_lock(word);
    uint64_t value = *word;
    switch (word_type(value)) {
    case WORD_NONE:
        page_fill(page, 0);
        break;
    case WORD_SAME:
        page_fill(page, word_fill(value));
        break;
    case WORD_OBJECT:
        err = object_read(store, word_value(value), page);
        break;
    case WORD_FRAME:
        memcpy(page, page_to_virt(pfn_to_page(word_value(value))), PAGE_SIZE);
        break;
    }
    word_unlock(word, value);
    return err;
}

void zstore_discard(struct zstore *store, uint64_t index)
{
    uint64_t *word = word_find(store, index);

    if (word == NULL) {
        return;
    }
    word_lock(word);
    uint64_t old = *word;
    word_unlock(word, 0);
    content_free(store, old);
}

/* ---- compaction ---- */

static bool object_may_move(void *arg, uint32_t owner, zhandle_t handle)
{
    const struct zstore *store = arg;
    uint64_t *word = owner < store->npages ? word_find(store, owner) : NULL;

    if (word == NULL || !word_trylock(word)) {
        return false;
    }
    if ((*word & ~WORD_LOCKED) != word_make(WORD_OBJECT, handle)) {
        word_unlock(word, *word);
        return false;
    }
    return true;
}

static void object_moved(void *arg, uint32_t owner, zhandle_t handle)
{
    word_unlock(word_find(arg, owner), word_make(WORD_OBJECT, handle));
}

static const struct zpool_move_ops move_ops = {.may_move = object_may_move, .moved = object_moved};

uint64_t zstore_compactable(struct zstore *store)
{
    return zpool_compactable(&store->pool);
}

uint64_t zstore_compact(struct zstore *store)
{
    uint64_t freed = zpool_compact(&store->pool, &move_ops, store);

    (void)atomic_fetch_add_relaxed(&store->ncompacted, freed);
    return freed;
}

/* ---- figures ---- */

void zstore_set_limit(struct zstore *store, uint64_t npages)
{
    atomic_store_relaxed(&store->pool.limit_pages, npages);
}

void zstore_reset_peak(struct zstore *store)
{
    atomic_store_relaxed(&store->peak_pages, atomic_load_relaxed(&store->pool.npages));
}

void zstore_stats(const struct zstore *store, struct zstore_stats *ret_stats)
{
    *ret_stats = (struct zstore_stats){
        .stored_pages = atomic_load_relaxed(&store->nstored),
        .compressed_bytes = atomic_load_relaxed(&store->compressed_bytes),
        .used_pages = atomic_load_relaxed(&store->pool.npages),
        .peak_pages = atomic_load_relaxed(&store->peak_pages),
        .limit_pages = atomic_load_relaxed(&store->pool.limit_pages),
        .same_pages = atomic_load_relaxed(&store->nsame),
        .huge_pages = atomic_load_relaxed(&store->nhuge),
        .huge_pages_ever = atomic_load_relaxed(&store->nhuge_ever),
        .compacted_pages = atomic_load_relaxed(&store->ncompacted),
        .failed_writes = atomic_load_relaxed(&store->nfailed),
    };
}
