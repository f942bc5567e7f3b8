/* Read-ahead: the decisions of its window, and what a simulated medium is asked for (kernel/vm/readahead.h). */
#define TEST_SUITE "vm"
#include <linux/fadvise.h>

#include "test/unit/test.h"

#include "kernel/vm/readahead.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/store.h"

#define BASE 0x60000000ull
#define MOST READAHEAD_PAGES

/* ---- the decision ---- */

static void expect_plan(struct readahead_plan plan, uint64_t start, uint32_t size, uint32_t ahead)
{
    EXPECT_EQ(plan.start, start);
    EXPECT_EQ(plan.size, size);
    EXPECT_EQ(plan.ahead, ahead);
}

TEST(readahead, windows_of_a_sequence_double_up_to_the_most)
{
    struct readahead ra;

    readahead_init(&ra, 128);
    expect_plan(readahead_decide(&ra, 0, 1, false, 0, 0), 0, 4, 3);
    expect_plan(readahead_decide(&ra, 1, 1, true, 0, 4), 4, 16, 16);
    expect_plan(readahead_decide(&ra, 4, 1, true, 0, 20), 20, 32, 32);
    expect_plan(readahead_decide(&ra, 20, 1, true, 0, 52), 52, 64, 64);
    expect_plan(readahead_decide(&ra, 52, 1, true, 0, 116), 116, 128, 128);
    expect_plan(readahead_decide(&ra, 116, 1, true, 0, 244), 244, 128, 128);
    expect_plan(readahead_decide(&ra, 372, 1, false, 0, 0), 372, 128, 128); /* its mark was lost */
}

TEST(readahead, jumps_read_what_they_ask_for_and_spoil_no_window)
{
    struct readahead ra;

    readahead_init(&ra, MOST);
    expect_plan(readahead_decide(&ra, 700, 1, false, 0, 0), 0, 0, 0);
    expect_plan(readahead_decide(&ra, 0, 4, false, 0, 0), 0, 8, 4);
    expect_plan(readahead_decide(&ra, 900, 4, false, 0, 0), 0, 0, 0);
    expect_plan(readahead_decide(&ra, 300, 4, false, 4, 0), 0, 0, 0); /* a neighbour by chance */
    expect_plan(readahead_decide(&ra, 4, 4, true, 0, 8), 8, 16, 16);
}

TEST(readahead, the_second_of_two_neighbours_begins_a_sequence)
{
    struct readahead ra;

    readahead_init(&ra, MOST);
    ra.last = 499;
    expect_plan(readahead_decide(&ra, 500, 2, false, 2, 0), 500, 4, 2);
    ra.last = 499;
    expect_plan(readahead_decide(&ra, 499, 2, false, 0, 0), 499, 4, 2);
    ra.last = 501;
    expect_plan(readahead_decide(&ra, 500, 2, false, 0, 0), 0, 0, 0);
}

TEST(readahead, large_requests_and_long_histories_are_sequences)
{
    struct readahead ra;

    readahead_init(&ra, MOST);
    expect_plan(readahead_decide(&ra, 77, 100, false, 0, 0), 77, 64, 32);
    readahead_init(&ra, MOST);
    expect_plan(readahead_decide(&ra, 77, 2, false, 10, 0), 77, 12, 10);
    readahead_init(&ra, MOST);
    expect_plan(readahead_decide(&ra, 77, 2, false, 32, 0), 77, 32, 30);
}

TEST(readahead, a_mark_of_another_stream_goes_on_at_the_first_hole)
{
    struct readahead ra;

    readahead_init(&ra, MOST);
    ra = (struct readahead){.start = 1000, .size = 8, .ahead = 8, .most = MOST, .usual = MOST};
    expect_plan(readahead_decide(&ra, 50, 1, true, 0, 58), 58, 16, 16);
    expect_plan(readahead_decide(&ra, 58, 1, true, 0, 74), 74, 32, 32);
}

TEST(readahead, advice_sets_how_far)
{
    struct readahead ra;

    readahead_init(&ra, MOST);
    readahead_advise(&ra, POSIX_FADV_RANDOM);
    expect_plan(readahead_decide(&ra, 0, 1, false, 0, 0), 0, 0, 0);
    readahead_advise(&ra, POSIX_FADV_SEQUENTIAL);
    expect_plan(readahead_decide(&ra, 0, 64, false, 0, 0), 0, 128, 64);
    readahead_advise(&ra, POSIX_FADV_NORMAL);
    expect_plan(readahead_decide(&ra, 64, 1, true, 0, 128), 128, 32, 32);
}

/* ---- what the medium is asked for ---- */

static struct readahead open_file;

static void begin(void)
{
    for (unsigned i = 0; i < STORE_PAGES; i++) {
        memset(store.medium[i], (int)(i * 7), PAGE_SIZE);
    }
    readahead_init(&open_file, MOST);
    store_cache.size_bytes = STORE_PAGES << PAGE_SHIFT;
    store.read_delay = 4 * NS_PER_MS;
}

static void test_sequential(void)
{
    begin();
    for (uint64_t i = 0; i < 1024; i++) {
        store_read_at(&open_file, i, 1);
    }
    EXPECT_EQ(store.reads, 0);                    /* nothing was read alone */
    EXPECT_LE(store.aheads, 6 + 1024 / MOST + 2); /* 4, 8, 16, then 32 at a time */
    EXPECT_LE(store.pages_read, 1024 + 3 * MOST);
}
TEST(readahead, a_sequential_reader_has_few_long_requests)
{
    store_test(test_sequential);
}

static void test_waits(void)
{
    ktime_t start;

    begin();
    store_read_at(&open_file, 0, 1);
    for (uint64_t i = 1; i < 512; i++) {
        store_sleep(NS_PER_MS); /* what is done with each page */
        start = ktime_now();
        store_read_at(&open_file, i, 1);
        EXPECT(i < 8 || ktime_now() == start);
    }
}
TEST(readahead, a_steady_reader_does_not_wait_for_the_medium)
{
    store_test(test_waits);
}

static void test_jumps(void)
{
    uint64_t seed = 3;

    begin();
    for (unsigned i = 0; i < 200; i++) {
        store_read_at(&open_file, 1 + (test_random(&seed) % 500) * 4, 1);
    }
    EXPECT_LE(store.pages_read, 200);
}
TEST(readahead, a_random_reader_reads_what_it_asks_for)
{
    store_test(test_jumps);
}

static void test_large(void)
{
    begin();
    store_read_at(&open_file, 100, 1000);
    EXPECT_EQ(store.reads, 0);
    EXPECT_LE(store.aheads, 1000 / MOST + 4);
    store_sleep(NS_PER_S);
    readahead_init(&open_file, MOST);
    readahead_advise(&open_file, POSIX_FADV_RANDOM);
    unsigned before = store.aheads;
    unsigned pages = store.pages_read;
    store_read_at(&open_file, 1500, 100);
    EXPECT_EQ(store.pages_read - pages, 100);
    EXPECT_LE(store.aheads - before, 100 / 16 + 1);
}
TEST(readahead, a_large_read_is_split_into_long_requests_also_without_read_ahead)
{
    store_test(test_large);
}

static void test_interleaved(void)
{
    begin();
    for (uint64_t i = 0; i < 256; i++) { /* two streams through one descriptor */
        store_read_at(&open_file, i, 1);
        store_read_at(&open_file, 1000 + i, 1);
    }
    EXPECT_LE(store.aheads + store.reads, 50);
    EXPECT_LE(store.pages_read, 2 * 256 + 4 * MOST);
}
TEST(readahead, two_streams_through_one_descriptor_are_both_seen)
{
    store_test(test_interleaved);
}

static void test_end(void)
{
    begin();
    store_cache.size_bytes = (10 << PAGE_SHIFT) - 100;
    uint8_t data[PAGE_SIZE];
    for (unsigned i = 0; i < 10; i++) {
        struct iov_iter iter;
        loff_t pos = i << PAGE_SHIFT;
        iov_init_kernel(&iter, data, sizeof(data));
        EXPECT_EQ(pagecache_read(&store_cache, &open_file, &pos, &iter),
                  PAGE_SIZE - (i == 9) * 100);
    }
    EXPECT_EQ(store.pages_read, 10);
}
TEST(readahead, nothing_is_read_beyond_the_end_of_the_file)
{
    store_test(test_end);
}

/* ---- failures ---- */

static void test_error(void)
{
    struct iov_iter iter;
    uint8_t data[16];
    loff_t pos = 2 << PAGE_SHIFT;

    begin();
    store_read_at(&open_file, 0, 1);
    store_sleep(NS_PER_S);
    store.read_error = -EIO;
    store_read_at(&open_file, 1, 1);
    store_sleep(NS_PER_S); /* what was read ahead has failed */
    unsigned pages = store.pages_read;
    EXPECT_GT(store.aheads, 1);
    pos = (loff_t)(pages << PAGE_SHIFT);
    iov_init_kernel(&iter, data, sizeof(data));
    EXPECT_EQ(pagecache_read(&store_cache, &open_file, &pos, &iter), -EIO);
    store.read_error = 0;
    store_read_at(&open_file, 0, 200); /* none the worse for it */
}
TEST(readahead, an_error_of_read_ahead_is_only_for_who_asks_for_the_page_and_still_gets_it)
{
    store_test(test_error);
}

static void test_refused(void)
{
    begin();
    store.read_refuse = -ENOMEM;
    store_read_at(&open_file, 0, 1);
    EXPECT_EQ(store.reads, 1);
    store_read_at(&open_file, 1, 100);
}
TEST(readahead, a_read_that_could_not_begin_is_made_by_who_needs_it)
{
    store_test(test_refused);
}

static void test_truncated(void)
{
    begin();
    store_read_at(&open_file, 0, 1);
    readahead_range(&store_cache, 100, 64);
    EXPECT_EQ(pagecache_truncate(&store_cache, 50 << PAGE_SHIFT), 0); /* waits for the medium */
    EXPECT_EQ(store.pages_read, 4 + 64);
    EXPECT_EQ(pagecache_truncate(&store_cache, 0), 0);
    EXPECT_EQ(store_cache.pages.nentries, 0);
}
TEST(readahead, truncation_waits_for_what_is_being_read)
{
    store_test(test_truncated);
}

/* ---- advice ---- */

static void test_range(void)
{
    begin();
    readahead_range(&store_cache, 10, 200);
    EXPECT_EQ(store.aheads, DIV_ROUND_UP(200, READAHEAD_RUN));
    store_sleep(NS_PER_S);
    unsigned requests = store.aheads;
    store_read_at(NULL, 10, 200);
    EXPECT_EQ(store.aheads + store.reads, requests);
    store_fill(20, 1, 'x'); /* dirty: stays */
    EXPECT_EQ(pagecache_drop_clean(&store_cache, 0, 99), 89);
    EXPECT_EQ(pagecache_drop_clean(&store_cache, 0, UINT64_MAX >> PAGE_SHIFT), 110);
    EXPECT_EQ(store_cache.pages.nentries, 1);
}
TEST(readahead, a_range_is_read_on_advice_and_clean_pages_are_let_go)
{
    store_test(test_range);
}

/* ---- mappings ---- */

static struct vmspace *map_store(uint64_t npages, uint32_t flags)
{
    struct vmspace *vm = space_enter();

    begin();
    store_source.ahead = &open_file;
    EXPECT_EQ(vmspace_map(vm, BASE, npages * PAGE_SIZE, VM_READ | TEST_MAY | flags, VMMAP_FIXED,
                          &store_source, 0, NULL),
              (int64_t)BASE);
    return vm;
}

static void test_around(void)
{
    (void)map_store(STORE_PAGES, 0);
    EXPECT_EQ(peek(BASE + 500 * PAGE_SIZE), (uint8_t)(500 * 7));
    EXPECT_EQ(store.aheads, 1);
    EXPECT_EQ(store.first_read, 500 - MOST / 2);
    EXPECT_EQ(store.last_run, MOST);
    for (unsigned i = 501; i < 900; i++) {
        EXPECT_EQ(peek(BASE + i * PAGE_SIZE), (uint8_t)(i * 7));
    }
    EXPECT_EQ(store.reads, 0);
    EXPECT_LE(store.aheads, 400 / MOST + 3);
    space_leave();
    store_source.ahead = NULL;
}
TEST(readahead, a_fault_in_a_mapping_reads_around_and_goes_on)
{
    store_test(test_around);
}

static void test_mapping_random(void)
{
    uint64_t seed = 9;

    struct vmspace *vm = map_store(STORE_PAGES, 0);
    EXPECT_EQ(vmspace_advise(vm, BASE, STORE_PAGES * PAGE_SIZE, 1), 0); /* MADV_RANDOM */
    for (unsigned i = 0; i < 50; i++) {
        (void)peek(BASE + (test_random(&seed) % STORE_PAGES) * PAGE_SIZE);
    }
    EXPECT_EQ(store.aheads, 0);
    EXPECT_LE(store.reads, 50);
    EXPECT_EQ(vmspace_advise(vm, BASE + 1000 * PAGE_SIZE, 100 * PAGE_SIZE, 3), 0); /* WILLNEED */
    EXPECT_GE(store.pages_read + store.aheads * READAHEAD_RUN, 100);
    space_leave();
    store_source.ahead = NULL;
}
TEST(readahead, advice_for_a_mapping_is_heard)
{
    store_test(test_mapping_random);
}

static void test_gives_up(void)
{
    (void)map_store(STORE_PAGES, 0);
    open_file.missed = 100; /* as many faults in vain */
    EXPECT_EQ(peek(BASE + 700 * PAGE_SIZE), (uint8_t)(700 * 7));
    EXPECT_EQ(store.aheads, 0);
    EXPECT_EQ(store.reads, 1);
    EXPECT_EQ(peek(BASE + 16 * PAGE_SIZE), (uint8_t)(16 * 7));
    EXPECT_EQ(store.pages_read, 2);
    space_leave();
    store_source.ahead = NULL;
}
TEST(readahead, reading_around_ends_where_it_was_for_nothing)
{
    store_test(test_gives_up);
}
