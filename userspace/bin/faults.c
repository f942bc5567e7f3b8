/*
 * faults: page faults as they happen, from the kernel's log of them (/sys/kernel/debug/faults).
 *
 *     faults [-n SECONDS] [-c TIMES]       a table by process and kind, anew each SECONDS (1), TIMES times (for ever)
 *     faults -l [-n SECONDS] [-c TIMES]    each fault in a line of its own instead
 *
 * The log is switched on while the tool runs, and off at its end unless it was on before. The kernel keeps the latest faults of each CPU: of those
 * that came faster than they were read, the number is told.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOG       "/sys/kernel/debug/faults"
#define CPUS_MAX  1024
#define ROWS_MAX  512
#define COMM_SIZE 64 /* 15 bytes, each perhaps as \ooo */

static const char *const kinds[] = {"zero", "anon", "cow",    "reuse", "file",
                                    "swap", "huge", "denied", "nomem", "other"};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

struct fault {
    unsigned cpu;
    unsigned long long number;
    long long time;
    unsigned pid;
    unsigned long long addr, ip;
    char kind[16];
    char access;
    unsigned cost;
    char comm[COMM_SIZE];
};

/* What a process did since the last table. */
struct row {
    unsigned pid;
    char comm[COMM_SIZE];
    unsigned long count, by_kind[NKINDS];
    unsigned long long cost, dearest;
};

static volatile sig_atomic_t ended;
static unsigned long long seen[CPUS_MAX]; /* the number of the last fault read of each CPU */
static unsigned long missed;
static struct fault *fresh; /* of one reading */
static size_t nfresh;
static struct row rows[ROWS_MAX];
static size_t nrows;

static void on_signal(int signo)
{
    (void)signo;
    ended = 1;
}

static bool log_switch(bool on)
{
    int fd = open(LOG, O_WRONLY | O_CLOEXEC);
    bool ok = fd >= 0 && write(fd, on ? "1" : "0", 1) == 1;

    if (!ok) {
        fprintf(stderr, "faults: %s: %s\n", LOG, strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return ok;
}

/* ---- the table ---- */

static struct row *row_of(const struct fault *fault)
{
    for (size_t i = 0; i < nrows; i++) {
        if (rows[i].pid == fault->pid) {
            return &rows[i];
        }
    }
    if (nrows == ROWS_MAX) {
        return NULL;
    }
    struct row *row = &rows[nrows++];
    memset(row, 0, sizeof(*row));
    row->pid = fault->pid;
    return row;
}

static void count(const struct fault *fault)
{
    struct row *row = row_of(fault);

    if (row == NULL) {
        missed++;
        return;
    }
    memcpy(row->comm, fault->comm, COMM_SIZE); /* the latest: execve changes it */
    row->count++;
    row->cost += fault->cost;
    row->dearest = fault->cost > row->dearest ? fault->cost : row->dearest;
    for (size_t i = 0; i < NKINDS; i++) {
        row->by_kind[i] += strcmp(fault->kind, kinds[i]) == 0;
    }
}

static int by_count(const void *a, const void *b)
{
    const struct row *left = a, *right = b;

    if (left->count != right->count) {
        return left->count < right->count ? 1 : -1;
    }
    return left->pid < right->pid ? -1 : 1;
}

static void show_table(double seconds)
{
    unsigned long total = 0;
    char clock[16];
    time_t now = time(NULL);

    qsort(rows, nrows, sizeof(rows[0]), by_count);
    for (size_t i = 0; i < nrows; i++) {
        total += rows[i].count;
    }
    strftime(clock, sizeof(clock), "%H:%M:%S", localtime(&now));
    if (isatty(STDOUT_FILENO)) {
        fputs("\033[H\033[J", stdout);
    }
    printf("faults - %s  %lu in %.1f s, %lu more not kept\n", clock, total, seconds, missed);
    printf("%7s %-15s %7s", "PID", "COMMAND", "FAULTS");
    for (size_t i = 0; i < NKINDS; i++) {
        printf(" %6s", kinds[i]);
    }
    printf(" %8s %8s\n", "MEAN-ns", "MAX-ns");
    for (size_t i = 0; i < nrows; i++) {
        printf("%7u %-15s %7lu", rows[i].pid, rows[i].comm, rows[i].count);
        for (size_t kind = 0; kind < NKINDS; kind++) {
            printf(" %6lu", rows[i].by_kind[kind]);
        }
        printf(" %8llu %8llu\n", rows[i].cost / rows[i].count, rows[i].dearest);
    }
    fflush(stdout);
    nrows = 0;
    missed = 0;
}

/* ---- the log ---- */

static void show_line(const struct fault *fault)
{
    printf("%lld.%06lld cpu%u %7u %-15s %c %012llx at %012llx %-6s %8u ns\n",
           fault->time / 1000000000, fault->time / 1000 % 1000000, fault->cpu, fault->pid,
           fault->comm, fault->access, fault->addr, fault->ip, fault->kind, fault->cost);
}

/* The log has CPU after CPU, and threads move. */
static int by_time(const void *a, const void *b)
{
    const struct fault *left = a, *right = b;

    return (left->time > right->time) - (left->time < right->time);
}

static void keep(const struct fault *fault)
{
    static size_t room;

    if (nfresh == room) {
        size_t more = room == 0 ? 1024 : room * 2;
        struct fault *larger = realloc(fresh, more * sizeof(*fresh));
        if (larger == NULL) {
            missed++;
            return;
        }
        fresh = larger;
        room = more;
    }
    fresh[nfresh++] = *fault;
}

/* What is new in the log goes to `take` (NULL: it was before our time), in the order of time. False: the log cannot be read. */
static bool log_read(void (*take)(const struct fault *fault), bool *ret_on)
{
    FILE *log = fopen(LOG, "re");
    char line[256];
    unsigned self = (unsigned)getpid();

    if (log == NULL) {
        fprintf(stderr, "faults: %s: %s\n", LOG, strerror(errno));
        return false;
    }
    while (fgets(line, sizeof(line), log) != NULL) {
        struct fault fault;
        if (line[0] == '#') {
            *ret_on = strcmp(line, "# on\n") == 0;
            continue;
        }
        if (sscanf(line, "%u %llu %lld %u %llx %llx %15s %c %u %63s", &fault.cpu, &fault.number,
                   &fault.time, &fault.pid, &fault.addr, &fault.ip, fault.kind, &fault.access,
                   &fault.cost, fault.comm) != 10 ||
            fault.cpu >= CPUS_MAX || fault.number <= seen[fault.cpu]) {
            continue;
        }
        if (take != NULL) {
            missed += fault.number - seen[fault.cpu] - 1;
        }
        seen[fault.cpu] = fault.number;
        if (take != NULL && fault.pid != self) { /* reading faults, too */
            keep(&fault);
        }
    }
    fclose(log);
    if (nfresh > 0) {
        qsort(fresh, nfresh, sizeof(*fresh), by_time);
    }
    for (size_t i = 0; i < nfresh; i++) {
        take(&fresh[i]);
    }
    nfresh = 0;
    return true;
}

static int usage(void)
{
    fputs("usage: faults [-l] [-n SECONDS] [-c TIMES]\n", stderr);
    return 2;
}

static int watch(bool lines, double seconds, long times)
{
    struct timespec pause = {.tv_sec = (time_t)seconds,
                             .tv_nsec = (long)((seconds - (double)(time_t)seconds) * 1e9)};
    bool was_on = false, on;

    if (!log_read(NULL, &was_on) || !log_switch(true)) {
        return 1;
    }
    for (long i = 0; !ended && (times == 0 || i < times); i++) {
        nanosleep(&pause, NULL);
        if (!log_read(lines ? show_line : count, &on)) {
            break;
        }
        if (!lines) {
            show_table(seconds);
        } else if (missed > 0) {
            printf("%lu more were not kept\n", missed);
            missed = 0;
        }
        fflush(stdout);
    }
    return was_on || log_switch(false) ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    bool lines = false;
    double seconds = 1;
    long times = 0;
    int option;

    while ((option = getopt(argc, argv, "ln:c:")) != -1) {
        switch (option) {
        case 'l':
            lines = true;
            break;
        case 'n':
            seconds = strtod(optarg, NULL);
            break;
        case 'c':
            times = strtol(optarg, NULL, 10);
            break;
        default:
            return usage();
        }
    }
    if (optind < argc || !(seconds > 0) || seconds > 86400 || times < 0) {
        return usage();
    }
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGPIPE, &action, NULL);
    return watch(lines, seconds, times);
}
