#define TEST_SUITE "sync"
#include "kernel/sync/refcount.h"

#include "kernel/sync/report.h"
#include "test/unit/test.h"

static unsigned nreports;

static void count_report(const char *text, bool backtrace)
{
    (void)text;
    (void)backtrace;
    nreports++;
}

TEST(refcount, the_last_put_tells)
{
    struct refcount ref;

    refcount_init(&ref, 1);
    refcount_get(&ref);
    EXPECT(!refcount_put(&ref));
    EXPECT(refcount_put(&ref));
    EXPECT(!refcount_get_unless_zero(&ref));
}

TEST(refcount, saturates_and_reports_once_instead_of_coming_back_from_zero)
{
    void (*saved)(const char *, bool) = sync_report_hook;
    struct refcount ref;

    sync_report_hook = count_report;
    nreports = 0;
    refcount_init(&ref, 0);
    for (unsigned i = 0; i < 3; i++) {
        refcount_get(&ref); /* one place: reported once */
    }
    EXPECT_EQ(nreports, 1);
    EXPECT_GE(refcount_read(&ref), 0x80000000u);
    EXPECT(!refcount_put(&ref));
    EXPECT_GE(refcount_read(&ref), 0x80000000u);
    refcount_init(&ref, 0x7fffffff);
    refcount_get(&ref);
    refcount_get(&ref);
    EXPECT_EQ(refcount_read(&ref), REFCOUNT_SATURATED);
    sync_report_hook = saved;
}
