/*
 * Host runner of the unit tests: hands each TEST() of the chosen folders to cmocka, which prints TAP.
 *
 *     unit [SUITE[/NOUN]]...       no argument: all but sim, torture and runner
 *     unit --all SUITE...          fails if a test belongs to none of them
 *
 * The cases of sim make machines of their own, each noun one: `unit sim/NOUN`. Those of runner fail, to see that it is told.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hal/host/host.h"

struct test_case {
    const char *suite;
    const char *noun;
    const char *name;
    void (*run)(void);
};
extern const struct test_case __start_linkset_tests[] __attribute__((weak, visibility("hidden")));
extern const struct test_case __stop_linkset_tests[] __attribute__((weak, visibility("hidden")));

void test_fail(const char *file, int line, const char *fmt, ...);
void test_skip(void);
void test_note(const char *fmt, ...);

static pthread_t runner_thread;
static const struct test_case *running;

/*
 * A CPU of a test other than the first one cannot leave it: it has locks, and others wait for it. The run is over, and says so as TAP does
 * (testanything.org, "Bail out!").
 */
static _Noreturn void fail_on_other_thread(const char *file, int line, const char *text)
{
    flockfile(stdout);
    (void)printf("not ok - %s: %s\n# %s:%d: %s\nBail out! %s:%d failed on a CPU beside the first\n",
                 running->noun, running->name, file, line, text, file, line);
    (void)fflush(stdout);
    _exit(1);
}

void test_fail(const char *file, int line, const char *fmt, ...)
{
    va_list args;
    char text[1024];

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (!pthread_equal(pthread_self(), runner_thread)) {
        fail_on_other_thread(file, line, text);
    }
    print_error("%s:%d: %s\n", file, line, text);
    _fail(file, line);
    abort();
}

void test_note(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)fputs("# ", stdout);
    (void)vprintf(fmt, args);
    (void)fputc('\n', stdout);
    va_end(args);
}

void test_skip(void)
{
    skip();
    abort();
}

static bool wanted(const struct test_case *test, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        size_t len = strlen(test->suite);
        if (strncmp(argv[i], test->suite, len) != 0) {
            continue;
        }
        if (argv[i][len] == '\0' ||
            (argv[i][len] == '/' && strcmp(argv[i] + len + 1, test->noun) == 0)) {
            return true;
        }
    }
    return argc < 2 && strcmp(test->suite, "sim") != 0 && strcmp(test->suite, "torture") != 0 &&
           strcmp(test->suite, "runner") != 0;
}

static void run_one(void **state)
{
    const struct test_case *test = *state;

    unsigned reports = host_sync_reports;

    running = test;
    test->run();
    if (!host_context_is_clean()) {
        fail_msg("left with preemption or interrupts off");
    }
    if (host_sync_reports != reports) {
        fail_msg("locks or reference counts were misused: see above");
    }
}

/* Does every test belong to one of these suites? Else there are some that nobody runs. */
static int check_suites(int n, char **names)
{
    const struct test_case *test;
    int i;

    for (test = __start_linkset_tests; test < __stop_linkset_tests; test++) {
        for (i = 0; i < n && strcmp(names[i], test->suite) != 0; i++) {
        }
        if (i == n) {
            (void)fprintf(stderr, "%s: %s: nobody runs the suite '%s'\n", test->noun, test->name,
                          test->suite);
            return 1;
        }
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--all") == 0) {
        return check_suites(argc - 2, argv + 2);
    }
    size_t total = (size_t)(__stop_linkset_tests - __start_linkset_tests);
    struct CMUnitTest *cases = calloc(total + 1, sizeof(*cases));
    size_t n = 0;

    runner_thread = pthread_self();
    setenv("CMOCKA_MESSAGE_OUTPUT", "TAP", 0);
    if (argc < 2 || strncmp(argv[1], "sim/", 4) != 0) {
        host_machine_init();
    }
    for (size_t i = 0; i < total; i++) {
        const struct test_case *test = &__start_linkset_tests[i];
        if (wanted(test, argc, argv)) {
            char *name = malloc(256);
            (void)snprintf(name, 256, "%s: %s", test->noun, test->name);
            cases[n++] = (struct CMUnitTest){
                .name = name, .test_func = run_one, .initial_state = (void *)(uintptr_t)test};
        }
    }
    if (n == 0) {
        free(cases);
        puts("1..0 # SKIP no test here yet");
        return 0;
    }
    return _cmocka_run_group_tests(argc > 1 ? argv[1] : "unit", cases, n, NULL, NULL) == 0 ? 0 : 1;
}
