/*
 * abi [NOUN]...     runs the tests of these nouns, or all, and prints TAP
 *
 * With ABI_FAIL in the environment each test asks for allocations that fail (/proc/self/make-it-fail, set up by the caller in
 * /sys/kernel/debug). What becomes of it does not matter then: the system has to live, and whoever runs this looks at what is left.
 */
#include "abi.h"

#include <stdarg.h>
#include <sys/mount.h>

extern const struct abi_test __start_abi_tests[], __stop_abi_tests[];

#define SKIPPED      77 /* exit status */
#define TEST_SECONDS 100
#define FAIL_SECONDS 2 /* for a test that waits for what failed */
#define MORE_SECONDS 2 /* for a test that has a use of its own for SIGALRM */

static bool failing;  /* ABI_FAIL */
static pid_t running; /* the test */

static char failure[512];
static char *shared; /* the failure's text crosses from the child in a shared page */

void abi_fail(const char *file, int line, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int len = snprintf(failure, sizeof(failure), "%s:%d: ", file, line);
    (void)vsnprintf(failure + len, sizeof(failure) - (size_t)len, fmt, args);
    va_end(args);
    len = (int)strlen(failure);
    if (shared[0] != '\0') { /* a child has failed before */
        (void)snprintf(failure + len, sizeof(failure) - (size_t)len, ", since %s", shared);
    }
    memcpy(shared, failure, sizeof(failure));
    _exit(1);
}

void abi_skip(const char *why)
{
    (void)snprintf(shared, sizeof(failure), "%s", why);
    _exit(SKIPPED);
}

/* In the parent: the test did not end by its own alarm. */
static void on_late(int signo)
{
    (void)signo;
    (void)kill(running, SIGKILL);
}

char *abi_read_file(const char *path)
{
    static char buffer[1 << 20];
    size_t len = 0;
    int fd = open(path, O_RDONLY);
    ssize_t n;

    CHECK(fd >= 0);
    while (len < sizeof(buffer) - 1 && (n = read(fd, buffer + len, sizeof(buffer) - 1 - len)) > 0) {
        len += (size_t)n;
    }
    buffer[len] = '\0';
    close(fd);
    return buffer;
}

void abi_copy_self(const char *path, mode_t mode)
{
    static char buffer[1 << 16];
    int from = open("/proc/self/exe", O_RDONLY), to = open(path, O_WRONLY | O_CREAT, 0700);
    ssize_t n;

    CHECK(from >= 0 && to >= 0);
    while ((n = read(from, buffer, sizeof(buffer))) > 0) {
        CHECK_EQ(write(to, buffer, (size_t)n), n);
    }
    CHECK_EQ(fchmod(to, mode), 0);
    CHECK_EQ(close(from) | close(to), 0);
}

static void run_test(const struct abi_test *test, const char *dir)
{
    (void)signal(SIGALRM, SIG_DFL);
    (void)alarm(TEST_SECONDS);
    if (mkdir(dir, 0755) != 0 || chdir(dir) != 0) {
        abi_fail(__FILE__, __LINE__, "no test folder %s (errno %d)", dir, errno);
    }
    (void)umask(022);
    if (failing) {
        int fd = open("/proc/self/make-it-fail", O_WRONLY);
        (void)alarm(FAIL_SECONDS);
        (void)setpgid(0, 0);
        if (write(fd, "1", 1) != 1) {
            abi_fail(__FILE__, __LINE__, "this kernel does not fail on purpose (errno %d)", errno);
        }
    }
    test->run();
    _exit(0);
}

static int remove_tree(const char *dir)
{
    char command[256];

    (void)snprintf(command, sizeof(command), "chmod -R u+rwx %s 2>/dev/null; rm -rf %s", dir, dir);
    return system(command);
}

/* One line of TAP. Returns whether the test passed. */
static bool report(const struct abi_test *test, unsigned number, int status)
{
    bool skipped = WIFEXITED(status) && WEXITSTATUS(status) == SKIPPED;
    bool passed = skipped || (WIFEXITED(status) && WEXITSTATUS(status) == 0);

    printf("%sok %u - %s: %s%s%s\n", passed ? "" : "not ", number, test->noun, test->name,
           skipped ? " # SKIP " : "", skipped ? shared : "");
    if (WIFSIGNALED(status)) {
        printf("# killed by signal %d\n", WTERMSIG(status));
    } else if (!passed) {
        printf("# %s\n", shared);
    }
    fflush(stdout);
    return passed;
}

static bool wanted(const struct abi_test *test, int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], test->noun) == 0) {
            return true;
        }
    }
    return argc < 2;
}

int main(int argc, char **argv)
{
    unsigned number = 0, failed = 0, total = 0;
    char base[64];

    failing = getenv("ABI_FAIL") != NULL;
    shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    (void)snprintf(base, sizeof(base), "/var/tmp/abi.%d", (int)getpid());
    if (shared == MAP_FAILED || mkdir(base, 0755) != 0) {
        printf("Bail out! no memory or no /var/tmp\n");
        return 1;
    }
    for (const struct abi_test *test = __start_abi_tests; test < __stop_abi_tests; test++) {
        total += wanted(test, argc, argv);
    }
    printf("1..%u\n", total);
    (void)signal(SIGALRM, on_late);
    for (const struct abi_test *test = __start_abi_tests; test < __stop_abi_tests; test++) {
        char dir[128];
        int status = -1;

        if (!wanted(test, argc, argv)) {
            continue;
        }
        shared[0] = '\0';
        (void)snprintf(dir, sizeof(dir), "%s/%u", base, ++number);
        fflush(stdout);
        running = fork();
        if (running < 0) {
            printf("Bail out! no process\n");
            return 1;
        }
        if (running == 0) {
            run_test(test, dir);
        }
        (void)alarm((failing ? FAIL_SECONDS : TEST_SECONDS) + MORE_SECONDS);
        while (waitpid(running, &status, 0) < 0 && errno == EINTR) {
        }
        (void)alarm(0);
        if (failing) {
            (void)kill(-running, SIGKILL); /* whom it left behind */
        }
        failed += !report(test, number, status);
    }
    (void)chdir("/");
    (void)remove_tree(base);
    return failed != 0 && !failing;
}
