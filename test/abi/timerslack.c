/* Timer slack: prctl(2) PR_SET_TIMERSLACK and /proc/PID/timerslack_ns (proc(5)). */
#include "abi.h"

#include <pthread.h>
#include <sys/prctl.h>

static unsigned long long slack_of(const char *who)
{
    char path[64], text[64] = "";
    unsigned long long value = 0;

    snprintf(path, sizeof(path), "/proc/%s/timerslack_ns", who);
    FILE *file = fopen(path, "r");
    CHECK(file != NULL);
    CHECK(fgets(text, sizeof(text), file) != NULL);
    fclose(file);
    CHECK_EQ(sscanf(text, "%llu\n", &value), 1);
    return value;
}

static int slack_write(const char *text)
{
    int fd = open("/proc/self/timerslack_ns", O_WRONLY);
    CHECK(fd >= 0);
    int result = write(fd, text, strlen(text)) < 0 ? errno : 0;
    close(fd);
    return result;
}

/* The slack is the thread's: each of these runs in a child, and leaves the others alone. */
ABI_TEST(timerslack, it_is_set_and_given_back)
{
    int status = IN_CHILD({
        int first = prctl(PR_GET_TIMERSLACK);
        CHECK(first > 0);
        CHECK_EQ(prctl(PR_SET_TIMERSLACK, 1234567ul), 0);
        CHECK_EQ(prctl(PR_GET_TIMERSLACK), 1234567);
        CHECK_EQ(slack_of("self"), 1234567);
        CHECK_EQ(prctl(PR_SET_TIMERSLACK, 0ul), 0);
        CHECK_EQ(prctl(PR_GET_TIMERSLACK), first);
    });
    CHECK_EQ(status, 0);
}

ABI_TEST(timerslack, a_child_begins_with_its_parents)
{
    int status = IN_CHILD({
        CHECK_EQ(prctl(PR_SET_TIMERSLACK, 777ul), 0);
        int inner = IN_CHILD({
            CHECK_EQ(prctl(PR_GET_TIMERSLACK), 777);
            CHECK_EQ(prctl(PR_SET_TIMERSLACK, 5000ul), 0);
            CHECK_EQ(prctl(PR_SET_TIMERSLACK, 0ul), 0);
            CHECK_EQ(prctl(PR_GET_TIMERSLACK), 777); /* what it began with */
        });
        CHECK_EQ(inner, 0);
        CHECK_EQ(prctl(PR_GET_TIMERSLACK), 777);
    });
    CHECK_EQ(status, 0);
}

static void *slack_of_thread(void *arg)
{
    *(int *)arg = prctl(PR_GET_TIMERSLACK);
    CHECK_EQ(prctl(PR_SET_TIMERSLACK, 999ul), 0);
    return NULL;
}

ABI_TEST(timerslack, each_thread_has_its_own)
{
    int status = IN_CHILD({
        pthread_t thread;
        int seen = 0;
        CHECK_EQ(prctl(PR_SET_TIMERSLACK, 4321ul), 0);
        CHECK_EQ(pthread_create(&thread, NULL, slack_of_thread, &seen), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
        CHECK_EQ(seen, 4321);
        CHECK_EQ(prctl(PR_GET_TIMERSLACK), 4321);
    });
    CHECK_EQ(status, 0);
}

ABI_TEST(timerslack, the_file_takes_decimal_numbers)
{
    int status = IN_CHILD({
        int first = prctl(PR_GET_TIMERSLACK);
        CHECK_EQ(slack_write("60000\n"), 0);
        CHECK_EQ(prctl(PR_GET_TIMERSLACK), 60000);
        CHECK_EQ(slack_write("many"), EINVAL);
        CHECK_EQ(slack_write("-1"), EINVAL);
        CHECK_EQ(prctl(PR_GET_TIMERSLACK), 60000);
        CHECK_EQ(slack_write("0"), 0);
        CHECK_EQ(prctl(PR_GET_TIMERSLACK), first);
    });
    CHECK_EQ(status, 0);
}

ABI_TEST(timerslack, no_sleep_ends_too_early)
{
    int status = IN_CHILD({
        struct timespec before, after, ms = {.tv_nsec = 1000000};
        CHECK_EQ(prctl(PR_SET_TIMERSLACK, 3000000ul), 0);
        for (int i = 0; i < 10; i++) {
            clock_gettime(CLOCK_MONOTONIC, &before);
            CHECK_EQ(nanosleep(&ms, NULL), 0);
            clock_gettime(CLOCK_MONOTONIC, &after);
            CHECK((after.tv_sec - before.tv_sec) * 1000000000ll + after.tv_nsec - before.tv_nsec >=
                  1000000);
        }
    });
    CHECK_EQ(status, 0);
}
