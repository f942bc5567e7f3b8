#define TEST_SUITE "mm"
#include "test/unit/test.h"

#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "test/unit/base/random.h"

#define N 64u

static struct page *fresh(enum page_kind kind)
{
    struct page *page = frame_alloc(0, 0, kind);

    EXPECT(page != NULL);
    lru_add_new(&page, 1);
    return page;
}

/* Everything on a list of any shard, oldest first, with a reference. */
static unsigned isolate_all(enum lru_list list, struct page **pages, unsigned max)
{
    unsigned got = 0;

    for (unsigned shard = 0; shard < LRU_SHARDS; shard++) {
        unsigned seen;
        got += lru_isolate(0, shard, list, max - got, pages + got, &seen);
    }
    return got;
}

TEST(lru, the_oldest_page_is_taken_first)
{
    struct page *pages[N];
    struct page *got[N];
    uint64_t before = lru_count(0, LRU_INACTIVE_ANON);

    for (unsigned i = 0; i < N; i++) {
        pages[i] = fresh(i % 2 == 0 ? PAGE_ANON : PAGE_SHARED);
    }
    EXPECT_EQ(lru_count(0, LRU_INACTIVE_ANON), before + N);
    EXPECT_EQ(isolate_all(LRU_INACTIVE_ANON, got, N), N);
    for (unsigned i = 0; i < N; i++) {
        EXPECT_EQ(got[i], pages[i]);
        EXPECT_EQ(got[i]->refs, 2);
        EXPECT(!lru_take(got[i]));
    }
    lru_put_back(got, N);
    EXPECT_EQ(lru_count(0, LRU_INACTIVE_ANON), before + N);
    pages_put(pages, N); /* what is freed leaves its list */
    EXPECT_EQ(lru_count(0, LRU_INACTIVE_ANON), before);
}

TEST(lru, pages_move_between_the_lists)
{
    struct page *page = fresh(PAGE_FILE);
    struct page *got[2];

    lru_activate(page);
    EXPECT_EQ(lru_count(0, LRU_ACTIVE_FILE), 1);
    EXPECT_EQ(lru_count(0, LRU_INACTIVE_FILE), 0);
    lru_deactivate(page);
    EXPECT_EQ(lru_count(0, LRU_INACTIVE_FILE), 1);
    lru_set_mlocked(page, true);
    EXPECT_EQ(lru_count(0, LRU_UNEVICTABLE), 1);
    EXPECT_EQ(isolate_all(LRU_INACTIVE_FILE, got, 2), 0);
    lru_set_mlocked(page, false);
    EXPECT_EQ(lru_count(0, LRU_INACTIVE_FILE), 1);
    EXPECT_EQ(isolate_all(LRU_INACTIVE_FILE, got, 2), 1);
    lru_set_mlocked(page, true); /* while it is on none: remembered */
    lru_put_back(got, 1);
    EXPECT_EQ(lru_count(0, LRU_UNEVICTABLE), 1);
    EXPECT(lru_take(page));
    EXPECT_EQ(lru_count(0, LRU_UNEVICTABLE), 0);
    page_put(page);
}

TEST(lru, a_page_that_is_being_freed_is_left_alone)
{
    struct page *page = fresh(PAGE_FILE);
    struct page *got[2];

    page->refs = 0; /* the last reference is gone, the lock is not yet taken */
    EXPECT_EQ(isolate_all(LRU_INACTIVE_FILE, got, 2), 0);
    EXPECT_EQ(lru_count(0, LRU_INACTIVE_FILE), 1);
    EXPECT(!lru_isolate_page(page));
    page_free_last(page);
    EXPECT_EQ(lru_count(0, LRU_INACTIVE_FILE), 0);
}

TEST(lru, a_page_found_by_its_number_is_taken_only_from_a_list)
{
    struct page *page = frame_alloc(0, 0, PAGE_ANON); /* still being made: nobody may touch it */

    EXPECT(!lru_isolate_page(page));
    EXPECT_EQ(page->refs, 1);
    lru_add_new(&page, 1);
    EXPECT(lru_isolate_page(page));
    EXPECT_EQ(page->refs, 2);
    EXPECT(!lru_isolate_page(page));
    struct page *back = page;
    lru_put_back(&back, 1);
    EXPECT_EQ(page->refs, 1);
    EXPECT_EQ(lru_count(0, LRU_INACTIVE_ANON), 1);
    page_put(page);
}

TEST(lru, random_moves_agree_with_counts)
{
    struct page *pages[N] = {NULL};
    uint64_t before[LRU_NLISTS];
    uint64_t seed = 99;

    for (enum lru_list list = 0; list < LRU_NLISTS; list++) {
        before[list] = lru_count(0, list);
    }
    for (unsigned round = 0; round < 20000; round++) {
        unsigned i = (unsigned)(test_random(&seed) % N);
        if (pages[i] == NULL) {
            pages[i] = fresh(i % 3 == 0 ? PAGE_FILE : PAGE_ANON);
            continue;
        }
        switch (test_random(&seed) % 6) {
        case 0:
            lru_activate(pages[i]);
            break;
        case 1:
            lru_deactivate(pages[i]);
            break;
        case 2:
        case 3:
            lru_set_mlocked(pages[i], test_random(&seed) % 2 == 0);
            break;
        case 4:
            page_put(pages[i]);
            pages[i] = NULL;
            break;
        default:
            if (lru_take(pages[i])) {
                page_get(pages[i]);
                lru_put_back(&pages[i], 1);
            }
            break;
        }
    }
    uint64_t expected[LRU_NLISTS] = {0};
    for (unsigned i = 0; i < N; i++) {
        if (pages[i] != NULL) {
            bool active = (pages[i]->flags & PAGE_FLAG_ACTIVE) != 0;
            bool locked = (pages[i]->flags & PAGE_FLAG_MLOCKED) != 0;
            expected[locked ? LRU_UNEVICTABLE : (i % 3 == 0 ? LRU_INACTIVE_FILE : 0) + active]++;
        }
    }
    for (enum lru_list list = 0; list < LRU_NLISTS; list++) {
        EXPECT_EQ(lru_count(0, list) - before[list], expected[list]);
    }
    for (unsigned i = 0; i < N; i++) {
        if (pages[i] != NULL) {
            page_put(pages[i]);
        }
    }
}
