/*
 * Machines with more memory than there is: what boot does must not depend on how much. Frames are handed out, but not touched.
 */
#define TEST_SUITE "sim"
#include "test/unit/test.h"

#include "hal/host/host.h"
#include "kernel/abi/boot.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/mm/section.h"

/* Struct pages of the GiB at the bottom, of up to 2 GiB where the early allocator works, and of borders. */
#define BOOT_FRAMES_MOST (GIB(4) / PAGE_SIZE)
/* Frames that boot writes to: those struct pages, half as much again for all else. */
#define BOOT_TOUCHED_MOST (BOOT_FRAMES_MOST * sizeof(struct page) * 3 / 2 / PAGE_SIZE)

#define PIECES 1024u

static struct boot_mem map[8 + PIECES];
static unsigned nmap;

static void add(uint64_t base, uint64_t length_bytes, uint32_t type)
{
    map[nmap++] = (struct boot_mem){base, length_bytes, type, ~0u};
}

/* What every PC has below 3 GiB. */
static void add_low(void)
{
    add(0, 0x9f000, BOOT_MEM_USABLE);
    add(0x9f000, 0x61000, BOOT_MEM_RESERVED);
    add(MIB(1), MIB(1), BOOT_MEM_KERNEL);
    add(MIB(2), MIB(1), BOOT_MEM_LOADER);
    add(MIB(3), GIB(3) - MIB(3), BOOT_MEM_USABLE);
}

static uint64_t usable_frames(void)
{
    uint64_t frames = 0;

    for (unsigned i = 0; i < nmap; i++) {
        frames += map[i].type == BOOT_MEM_USABLE ? map[i].length_bytes / PAGE_SIZE : 0;
    }
    return frames;
}

static struct frame_stats stats_now(void)
{
    struct frame_stats stats;

    frame_stats(&stats);
    return stats;
}

/* Boot it, and look at what that cost. */
static void boot(void)
{
    struct section_figures figures;

    host_machine_init_map(map, nmap);
    section_figures(&figures);
    struct frame_stats stats = stats_now();
    uint64_t touched = host_memory_touched();
    test_note("%llu MiB in %u pieces: boot made %llu struct pages (%llu KiB, for %llu MiB of "
              "memory) and %llu sections, wrote to %llu frames (%llu KiB), and looked at %llu "
              "pieces of the map",
              (unsigned long long)(usable_frames() >> 8), nmap, (unsigned long long)figures.frames,
              (unsigned long long)(figures.frames * sizeof(struct page) >> 10),
              (unsigned long long)(figures.frames >> 8), (unsigned long long)figures.sections,
              (unsigned long long)touched, (unsigned long long)(touched << 2),
              (unsigned long long)figures.pieces);
    EXPECT_LE(touched, BOOT_TOUCHED_MOST);
    EXPECT_LE(figures.frames, BOOT_FRAMES_MOST);
    EXPECT_LE(figures.sections, 4);
    EXPECT_LE(figures.pieces, 40 * (nmap + 400));
    /* All that is usable is there, but for the page array: 1 %, and what boot took. */
    EXPECT_GT(stats.total, usable_frames() / 1000 * 989);
    EXPECT_LT(stats.total, usable_frames());
    EXPECT_GT(stats.free, stats.total - 8192);
}

/* n frames are taken: memory comes in as it is needed, and the sum stays. */
static void take(uint64_t n, int node)
{
    struct section_figures before, after;
    struct frame_stats stats = stats_now();
    uint64_t touched = host_memory_touched();

    section_figures(&before);
    for (uint64_t i = 0; i < n; i += 512) {
        struct page *page = frame_alloc_node(9, 0, PAGE_ANON, node, NODES_ALL);
        EXPECT(page != NULL);
        EXPECT(pfn_valid(page_to_pfn(page)) && pfn_valid(page_to_pfn(page) + 511));
        EXPECT(node < 0 || page_node(page) == (unsigned)node);
    }
    section_figures(&after);
    EXPECT_LE(after.sections - before.sections, n / 32768 + 2);
    EXPECT_EQ(stats_now().total, stats.total);
    uint64_t gone = stats.free - stats_now().free;
    EXPECT_GE(gone, n);
    EXPECT_LE(gone, n + 64); /* page tables of the array */
    /* The struct pages of what was taken, and of the sections' rests; of the memory itself nothing. */
    EXPECT_LE(host_memory_touched() - touched,
              (n + 2 * 32768) * sizeof(struct page) / PAGE_SIZE + 128);
}

TEST(memory_dense, sixteen_tebibytes_boot_like_one_gibibyte)
{
    add_low();
    add(GIB(3), GIB(1), BOOT_MEM_RESERVED);
    add(GIB(4), GIB(16 * 1024), BOOT_MEM_USABLE);
    boot();
    EXPECT(!pfn_valid(GIB(1024) / PAGE_SIZE)); /* it has no struct page yet */
    take(GIB(4) / PAGE_SIZE, NODE_LOCAL);
}

TEST(memory_sparse, a_thousand_pieces_of_a_gibibyte)
{
    add_low();
    for (uint64_t i = 1; i <= PIECES; i++) {
        /* Nothing is a multiple of a GiB. */
        add(i * GIB(15) + MIB(128) * (i % 8), GIB(1), BOOT_MEM_USABLE);
    }
    boot();
    take(GIB(4) / PAGE_SIZE, NODE_LOCAL);
}

TEST(memory_nodes, each_node_brings_in_its_own)
{
    static struct numa_map numa = {.nnodes = 4, .nranges = 4};

    for (unsigned i = 0; i < 4; i++) {
        /* The borders lie inside sections. */
        numa.range[i] =
            (struct numa_range){i * (GIB(1024) + MIB(32)), (i + 1) * (GIB(1024) + MIB(32)), i};
        for (unsigned j = 0; j < 4; j++) {
            numa.distance[i][j] = (uint8_t)(i == j ? 10 : 20 + (i > j ? i - j : j - i));
        }
    }
    EXPECT_EQ(nodes_set_map(&numa), 0);
    add_low();
    add(GIB(3), GIB(1), BOOT_MEM_RESERVED);
    add(GIB(4), GIB(4092), BOOT_MEM_USABLE);
    boot();
    EXPECT_EQ(nodes_with_memory(), 0xf);
    EXPECT_EQ(node_near(2, 0), 2);
    EXPECT_EQ(node_near(2, 1), 3);
    EXPECT_EQ(node_near(2, 2), 1);
    for (int node = 0; node < 4; node++) {
        take(GIB(1) / PAGE_SIZE, node);
    }
    struct node_stats stats;
    EXPECT(node_stats(3, &stats));
    EXPECT_GE(stats.numa[NUMA_HIT], GIB(1) / PAGE_SIZE / 512);
    EXPECT_EQ(stats.numa[NUMA_MISS], 0);
    EXPECT_GE(stats.by_kind[PAGE_ANON], GIB(1) / PAGE_SIZE);
    EXPECT(frame_alloc_node(0, 0, PAGE_ANON, 1, 0) == NULL); /* no node is allowed */
    /* Where only one node is allowed, that is the one meant. */
    EXPECT(node_stats(2, &stats));
    uint64_t hits = stats.numa[NUMA_HIT];
    EXPECT(frame_alloc_node(0, 0, PAGE_ANON, NODE_LOCAL, BIT(2)) != NULL);
    EXPECT(node_stats(2, &stats));
    EXPECT_EQ(stats.numa[NUMA_HIT], hits + 1);
    EXPECT_EQ(stats.numa[NUMA_MISS], 0);
}

/* ---- lists of each node ---- */

static struct page *page_of_node(unsigned node)
{
    struct page *page = frame_alloc_node(0, 0, PAGE_ANON, (int)node, BIT(node));

    EXPECT(page != NULL && page_node(page) == node);
    return page;
}

TEST(memory_lists, pages_are_on_the_lists_of_their_node)
{
    static struct numa_map numa = {
        .nnodes = 3,
        .nranges = 3,
        /* The last node's frames have numbers that 32 bits do not hold. */
        .range = {{0, GIB(8), 0}, {GIB(8), GIB(64), 1}, {GIB(20 * 1024), GIB(20 * 1024 + 8), 2}},
        .distance = {{10, 20, 30}, {20, 10, 20}, {30, 20, 10}},
    };
    struct page *pages[12], *got[12];
    unsigned seen;

    EXPECT_EQ(nodes_set_map(&numa), 0);
    add_low();
    add(GIB(3), GIB(1), BOOT_MEM_RESERVED);
    add(GIB(4), GIB(60), BOOT_MEM_USABLE);
    add(GIB(20 * 1024), GIB(8), BOOT_MEM_USABLE);
    host_machine_init_map(map, nmap);
    EXPECT_EQ(lru_nodes(), 3);
    for (unsigned i = 0; i < 12; i++) {
        pages[i] = page_of_node(i % 4 == 3 ? 0 : i % 4);
    }
    lru_add_new(pages, 12); /* of several nodes at once, as with interleaved memory */
    EXPECT_EQ(lru_count(0, LRU_INACTIVE_ANON), 6);
    EXPECT_EQ(lru_count(1, LRU_INACTIVE_ANON), 3);
    EXPECT_EQ(lru_count(2, LRU_INACTIVE_ANON), 3);
    lru_activate(pages[2]);
    lru_activate(pages[6]);
    EXPECT_EQ(lru_count(2, LRU_ACTIVE_ANON), 2);
    EXPECT_EQ(lru_isolate(2, 0, LRU_ACTIVE_ANON, 12, got, &seen), 2);
    EXPECT_PTR_EQ(got[0], pages[2]);
    EXPECT_PTR_EQ(got[1], pages[6]);
    EXPECT_EQ(lru_isolate(0, 0, LRU_INACTIVE_ANON, 9, got + 2, &seen), 6);
    EXPECT_PTR_EQ(got[2], pages[0]);
    lru_put_back(got, 8); /* and back, mixed again */
    EXPECT_EQ(lru_count(0, LRU_INACTIVE_ANON), 6);
    EXPECT_EQ(lru_count(2, LRU_ACTIVE_ANON), 2);
    pages_put(pages, 12);
    for (unsigned node = 0; node < 3; node++) {
        EXPECT_EQ(lru_count(node, LRU_INACTIVE_ANON) + lru_count(node, LRU_ACTIVE_ANON), 0);
    }
}

TEST(memory_exhausted, the_last_frame_is_found_and_none_is_given_twice)
{
    static uint8_t seen[GIB(6) / PAGE_SIZE];
    struct page *page;
    uint64_t n = 0;

    add_low();
    add(GIB(3), GIB(1), BOOT_MEM_RESERVED);
    add(GIB(4), GIB(2), BOOT_MEM_USABLE);
    host_machine_init_map(map, nmap);
    uint64_t free = stats_now().free;
    while ((page = frame_alloc(0, FRAME_RESERVE, PAGE_ANON)) != NULL) {
        EXPECT_EQ(seen[page_to_pfn(page)]++, 0);
        n++;
    }
    test_note("%llu of %llu free frames handed out one by one", (unsigned long long)n,
              (unsigned long long)free);
    EXPECT_GE(n, free - 64); /* page tables */
    EXPECT_EQ(stats_now().free, 0);
    for (pfn_t pfn = 0; pfn < ARRAY_SIZE(seen); pfn++) {
        if (seen[pfn] != 0) {
            frame_free(pfn_to_page(pfn));
        }
    }
    frames_drain_local();
    EXPECT_EQ(stats_now().free, n);
    uint64_t blocks = 0;
    while ((page = frame_alloc(FRAME_MAX_ORDER, FRAME_RESERVE, PAGE_ANON)) != NULL) {
        blocks++;
    }
    EXPECT_GT(blocks << FRAME_MAX_ORDER, n - 16384); /* all merged again */
}

/* ---- who looks while memory comes in ---- */

static bool done; /* [a] */
static uint64_t rises, looks;

static uint64_t free_of(enum zone_id id)
{
    struct zone_stats stats;

    return zone_stats(0, id, &stats) ? stats.free : 0;
}

static void take_or_look(void *arg, unsigned cpu)
{
    uint64_t last = UINT64_MAX;

    (void)arg;
    if (cpu == 0) {
        take(GIB(6) / PAGE_SIZE, NODE_LOCAL);
        __atomic_store_n(&done, true, __ATOMIC_SEQ_CST);
        return;
    }
    while (!__atomic_load_n(&done, __ATOMIC_SEQ_CST)) {
        uint64_t now = free_of(ZONE_NORMAL);
        rises += now > last;
        last = now;
        looks++;
    }
}

TEST(memory_cpus, a_zone_that_grows_never_looks_emptier_than_it_is)
{
    add_low();
    add(GIB(3), GIB(1), BOOT_MEM_RESERVED);
    add(GIB(4), GIB(8), BOOT_MEM_USABLE);
    host_machine_init_map(map, nmap);
    host_run_on_cpus(2, take_or_look, NULL);
    test_note("looked %llu times", (unsigned long long)looks);
    EXPECT_EQ(rises, 0);
}
