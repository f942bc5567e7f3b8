#define TEST_SUITE "mm"
#include "test/unit/test.h"

#include "kernel/core/defect.h"
#include "kernel/mm/fail.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"
#include "kernel/mm/vmem_tag.h"
#include "test/unit/base/random.h"

#define QUANTUM 0x1000ull
#define SPAN    512u /* quanta */
#define NSPANS  2u
#define NQUANTA (NSPANS * (SPAN + 8)) /* with a gap that belongs to nobody behind each */
#define BASE    0xffffd00000000000ull
#define PIECES  160u
#define STEPS   20000u

/* ---- against a model: who owns each quantum ---- */

enum { GAP = -2, FREE = -1 };

static int owner[NQUANTA];
static struct {
    uint64_t start;
    unsigned n;
} pieces[PIECES];
static struct vmem arena;
static uint64_t seed;

static void model_begin(void)
{
    seed = 7;
    vmem_init(&arena, "test", QUANTUM, NULL);
    memset(pieces, 0, sizeof(pieces));
    for (unsigned i = 0; i < NQUANTA; i++) {
        owner[i] = i % (SPAN + 8) < SPAN ? FREE : GAP;
    }
    for (unsigned i = NSPANS; i-- > 0;) { /* the upper one first: they are sorted by address */
        EXPECT_EQ(vmem_add_span(&arena, BASE + i * (SPAN + 8) * QUANTUM, SPAN * QUANTUM), 0);
    }
}

/* The free quanta from `at` on, and where they begin. */
static unsigned hole_at(unsigned at, unsigned *ret_first)
{
    unsigned end = at;

    while (at > 0 && owner[at - 1] == FREE) {
        at--;
    }
    while (end < NQUANTA && owner[end] == FREE) {
        end++;
    }
    *ret_first = at;
    return end - at;
}

struct answer {
    unsigned lowest;   /* where the lowest fit begins; NQUANTA: nothing fits */
    unsigned smallest; /* the length of the smallest hole that it fits into */
};

static struct answer model_ask(unsigned n, unsigned align)
{
    struct answer answer = {NQUANTA, NQUANTA};
    unsigned first;

    for (unsigned i = 0; i < NQUANTA; i++) {
        if (owner[i] != FREE) {
            continue;
        }
        unsigned len = hole_at(i, &first), start = ALIGN_UP(first, align);
        if (start + n <= first + len) {
            answer.lowest = MIN(answer.lowest, start);
            answer.smallest = MIN(answer.smallest, len);
        }
        i = first + len;
    }
    return answer;
}

static void model_set(unsigned at, unsigned n, int value)
{
    for (unsigned i = at; i < at + n; i++) {
        owner[i] = value;
    }
}

static void step_alloc(unsigned slot, enum vmem_policy policy)
{
    unsigned n = 1 + (unsigned)(test_random(&seed) % (test_random(&seed) % 8 == 0 ? 100 : 12));
    unsigned align = test_random(&seed) % 4 == 0 ? 1u << test_random(&seed) % 6 : 1, first;
    struct answer answer = model_ask(n, align);
    uint64_t len = n * QUANTUM - test_random(&seed) % QUANTUM; /* is rounded up */
    uint64_t start = align > 1 ? vmem_alloc_aligned(&arena, len, align * QUANTUM, policy)
                               : vmem_alloc(&arena, len, policy);

    EXPECT_EQ(start == 0, answer.lowest == NQUANTA);
    if (start == 0) {
        return;
    }
    unsigned at = (unsigned)((start - BASE) / QUANTUM);
    EXPECT_EQ(start % (align * QUANTUM), 0);
    EXPECT_LE(at + n, NQUANTA);
    EXPECT_EQ(owner[at], FREE);
    unsigned hole = hole_at(at, &first);
    EXPECT_LE(at + n, first + hole);
    if (policy == VMEM_FIRST_FIT) {
        EXPECT_EQ(at, answer.lowest);
    } else if (policy == VMEM_BEST_FIT) {
        EXPECT_EQ(hole, answer.smallest);
    }
    model_set(at, n, (int)slot);
    pieces[slot].start = start;
    pieces[slot].n = n;
}

static void step_free(unsigned slot)
{
    vmem_free(&arena, pieces[slot].start, pieces[slot].n * QUANTUM);
    model_set((unsigned)((pieces[slot].start - BASE) / QUANTUM), pieces[slot].n, FREE);
    pieces[slot].start = 0;
}

/* The arena's pieces are the model's, and no two free ones are neighbours in a span. */
static void model_compare(void)
{
    struct vmem_stats stats;
    struct vmem_piece piece;
    uint64_t nused = 0, nfree = 0, used = 0, at = 0;

    while (vmem_describe(&arena, at, &piece)) {
        unsigned first = (unsigned)((piece.start - BASE) / QUANTUM), hole;
        unsigned n = (unsigned)(piece.len_bytes / QUANTUM);
        if (piece.used) {
            EXPECT(owner[first] >= 0 && pieces[owner[first]].n == n);
            used += n * QUANTUM;
            nused++;
        } else {
            EXPECT_EQ(hole_at(first, &hole), n);
            EXPECT_EQ(hole, first);
            nfree++;
        }
        at = piece.start + 1;
    }
    vmem_stats(&arena, &stats);
    EXPECT_EQ(stats.nused, nused);
    EXPECT_EQ(stats.nfree, nfree);
    EXPECT_EQ(stats.used_bytes, used);
    EXPECT_EQ(stats.total_bytes, NSPANS * SPAN * QUANTUM);
    EXPECT_EQ(stats.nspans, NSPANS);
}

static void run(enum vmem_policy policy)
{
    struct vmem_stats stats;

    model_begin();
    for (unsigned i = 0; i < STEPS; i++) {
        unsigned slot = (unsigned)(test_random(&seed) % PIECES);
        if (pieces[slot].start != 0) {
            step_free(slot);
        } else {
            step_alloc(slot, policy);
        }
        if (i % 64 == 0) {
            model_compare();
        }
    }
    for (unsigned slot = 0; slot < PIECES; slot++) {
        if (pieces[slot].start != 0) {
            step_free(slot);
        }
    }
    model_compare();
    vmem_stats(&arena, &stats);
    EXPECT_EQ(stats.nfree, NSPANS);
    EXPECT_GT(stats.failures, 0); /* it was full now and then */
    vmem_fini(&arena);
}

TEST(vmem, instant_fit_agrees_with_a_model)
{
    run(VMEM_INSTANT_FIT);
}

TEST(vmem, best_fit_takes_the_smallest_hole)
{
    run(VMEM_BEST_FIT);
}

TEST(vmem, first_fit_takes_the_lowest_hole)
{
    run(VMEM_FIRST_FIT);
}

TEST(vmem, sizes_that_make_no_sense_are_refused)
{
    model_begin();
    EXPECT_EQ(vmem_alloc(&arena, 0, VMEM_INSTANT_FIT), 0);
    EXPECT_EQ(vmem_alloc(&arena, UINT64_MAX, VMEM_INSTANT_FIT), 0);
    EXPECT_EQ(vmem_alloc(&arena, 1ull << 63, VMEM_BEST_FIT), 0);
    EXPECT_EQ(vmem_alloc(&arena, SPAN * QUANTUM + 1, VMEM_FIRST_FIT), 0);
    EXPECT_EQ(vmem_alloc_aligned(&arena, 1, 1ull << 63, VMEM_INSTANT_FIT), 0);
    EXPECT_EQ(vmem_alloc_aligned(&arena, 1, 1ull << 62, VMEM_FIRST_FIT), 0);
    model_compare();
    vmem_fini(&arena);
}

/* ---- many, imports, mistakes ---- */

TEST(vmem, a_hundred_thousand_pieces_join_again)
{
    static uint64_t starts[100000];
    const unsigned n = ARRAY_SIZE(starts);
    struct vmem_stats stats;
    uint64_t rng = 3;

    vmem_init(&arena, "test", QUANTUM, NULL);
    EXPECT_EQ(vmem_add_span(&arena, BASE, 1ull << 40), 0);
    for (unsigned i = 0; i < n; i++) {
        starts[i] = vmem_alloc(&arena, QUANTUM * (1 + i % 3), VMEM_INSTANT_FIT);
        EXPECT(starts[i] != 0);
    }
    for (unsigned i = 0; i < n; i++) {
        unsigned other = (unsigned)(test_random(&rng) % n);
        uint64_t start = starts[i];
        if (i % 3 == other % 3) {
            starts[i] = starts[other];
            starts[other] = start;
        }
    }
    for (unsigned i = 0; i < n; i++) {
        vmem_free(&arena, starts[i], QUANTUM * (1 + i % 3));
    }
    vmem_stats(&arena, &stats);
    EXPECT_EQ(stats.nused, 0);
    EXPECT_EQ(stats.nfree, 1);
    EXPECT_EQ(stats.used_bytes, 0);
    vmem_fini(&arena);
}

/* The last piece of three is freed and another one allocated, wherever the growth of the table stands. */
TEST(vmem, pieces_come_and_go_while_the_table_grows)
{
    enum { N = 1200 };
    static uint64_t starts[N];
    unsigned bits, turns = 0;
    bool more;

    vmem_init(&arena, "test", QUANTUM, NULL);
    EXPECT_EQ(vmem_add_span(&arena, BASE, 4 * N * QUANTUM), 0);
    for (unsigned i = 0; i < N; i++) {
        starts[i] = vmem_alloc(&arena, QUANTUM, VMEM_INSTANT_FIT);
    }
    bits = arena.bucket_bits;
    EXPECT_EQ(bits, 10);
    struct vmem_tag **old = arena.buckets;
    uint64_t irq = spin_lock_irqsave(&arena.lock);
    EXPECT(vmem_grow_begin_locked(&arena, kzalloc(sizeof(old[0]) << (bits + 1)), bits));
    EXPECT(!vmem_grow_begin_locked(&arena, NULL, bits));
    do {
        more = vmem_grow_turn_locked(&arena);
        turns++;
        spin_unlock_irqrestore(&arena.lock, irq);
        for (unsigned i = turns % 3; i < N; i += 3) {
            vmem_free(&arena, starts[i], QUANTUM);
            starts[i] = vmem_alloc(&arena, QUANTUM, VMEM_INSTANT_FIT);
            EXPECT(starts[i] != 0);
        }
        irq = spin_lock_irqsave(&arena.lock);
    } while (more);
    spin_unlock_irqrestore(&arena.lock, irq);
    kfree(old);
    EXPECT_EQ(turns, (1u << bits) / VMEM_SPLIT_TURN);
    for (unsigned i = 0; i < N; i++) {
        vmem_free(&arena, starts[i], QUANTUM);
    }
    EXPECT_EQ(arena.nused, 0);
    EXPECT_EQ(arena.nfree, 1);
    vmem_fini(&arena);
}

static struct vmem parent;
static unsigned nimported, nreleased;

static uint64_t import(void *arg, uint64_t len)
{
    EXPECT_EQ(len % (64 * QUANTUM), 0);
    nimported++;
    return vmem_alloc_aligned(arg, len, 64 * QUANTUM, VMEM_BEST_FIT);
}

static void release(void *arg, uint64_t start, uint64_t len)
{
    nreleased++;
    vmem_free(arg, start, len);
}

static const struct vmem_source source = {
    .import = import, .release = release, .arg = &parent, .unit = 64 * QUANTUM};

TEST(vmem, spans_are_imported_when_wanted_and_released_when_free)
{
    uint64_t small[70], large;
    struct vmem_stats stats;

    nimported = nreleased = 0;
    vmem_init(&parent, "parent", QUANTUM, NULL);
    EXPECT_EQ(vmem_add_span(&parent, BASE + QUANTUM, 1000 * QUANTUM), 0);
    vmem_init(&arena, "child", QUANTUM, &source);
    for (unsigned i = 0; i < 70; i++) {
        small[i] = vmem_alloc(&arena, QUANTUM, VMEM_INSTANT_FIT);
        EXPECT(small[i] != 0);
    }
    EXPECT_EQ(nimported, 2); /* of 64 quanta each */
    large = vmem_alloc_aligned(&arena, 100 * QUANTUM, 256 * QUANTUM, VMEM_FIRST_FIT);
    EXPECT(large != 0 && large % (256 * QUANTUM) == 0);
    EXPECT_EQ(nimported, 3);
    EXPECT_EQ(vmem_alloc(&arena, 900 * QUANTUM, VMEM_INSTANT_FIT), 0); /* nor has the source */
    vmem_stats(&arena, &stats);
    EXPECT_EQ(stats.nspans, 3);
    EXPECT_EQ(stats.imports, 3);
    EXPECT_EQ(stats.failures, 1);
    for (unsigned i = 0; i < 70; i++) {
        vmem_free(&arena, small[i], QUANTUM);
    }
    EXPECT_EQ(nreleased, 2);
    vmem_free(&arena, large, 100 * QUANTUM);
    EXPECT_EQ(nreleased, 3);
    vmem_stats(&parent, &stats);
    EXPECT_EQ(stats.nused, 0);
    EXPECT_EQ(stats.nfree, 1);
    vmem_fini(&arena);
    vmem_fini(&parent);
}

TEST(vmem, what_is_not_in_use_cannot_be_freed)
{
    struct vmem_stats stats;
    uint64_t before = defect_count(DEFECT_HEAP);

    model_begin();
    uint64_t start = vmem_alloc(&arena, 4 * QUANTUM, VMEM_INSTANT_FIT);
    EXPECT(start != 0);
    vmem_free(&arena, start + QUANTUM, QUANTUM);
    vmem_free(&arena, start, 3 * QUANTUM);
    vmem_free(&arena, start, 4 * QUANTUM);
    vmem_free(&arena, start, 4 * QUANTUM);
    vmem_free(&arena, 0, QUANTUM); /* like free(NULL) */
    EXPECT_EQ(defect_count(DEFECT_HEAP), before + 3);
    vmem_stats(&arena, &stats);
    EXPECT_EQ(stats.nused, 0);
    EXPECT_EQ(stats.nfree, NSPANS);
    vmem_fini(&arena);
}
