/*
 * Locks under load, from several CPUs in threads and interrupts: what they protect is counted with plain additions, which lose counts (and are
 * races, to a sanitizer that looks) where two are inside.
 */
#define TEST_SUITE "torture"
#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/sync/rwlock.h"
#include "kernel/sync/seqlock.h"
#include "kernel/sync/spinlock.h"
#include "test/unit/test.h"

#define NCPUS  4u
#define ROUNDS 4000u

static struct spinlock spin, irq_spin;
static struct rwlock rw;
static struct seqcount seq;
static uint64_t in_spin;        /* [spin] */
static uint64_t in_irq;         /* [irq_spin] */
static uint64_t in_rw[2];       /* [rw] equal for who reads */
static uint64_t in_seq[2];      /* [spin] to write, [seq] to read: equal */
static uint64_t nbad, nwritten; /* [a] */

static void count_in_interrupt(void *arg)
{
    (void)arg;
    spin_lock(&irq_spin);
    in_irq++;
    spin_unlock(&irq_spin);
}

/* The thread waits for one lock while its interrupts wait for another. */
static void spin_main(void *arg, unsigned cpu)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        spin_lock(&spin);
        in_spin++;
        (void)host_run_interrupt(count_in_interrupt, NULL);
        spin_unlock(&spin);
        if (i % 4 == cpu) {
            uint64_t flags = spin_lock_irqsave(&irq_spin);
            in_irq++;
            spin_unlock_irqrestore(&irq_spin, flags);
        } else if (spin_trylock(&spin)) {
            in_spin++;
            spin_unlock(&spin);
            (void)atomic_fetch_add_relaxed(&nwritten, 1);
        }
    }
}

TEST(spinlock, no_count_is_lost)
{
    spin_init(&spin, "torture spin");
    spin_init(&irq_spin, "torture irq spin");
    in_spin = in_irq = nwritten = 0;
    host_run_on_cpus(NCPUS, spin_main, NULL);
    EXPECT_EQ(in_spin, NCPUS * ROUNDS + nwritten);
    EXPECT_EQ(in_irq, NCPUS * (ROUNDS + ROUNDS / 4));
    EXPECT(!spin_is_locked(&spin) && !spin_is_locked(&irq_spin));
}

static void rw_main(void *arg, unsigned cpu)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        if ((i + cpu) % 5 == 0) {
            write_lock(&rw);
            in_rw[0]++;
            in_rw[1]++;
            write_unlock(&rw);
            continue;
        }
        read_lock(&rw);
        bool bad = in_rw[0] != in_rw[1];
        read_unlock(&rw);
        if (bad) {
            (void)atomic_fetch_add_relaxed(&nbad, 1);
        }
    }
}

TEST(rwlock, readers_see_all_of_a_write_or_nothing)
{
    rwlock_init(&rw, "torture rw");
    nbad = in_rw[0] = in_rw[1] = 0;
    host_run_on_cpus(NCPUS, rw_main, NULL);
    EXPECT_EQ(nbad, 0);
    EXPECT_EQ(in_rw[0], NCPUS * ROUNDS / 5);
    EXPECT_EQ(in_rw[1], in_rw[0]);
}

static void seq_main(void *arg, unsigned cpu)
{
    (void)arg;
    for (unsigned i = 0; i < ROUNDS; i++) {
        uint64_t first, second;
        uint32_t start;

        if ((i + cpu) % 5 == 0) {
            spin_lock(&spin);
            seq_write_begin(&seq);
            atomic_store_relaxed(&in_seq[0], in_seq[0] + 1);
            atomic_store_relaxed(&in_seq[1], in_seq[1] + 1);
            seq_write_end(&seq);
            spin_unlock(&spin);
            continue;
        }
        do {
            start = seq_read_begin(&seq);
            first = atomic_load_relaxed(&in_seq[0]);
            second = atomic_load_relaxed(&in_seq[1]);
        } while (seq_read_retry(&seq, start));
        if (first != second) {
            (void)atomic_fetch_add_relaxed(&nbad, 1);
        }
    }
}

TEST(seqlock, readers_retry_until_they_have_seen_one_state)
{
    spin_init(&spin, "torture seq");
    nbad = in_seq[0] = in_seq[1] = 0;
    host_run_on_cpus(NCPUS, seq_main, NULL);
    EXPECT_EQ(nbad, 0);
    EXPECT_EQ(in_seq[0], NCPUS * ROUNDS / 5);
}
