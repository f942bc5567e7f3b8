/* The log of a machine whose other CPUs have been stopped for good (kernel/core/log.h). A suite of its own: there is no way back. */
#define TEST_SUITE "log"
#include "kernel/core/log.h"

#include "kernel/core/panic.h"
#include "test/unit/test.h"

static unsigned written, wakes;

static void count_wake(void)
{
    wakes++;
}

/* The lock of the consoles is held here. Its holder is stopped in the midst of it, says the test, and another CPU goes on. */
static void stopped_in_write(struct log_console *console, const char *text, size_t len_bytes)
{
    (void)console;
    (void)len_bytes;
    written++;
    if (strstr(text, "test: alone") == NULL) {
        others_stop();
        log_write(LOG_EMERG, "test: alone");
        EXPECT_EQ(written, 2);
    }
}

TEST(log, that_stands_alone_waits_for_no_lock_and_wakes_nobody)
{
    static struct log_console console = {.name = "test", .write = stopped_in_write};

    log_wake_hook = count_wake;
    log_console_register(&console);
    EXPECT(!log_stands_alone());
    log_write(LOG_EMERG, "test: stopped");
    EXPECT(log_stands_alone());
    EXPECT_EQ(written, 2);
    EXPECT_EQ(wakes, 0);
    log_console_unregister(&console);
    log_wake_hook = NULL;
}
