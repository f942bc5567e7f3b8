/* /proc/interrupts and /proc/irq (proc(5)): columns and rows, the files of a line, and what may be written to them. */
#include "abi.h"

#include <dirent.h>
#include <unistd.h>

/* 0 or the errno of writing `text` there. */
static int write_file(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY);
    ssize_t n;

    CHECK(fd >= 0);
    errno = 0;
    n = write(fd, text, strlen(text));
    int err = n < 0 ? errno : 0;
    CHECK(n < 0 || n == (ssize_t)strlen(text));
    close(fd);
    return err;
}

/* How many numbers stand behind the label `name`; -1: there is no such row. *ret_text: what follows them. */
static int row_numbers(const char *text, const char *name, const char **ret_text)
{
    for (const char *line = text; *line != '\0'; line = strchr(line, '\n') + 1) {
        const char *at = line + strspn(line, " ");
        size_t len = strlen(name);
        int n = 0;
        if (strncmp(at, name, len) != 0 || at[len] != ':') {
            continue;
        }
        for (at += len + 1;; n++) {
            size_t blanks = strspn(at, " ");
            size_t digits = strspn(at + blanks, "0123456789");
            if (digits == 0 || strchr(" \n", at[blanks + digits]) == NULL) {
                break;
            }
            at += blanks + digits;
        }
        *ret_text = at + strspn(at, " ");
        return n;
    }
    return -1;
}

ABI_TEST(interrupts, each_row_has_a_number_for_each_cpu_that_is_online)
{
    static const struct {
        const char *label, *text;
    } rows[] = {{"NMI", "Non-maskable interrupts\n"},  {"LOC", "Local timer interrupts\n"},
                {"SPU", "Spurious interrupts\n"},      {"RES", "Rescheduling interrupts\n"},
                {"CAL", "Function call interrupts\n"}, {"TLB", "TLB shootdowns\n"}};
    const char *text = abi_read_file("/proc/interrupts"), *rest;
    int columns = 0;

    for (const char *at = text; at < strchr(text, '\n') && (at = strstr(at, "CPU")) != NULL; at++) {
        columns += at < strchr(text, '\n');
    }
    CHECK_EQ(columns, sysconf(_SC_NPROCESSORS_ONLN));
    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_EQ(row_numbers(text, rows[i].label, &rest), columns);
        CHECK(strncmp(rest, rows[i].text, strlen(rows[i].text)) == 0);
    }
    CHECK_EQ(row_numbers(text, "ERR", &rest), 1);
    CHECK_EQ(row_numbers(text, "MIS", &rest), 1);
}

/* A line that may be moved; there is at least one on any machine, or the test is skipped. */
static void find_line(char path[64], const char *file)
{
    DIR *dir = opendir("/proc/irq");
    struct dirent *entry;

    if (dir == NULL) {
        abi_skip("no /proc/irq");
    }
    while ((entry = readdir(dir)) != NULL) {
        char mask[4096];
        if (entry->d_name[0] < '0' || entry->d_name[0] > '9') {
            continue;
        }
        (void)snprintf(path, 64, "/proc/irq/%s/smp_affinity", entry->d_name);
        if (access(path, W_OK) < 0) {
            continue;
        }
        (void)snprintf(mask, sizeof(mask), "%s", abi_read_file(path));
        if (write_file(path, mask) == 0) {
            (void)snprintf(path, 64, "/proc/irq/%s/%s", entry->d_name, file);
            closedir(dir);
            return;
        }
    }
    closedir(dir);
    abi_skip("no interrupt line may be moved");
}

static void check_mode(const char *name, unsigned mode)
{
    char path[64];
    struct stat st;

    find_line(path, name);
    CHECK_EQ(stat(path, &st), 0);
    CHECK_EQ(st.st_mode, mode);
    CHECK_EQ(st.st_uid, 0);
}

ABI_TEST(interrupts, a_line_has_its_files)
{
    char path[64];
    unsigned count;
    int node;

    check_mode("", S_IFDIR | 0555);
    check_mode("smp_affinity", S_IFREG | 0644);
    check_mode("smp_affinity_list", S_IFREG | 0644);
    check_mode("effective_affinity", S_IFREG | 0444);
    check_mode("effective_affinity_list", S_IFREG | 0444);
    check_mode("affinity_hint", S_IFREG | 0444);
    check_mode("node", S_IFREG | 0444);
    check_mode("spurious", S_IFREG | 0444);
    find_line(path, "spurious");
    CHECK_EQ(sscanf(abi_read_file(path), "count %u\nunhandled %u\nlast_unhandled %u ms\n", &count,
                    &count, &count),
             3);
    find_line(path, "node");
    CHECK_EQ(sscanf(abi_read_file(path), "%d\n", &node), 1);
}

ABI_TEST(interrupts, each_handler_has_a_directory)
{
    char path[64];
    struct dirent *entry;
    DIR *dir;
    int found = 0;

    find_line(path, "");
    dir = opendir(path);
    CHECK(dir != NULL);
    while ((entry = readdir(dir)) != NULL) {
        found += entry->d_type == DT_DIR && entry->d_name[0] != '.';
    }
    closedir(dir);
    CHECK(found >= 1);
}

ABI_TEST(interrupts, the_target_is_one_cpu_of_the_affinity)
{
    char path[64];

    find_line(path, "effective_affinity");
    unsigned long target = strtoul(abi_read_file(path), NULL, 16);
    find_line(path, "smp_affinity");
    unsigned long mask = strtoul(abi_read_file(path), NULL, 16);
    CHECK(target != 0 && (target & (target - 1)) == 0);
    CHECK((target & mask) != 0);
    find_line(path, "effective_affinity_list");
    CHECK_EQ(1ul << strtoul(abi_read_file(path), NULL, 10), target);
}

ABI_TEST(interrupts, affinity_is_written_as_mask_and_as_list)
{
    char mask_path[64], list_path[64], before[4096];

    find_line(mask_path, "smp_affinity");
    find_line(list_path, "smp_affinity_list");
    (void)snprintf(before, sizeof(before), "%s", abi_read_file(mask_path));
    CHECK_EQ(write_file(mask_path, "1\n"), 0);
    CHECK_EQ(strtoul(abi_read_file(mask_path), NULL, 16), 1);
    CHECK(strcmp(abi_read_file(list_path), "0\n") == 0);
    CHECK_EQ(write_file(mask_path, before), 0);
    CHECK_EQ(write_file(list_path, "0"), 0);
    CHECK_EQ(strtoul(abi_read_file(mask_path), NULL, 16), 1);
    CHECK_EQ(write_file(mask_path, before), 0);
    CHECK(strcmp(abi_read_file(mask_path), before) == 0);
}

ABI_TEST(interrupts, affinity_refuses_what_is_no_set_of_online_cpus)
{
    char mask_path[64], list_path[64], before[4096];

    find_line(mask_path, "smp_affinity");
    find_line(list_path, "smp_affinity_list");
    (void)snprintf(before, sizeof(before), "%s", abi_read_file(mask_path));
    CHECK_EQ(write_file(mask_path, "0"), EINVAL);
    CHECK_EQ(write_file(mask_path, "\n"), EINVAL);
    CHECK_EQ(write_file(mask_path, "x"), EINVAL);
    CHECK_EQ(write_file(mask_path, "0x1"), EINVAL);
    CHECK_EQ(write_file(mask_path, "123456789"), EOVERFLOW);
    CHECK_EQ(write_file(list_path, "1-"), EINVAL);
    CHECK_EQ(write_file(list_path, "1-0"), EINVAL);
    CHECK_EQ(write_file(list_path, "-1"), EINVAL);
    CHECK_EQ(write_file(list_path, "100000"), ERANGE);
    CHECK_EQ(write_file(list_path, "4294967296"), EOVERFLOW);
    CHECK(strcmp(abi_read_file(mask_path), before) == 0);
}

ABI_TEST(interrupts, new_lines_have_an_affinity_too)
{
    const char *path = "/proc/irq/default_smp_affinity";
    char before[4096];

    if (access(path, W_OK) < 0) {
        abi_skip("no default affinity");
    }
    (void)snprintf(before, sizeof(before), "%s", abi_read_file(path));
    CHECK_EQ(write_file(path, "0"), EINVAL);
    CHECK_EQ(write_file(path, "z"), EINVAL);
    CHECK_EQ(write_file(path, "1"), 0);
    CHECK_EQ(strtoul(abi_read_file(path), NULL, 16), 1);
    CHECK_EQ(write_file(path, before), 0);
    CHECK(strcmp(abi_read_file(path), before) == 0);
}

ABI_TEST(interrupts, stat_counts_all_and_each_line)
{
    const char *text = strstr(abi_read_file("/proc/stat"), "\nintr ");

    CHECK(text != NULL);
    unsigned long long total = 0, sum = 0, one;
    int n = 0, used;
    CHECK_EQ(sscanf(text + 6, "%llu%n", &total, &used), 1);
    for (text += 6 + used; sscanf(text, " %llu%n", &one, &used) == 1 && *text == ' '; n++) {
        sum += one;
        text += used;
    }
    CHECK(*text == '\n');
    CHECK(n >= 2);
    CHECK(sum <= total);
}

/* ---- softirqs ---- */

static const char *const softirqs[] = {"HI",       "TIMER",   "NET_TX", "NET_RX",  "BLOCK",
                                       "IRQ_POLL", "TASKLET", "SCHED",  "HRTIMER", "RCU"};
#define NSOFTIRQS (sizeof(softirqs) / sizeof(softirqs[0]))

/* proc(5): a row for each, in this order, a column for each CPU that there may be. */
ABI_TEST(interrupts, each_softirq_has_a_row_with_a_number_for_each_cpu)
{
    const char *text = abi_read_file("/proc/softirqs"), *rest;
    const char *line = strchr(text, '\n') + 1;
    int columns = 0;

    for (const char *at = text; at < line && (at = strstr(at, "CPU")) != NULL; at++) {
        columns += at < line;
    }
    CHECK(columns >= sysconf(_SC_NPROCESSORS_ONLN));
    CHECK(strncmp(text, "                    CPU0       ", 31) == 0);
    for (unsigned i = 0; i < NSOFTIRQS; i++) {
        size_t len = strlen(softirqs[i]);
        CHECK_EQ(row_numbers(line, softirqs[i], &rest), columns);
        CHECK(strncmp(line + 12 - len, softirqs[i], len) == 0);
        CHECK(strncmp(line + 12, ": ", 2) == 0);
        line = strchr(line, '\n') + 1;
    }
    CHECK_EQ(*line, 0);
}

/* proc(5), "softirq": all of them, then each of the ten. */
ABI_TEST(interrupts, stat_counts_all_softirqs_and_each)
{
    const char *text = strstr(abi_read_file("/proc/stat"), "\nsoftirq ");
    unsigned long long total, sum = 0;
    unsigned n = 0;
    char *end;

    CHECK(text != NULL);
    total = strtoull(text + strlen("\nsoftirq "), &end, 10);
    for (; *end == ' '; n++) {
        sum += strtoull(end, &end, 10);
    }
    CHECK_EQ(*end, '\n');
    CHECK_EQ(n, NSOFTIRQS);
    CHECK_EQ(total, sum);
}

/* ---- where the time of CPUs goes ---- */

#define NCOLUMNS 10

/* The line of `cpu` ("cpu", "cpu0") in /proc/stat. */
static void read_columns(const char *cpu, unsigned long long ret_columns[NCOLUMNS])
{
    char label[16];
    const char *text = abi_read_file("/proc/stat");

    (void)snprintf(label, sizeof(label), "%s ", cpu);
    text = strstr(text, label);
    CHECK(text != NULL);
    char *at = (char *)text + strlen(label);
    for (int i = 0; i < NCOLUMNS; i++) {
        ret_columns[i] = strtoull(at, &at, 10);
    }
    CHECK_EQ(*at, '\n');
}

ABI_TEST(interrupts, stat_has_ten_columns_for_all_and_for_each_cpu)
{
    unsigned long long all[NCOLUMNS], one[NCOLUMNS];

    read_columns("cpu", all);
    read_columns("cpu0", one);
    CHECK_EQ(strncmp(abi_read_file("/proc/stat"), "cpu  ", 5), 0);
    CHECK(strstr(abi_read_file("/proc/stat"), "\nprocs_blocked ") != NULL);
}

/* Who computes is seen in the first three; user, system and so on never become less. */
ABI_TEST(interrupts, stat_tells_of_who_computes)
{
    unsigned long long before[NCOLUMNS], now[NCOLUMNS];

    read_columns("cpu", before);
    do {
        for (volatile int i = 0; i < 1000000; i++) {
        }
        read_columns("cpu", now);
        for (int i = 0; i < 3; i++) {
            CHECK(now[i] >= before[i]);
        }
        for (int i = 5; i < NCOLUMNS; i++) {
            CHECK(now[i] >= before[i]);
        }
    } while (now[0] + now[1] + now[2] < before[0] + before[1] + before[2] + 3);
}
