/*
 * Process-context identifiers against a model of the TLB: several CPUs run and change several spaces, messages about changes arrive late
 * and in any order, and nobody uses a translation that a finished change had taken away.
 */
#define TEST_SUITE "hal"
#include "test/unit/test.h"

#include "hal/x86_64/asid.h"
#include "test/unit/base/random.h"

#define NCPUS   3u
#define NSPACES 9u
#define NPAGES  6u
#define NOBODY  UINT32_MAX

struct space {
    uint64_t id, generation;
    uint32_t version[NPAGES];  /* what the page table says */
    uint32_t finished[NPAGES]; /* the version that all flushes up to now guarantee */
};

struct cpu {
    struct asid_cpu asid;
    unsigned space; /* in use; NOBODY: the kernel's */
    unsigned tag;
    struct {
        uint64_t id;
        uint32_t version;
        bool valid;
    } tlb[ASID_SLOTS + 1][NPAGES];
};

/* A change of one page: on its way to the CPUs that ran the space. */
struct change {
    bool pending;
    unsigned space, page, waiting; /* a bit for each CPU that has not heard of it */
    uint64_t generation;
    uint32_t version;
};

static struct space spaces[NSPACES];
static struct cpu cpus[NCPUS];
static struct change changes[4];
static uint64_t seed, last_id, kept, range_flushes;

static unsigned below(unsigned n)
{
    return (unsigned)(test_random(&seed) % n);
}

static void tag_flush(struct cpu *cpu, unsigned tag)
{
    for (unsigned page = 0; page < NPAGES; page++) {
        cpu->tlb[tag][page].valid = false;
    }
}

static void cpu_switch(struct cpu *cpu, unsigned to)
{
    bool flush;

    if (cpu->space == to) {
        return;
    }
    cpu->space = to;
    cpu->tag = asid_choose(&cpu->asid, spaces[to].id, spaces[to].generation, &flush);
    EXPECT(cpu->tag >= 1 && cpu->tag <= ASID_SLOTS);
    if (flush) {
        tag_flush(cpu, cpu->tag);
    } else {
        kept++;
    }
}

static void cpu_access(struct cpu *cpu, unsigned page)
{
    if (cpu->space == NOBODY) {
        return;
    }
    struct space *space = &spaces[cpu->space];
    if (!cpu->tlb[cpu->tag][page].valid) {
        cpu->tlb[cpu->tag][page].valid = true;
        cpu->tlb[cpu->tag][page].id = space->id;
        cpu->tlb[cpu->tag][page].version = space->version[page];
    }
    EXPECT_EQ(cpu->tlb[cpu->tag][page].id, space->id);
    EXPECT_GE(cpu->tlb[cpu->tag][page].version, space->finished[page]);
}

/* The CPU hears of a change. */
static void change_arrives(struct change *change, unsigned c)
{
    struct cpu *cpu = &cpus[c];
    struct space *space = &spaces[change->space];

    change->waiting &= ~(1u << c);
    if (cpu->space == change->space) {
        switch (asid_follow(&cpu->asid, change->generation, space->generation)) {
        case ASID_RANGE:
            cpu->tlb[cpu->tag][change->page].valid = false;
            range_flushes++;
            break;
        case ASID_EVERYTHING:
            tag_flush(cpu, cpu->tag);
            break;
        case ASID_NOTHING:
            break;
        }
    }
    if (change->waiting == 0) {
        change->pending = false;
        space->finished[change->page] = MAX(space->finished[change->page], change->version);
    }
}

static void change_begins(struct change *change, unsigned c)
{
    struct space *space = &spaces[cpus[c].space];

    *change = (struct change){.pending = true, .space = cpus[c].space, .page = below(NPAGES)};
    change->version = ++space->version[change->page];
    change->generation = ++space->generation;
    for (unsigned i = 0; i < NCPUS; i++) {
        change->waiting |= (unsigned)(cpus[i].space == change->space) << i;
    }
}

/* The space ends and another takes its place in memory: nobody runs it, nothing is under way. */
static void space_reborn(unsigned s)
{
    for (unsigned i = 0; i < NCPUS; i++) {
        if (cpus[i].space == s) {
            return;
        }
    }
    for (unsigned i = 0; i < ARRAY_SIZE(changes); i++) {
        if (changes[i].pending && changes[i].space == s) {
            return;
        }
    }
    spaces[s] = (struct space){.id = ++last_id};
}

static void step(void)
{
    unsigned c = below(NCPUS);
    struct change *change = &changes[below(ARRAY_SIZE(changes))];

    switch (below(8)) {
    case 0:
        cpu_switch(&cpus[c], below(NSPACES));
        break;
    case 1:
        if (change->pending) {
            break;
        }
        if (cpus[c].space != NOBODY) {
            change_begins(change, c);
        }
        break;
    case 2:
    case 3:
        if (change->pending && (change->waiting >> c & 1) != 0) {
            change_arrives(change, c);
        }
        break;
    case 4:
        if (below(20) == 0) {
            space_reborn(below(NSPACES));
        }
        break;
    default:
        cpu_access(&cpus[c], below(NPAGES));
        break;
    }
}

TEST(asid, nobody_uses_what_a_finished_change_took_away)
{
    seed = 5;
    for (unsigned i = 0; i < NSPACES; i++) {
        spaces[i] = (struct space){.id = ++last_id};
    }
    for (unsigned i = 0; i < NCPUS; i++) {
        cpus[i] = (struct cpu){.space = NOBODY};
    }
    for (unsigned i = 0; i < 200000; i++) {
        step();
    }
    EXPECT_GT(kept, 1000);
    EXPECT_GT(range_flushes, 1000);
}

TEST(asid, the_spaces_that_ran_last_are_remembered)
{
    struct asid_cpu cpu = {0};
    bool flush;

    for (uint64_t id = 1; id <= ASID_SLOTS; id++) {
        EXPECT_EQ(asid_choose(&cpu, id, 0, &flush), id);
        EXPECT(flush);
    }
    EXPECT_EQ(asid_choose(&cpu, 3, 0, &flush), 3);
    EXPECT(!flush);
    EXPECT_EQ(asid_choose(&cpu, 4, 1, &flush), 4); /* it changed meanwhile */
    EXPECT(flush);
    EXPECT_EQ(asid_choose(&cpu, ASID_SLOTS + 1, 0, &flush), 1);
    EXPECT(flush);
    EXPECT_EQ(asid_choose(&cpu, 1, 0, &flush), 2);
    EXPECT(flush);
}

TEST(asid, changes_that_were_missed_mean_a_flush_of_everything)
{
    struct asid_cpu cpu = {0};
    bool flush;

    (void)asid_choose(&cpu, 1, 10, &flush);
    EXPECT_EQ(asid_follow(&cpu, 11, 11), ASID_RANGE);
    EXPECT_EQ(asid_follow(&cpu, 13, 14), ASID_EVERYTHING);
    EXPECT_EQ(asid_follow(&cpu, 12, 14), ASID_NOTHING);
    EXPECT_EQ(asid_follow(&cpu, 14, 14), ASID_NOTHING);
    EXPECT_EQ(asid_follow(&cpu, 15, 15), ASID_RANGE);
}
