/*
 * swapon(2), swapoff(2), and what is said about swap. Nothing is swapped here: the machine that runs this may have no device to spare.
 * test/boot/swap_test.py has the rest.
 */
#include <linux/capability.h>
#include <sys/swap.h>
#include <sys/sysinfo.h>

#include "abi.h"

#define PAGE 4096

/* A file that has the header of 10 pages of swap space, as mkswap(8) writes it. */
static void make_swap_file(const char *name, off_t bytes)
{
    static unsigned char page[PAGE];
    uint32_t numbers[] = {1, 9, 0};

    memcpy(page + 1024, numbers, sizeof(numbers));
    memcpy(page + PAGE - 10, "SWAPSPACE2", 10);
    int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, page, PAGE), PAGE);
    CHECK_EQ(ftruncate(fd, bytes), 0);
    CHECK_EQ(close(fd), 0);
}

ABI_TEST(swap, swapon_names_what_is_wrong_with_the_path)
{
    CHECK_ERR(swapon("nothing", 0), ENOENT);
    CHECK_ERR(swapon("", 0), ENOENT);
    CHECK_ERR(swapon("/", 0), EISDIR);
    CHECK_ERR(swapon("/dev/null/x", 0), ENOTDIR);
    CHECK_ERR(swapon("/dev/null", 0), EINVAL);
    CHECK_ERR(swapon((const char *)8, 0), EFAULT);
}

ABI_TEST(swap, swapon_refuses_flags_that_it_does_not_know)
{
    CHECK_ERR(swapon("nothing", 0x80000), EINVAL);
    CHECK_ERR(swapon("nothing", -1), EINVAL);
    CHECK_ERR(swapon("nothing", SWAP_FLAG_PREFER | SWAP_FLAG_PRIO_MASK | SWAP_FLAG_DISCARD),
              ENOENT);
}

ABI_TEST(swap, a_file_without_a_header_is_no_swap_space)
{
    int fd = open("plain", O_RDWR | O_CREAT, 0600);

    CHECK(fd >= 0);
    CHECK_ERR(swapon("plain", 0), EINVAL);
    CHECK_EQ(ftruncate(fd, 100 * PAGE), 0);
    CHECK_ERR(swapon("plain", 0), EINVAL);
    close(fd);
}

/* The header says ten pages: a file of eight is refused everywhere, and one in memory always is. */
ABI_TEST(swap, a_file_that_is_too_short_or_in_memory_is_no_swap_space)
{
    make_swap_file("short", 8 * PAGE);
    CHECK_ERR(swapon("short", 0), EINVAL);
    if (access("/dev/shm", W_OK) == 0) {
        make_swap_file("/dev/shm/abi-swap", 10 * PAGE);
        int result = swapon("/dev/shm/abi-swap", 0), error = errno;
        unlink("/dev/shm/abi-swap");
        CHECK_EQ(result, -1);
        CHECK_EQ(error, EINVAL);
    }
}

ABI_TEST(swap, swapoff_of_what_is_no_swap_space_is_einval)
{
    make_swap_file("unused", 10 * PAGE);
    CHECK_ERR(swapoff("unused"), EINVAL);
    CHECK_ERR(swapoff("/dev/null"), EINVAL);
    CHECK_ERR(swapoff("nothing"), ENOENT);
    CHECK_ERR(swapoff("/"), EISDIR);
    CHECK_ERR(swapoff((const char *)8), EFAULT);
}

ABI_TEST(swap, only_the_administrator_changes_swap)
{
    int status = IN_CHILD({
        CHECK_EQ(setuid(65534), 0);
        CHECK_ERR(swapon("nothing", 0), EPERM);
        CHECK_ERR(swapon("nothing", 0x80000), EINVAL); /* flags come first */
        CHECK_ERR(swapoff("nothing"), EPERM);
    });
    CHECK_EQ(status, 0);
}

static unsigned long long meminfo(const char *name)
{
    unsigned long long value = 0;
    bool found = false;
    char line[128];
    FILE *file = fopen("/proc/meminfo", "r");

    CHECK(file != NULL);
    while (!found && fgets(line, sizeof(line), file) != NULL) {
        found = strncmp(line, name, strlen(name)) == 0 &&
                sscanf(line + strlen(name), ": %llu kB", &value) == 1;
    }
    fclose(file);
    CHECK(found);
    return value;
}

ABI_TEST(swap, sysinfo_meminfo_and_proc_swaps_agree)
{
    unsigned long long total = 0, size, used;
    char line[512], name[256], type[32];
    struct sysinfo info;
    int priority;
    FILE *file = fopen("/proc/swaps", "r");

    CHECK(file != NULL);
    CHECK(fgets(line, sizeof(line), file) != NULL);
    CHECK(strcmp(line, "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n") == 0);
    while (fgets(line, sizeof(line), file) != NULL) {
        CHECK_EQ(sscanf(line, "%255s %31s %llu %llu %d", name, type, &size, &used, &priority), 5);
        CHECK(used <= size);
        total += size;
    }
    fclose(file);
    CHECK_EQ(sysinfo(&info), 0);
    CHECK_EQ(meminfo("SwapTotal"), total);
    CHECK_EQ((unsigned long long)info.totalswap * info.mem_unit / 1024, total);
    CHECK(info.freeswap <= info.totalswap);
    CHECK(meminfo("SwapFree") <= total);
    (void)meminfo("SwapCached");
}
