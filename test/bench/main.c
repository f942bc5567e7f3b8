/*
 * The benchmark as process 1: mounts what rows need, runs them, says what each was, powers the machine off.
 *
 * Words on the kernel's command line steer it: bench.rows=a,b (default: all), bench.samples=N (default 2), bench.times=1 for the time of
 * each sample, bench.scaling=1 (the rows of scaling.h on all CPUs), bench.wait=1 (say "ready" on the report's line and begin when
 * a byte comes back). The report goes to the second serial port, one line a row, in the order of the row marks:
 *
 *     row NAME UNIT AMOUNT         AMOUNT operations or pieces of 64 KiB in one sample
 *     time NAME NS                 how long a sample took; before the row's line
 *     skip NAME ERRNO WHAT         the kernel cannot; ERRNO is negative when a signal of that number ended it
 *     done
 *
 * Started with arguments it is an ordinary program: `bench ROW...` runs rows and reports on its output, `bench --scaling ROW...`
 * those of scaling.h; `bench --exit` is what the exec rows execute.
 */
#include "test/bench/scaling.h"

#include <sys/mount.h>
#include <sys/reboot.h>
#include <termios.h>

#define ROW_SECONDS 180 /* of the guest's time: a row that hangs ends */

static const struct row *const tables[] = {
    compute_rows, call_rows,   signal_rows, exchange_rows, thread_rows, stream_rows,  process_rows,
    memory_rows,  switch_rows, ready_rows,  network_rows,  file_rows,   program_rows,
};

static const char *error_what = "";
static FILE *report;
static bool timed;

int bench_error(const char *what)
{
    error_what = what;
    return errno == 0 ? -EPROTO : -errno;
}

int bench_make_file(size_t length)
{
    static char piece[65536];
    int fd = open(BENCH_FILE, O_RDWR | O_CREAT | O_TRUNC, 0644);

    if (fd < 0) {
        return -1;
    }
    memset(piece, 7, sizeof(piece));
    while (length > 0) {
        size_t now = length < sizeof(piece) ? length : sizeof(piece);
        if (bench_write_all(fd, piece, now) < 0) {
            close(fd);
            return -1;
        }
        length -= now;
    }
    return fd;
}

int bench_read_all(int fd, void *data, size_t length)
{
    for (char *at = data; length > 0;) {
        ssize_t got = read(fd, at, length);
        if (got <= 0) {
            return -1;
        }
        at += got;
        length -= (size_t)got;
    }
    return 0;
}

int bench_write_all(int fd, const void *data, size_t length)
{
    for (const char *at = data; length > 0;) {
        ssize_t put = write(fd, at, length);
        if (put <= 0) {
            return -1;
        }
        at += put;
        length -= (size_t)put;
    }
    return 0;
}

static long long now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* The body of a row's child: warm up, then the samples. */
static void run_row(const struct row *row, int samples)
{
    alarm(ROW_SECONDS);
    MARK(MARK_ROW);
    int err = row->run(row->count);
    for (int i = 0; err == 0 && i < samples; i++) {
        MARK(MARK_SAMPLE);
        long long begin = now_ns();
        err = row->run(row->count);
        if (timed) {
            fprintf(report, "time %s %lld\n", row->name, now_ns() - begin);
        }
    }
    alarm(0);
    if (err < 0) {
        fprintf(report, "skip %s %d %s\n", row->name, -err, error_what);
    } else {
        double amount = (double)row->count * row->scale;
        bool bytes = row->unit == UNIT_64KIB;
        fprintf(report, "row %s %s %.0f\n", row->name, bytes ? "64KiB" : "op",
                bytes ? amount / 65536 : amount);
    }
    fflush(report);
}

/* Is the row in the comma-separated list? An empty list names all that are not only run on request. */
static bool list_has(const char *list, const char *name, bool on_request)
{
    size_t length = strlen(name);

    if (*list == '\0') {
        return !on_request;
    }
    while (*list != '\0') {
        size_t word = strcspn(list, ", \n");
        if (word == length && strncmp(list, name, length) == 0) {
            return true;
        }
        list += word;
        if (*list != ',') {
            return false;
        }
        list++;
    }
    return false;
}

static void run_scaling_row(const struct scaling_row *row, int samples)
{
    unsigned ncpus = scaling_cpus();

    alarm(ROW_SECONDS);
    int err = scaling_run(row, ncpus, samples);
    alarm(0);
    if (err < 0) {
        fprintf(report, "skip %s %d %s\n", row->name, -err, error_what);
    } else {
        fprintf(report, "row %s op %.0f\n", row->name, (double)row->count * ncpus);
    }
    fflush(report);
}

/* A row in a child of its own, so that none finds what another left: one of the two. */
static void run_in_child(const char *name, const struct row *row, const struct scaling_row *scaling,
                         int samples)
{
    int status = 0;

    fflush(report);
    pid_t pid = fork();
    if (pid == 0) {
        if (row != NULL) {
            run_row(row, samples);
        } else {
            run_scaling_row(scaling, samples);
        }
        _exit(0);
    }
    if (pid < 0) {
        fprintf(report, "skip %s %d fork\n", name, errno);
    } else if (waitpid(pid, &status, 0) == pid && WIFSIGNALED(status)) {
        fprintf(report, "skip %s %d signal\n", name, -WTERMSIG(status));
    }
}

static void run_rows(const char *list, int samples, bool scaling)
{
    for (size_t i = 0; !scaling && i < sizeof(tables) / sizeof(tables[0]); i++) {
        for (const struct row *row = tables[i]; row->name != NULL; row++) {
            if (list_has(list, row->name, row->on_request)) {
                run_in_child(row->name, row, NULL, samples);
            }
        }
    }
    for (const struct scaling_row *row = scaling_rows; scaling && row->name != NULL; row++) {
        if (list_has(list, row->name, false)) {
            run_in_child(row->name, NULL, row, samples);
        }
    }
    fprintf(report, "done\n");
    fflush(report);
}

/* The value of a word `name=` of the kernel's command line, up to the next blank; empty when there is none. */
static const char *parameter(const char *name)
{
    static char line[4096];
    size_t length = strlen(name);
    int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
    ssize_t got = fd < 0 ? 0 : read(fd, line, sizeof(line) - 1);

    if (fd >= 0) {
        close(fd);
    }
    line[got > 0 ? got : 0] = '\0';
    for (char *word = strtok(line, " \n"); word != NULL; word = strtok(NULL, " \n")) {
        if (strncmp(word, name, length) == 0) {
            return word + length;
        }
    }
    return "";
}

/* The report's line, raw: the driver reads it as it is. */
static FILE *open_report(void)
{
    struct termios termios;
    int fd = open("/dev/ttyS1", O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd < 0) {
        return stdout;
    }
    if (tcgetattr(fd, &termios) == 0) {
        cfmakeraw(&termios);
        tcsetattr(fd, TCSANOW, &termios);
    }
    return fdopen(fd, "r+");
}

/* Who started the machine has something to do to it before it is measured. */
static void wait_for_start(void)
{
    char byte;

    fprintf(report, "ready\n");
    fflush(report);
    (void)!read(fileno(report), &byte, 1);
}

/* Process 1. */
static void run_as_init(void)
{
    static char rows[4096];

    mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sysfs", "/sys", "sysfs", 0, NULL);
    mount("tmpfs", "/tmp", "tmpfs", 0, NULL);
    mkdir("/dev/shm", 01777);
    report = open_report();
    strncpy(rows, parameter("bench.rows="), sizeof(rows) - 1);
    int samples = atoi(parameter("bench.samples="));
    timed = atoi(parameter("bench.times=")) != 0;
    bool scaling = atoi(parameter("bench.scaling=")) > 0;
    if (atoi(parameter("bench.wait=")) > 0) {
        wait_for_start();
    }
    run_rows(rows, samples > 0 ? samples : 2, scaling);
    if (report != stdout) {
        tcdrain(fileno(report));
    }
    sync();
    reboot(RB_POWER_OFF);
    for (;;) {
        pause();
    }
}

int main(int argc, char **argv)
{
    char list[4096] = "";

    if (argc > 1 && strcmp(argv[1], "--exit") == 0) {
        return 0;
    }
    signal(SIGPIPE, SIG_IGN);
    if (getpid() == 1) {
        run_as_init();
    }
    report = stdout;
    bool scaling = argc > 1 && strcmp(argv[1], "--scaling") == 0;
    for (int i = scaling ? 2 : 1; i < argc; i++) {
        strncat(list, argv[i], sizeof(list) - strlen(list) - 2);
        strcat(list, ",");
    }
    run_rows(list, 2, scaling);
    return 0;
}
