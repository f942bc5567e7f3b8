/* madvise(MADV_FREE): what is read stays what it was until memory is wanted, and what is written again is not lost. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "abi.h"

#define PAGE   4096ul
#define NPAGES 256u

static unsigned char *fill(void)
{
    unsigned char *at =
        mmap(NULL, NPAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(at != MAP_FAILED);
    CHECK_EQ(madvise(at, NPAGES * PAGE, MADV_NOHUGEPAGE), 0);
    memset(at, 0x5a, NPAGES * PAGE);
    return at;
}

/* The field of the region that begins at `at`, from smaps; -1: no such field. */
static long smaps_kb(const void *at, const char *field)
{
    char line[512];
    long kb = -1;
    int inside = 0;
    FILE *file = fopen("/proc/self/smaps", "r");

    CHECK(file != NULL);
    while (kb < 0 && fgets(line, sizeof(line), file) != NULL) {
        unsigned long start, end;
        if (sscanf(line, "%lx-%lx ", &start, &end) == 2) {
            inside = start == (unsigned long)at;
        } else if (inside && strncmp(line, field, strlen(field)) == 0) {
            kb = strtol(line + strlen(field), NULL, 10);
        }
    }
    fclose(file);
    return kb;
}

ABI_TEST(lazy_free, pages_look_the_same_and_are_told_of)
{
    unsigned char *at = fill();

    CHECK_EQ(smaps_kb(at, "LazyFree:"), 0);
    CHECK_EQ(madvise(at, NPAGES * PAGE, MADV_FREE), 0);
    for (unsigned i = 0; i < NPAGES; i++) {
        CHECK(at[i * PAGE] == 0x5a || at[i * PAGE] == 0); /* all may have gone, were memory short */
    }
    /* Linux gathers a few pages before it moves them. */
    CHECK(smaps_kb(at, "LazyFree:") >= (long)(NPAGES * 4 * 3 / 4));
    memset(at, 1, NPAGES * PAGE);
    CHECK_EQ(smaps_kb(at, "LazyFree:"), 0);
    CHECK_EQ(munmap(at, NPAGES * PAGE), 0);
}

ABI_TEST(lazy_free, what_is_written_again_stays)
{
    unsigned char *at = fill();

    CHECK_EQ(madvise(at, NPAGES * PAGE, MADV_FREE), 0);
    for (unsigned i = 0; i < NPAGES; i += 2) {
        at[i * PAGE + 7] = (unsigned char)(i + 1);
    }
    CHECK_EQ(mprotect(at, NPAGES * PAGE, PROT_NONE), 0);
    CHECK_EQ(mprotect(at, NPAGES * PAGE, PROT_READ), 0);
    CHECK_EQ(madvise(at, NPAGES * PAGE, MADV_PAGEOUT), 0);
    unsigned gone = 0;
    for (unsigned i = 0; i < NPAGES; i++) {
        if (i % 2 == 0) {
            CHECK_EQ(at[i * PAGE + 7], (unsigned char)(i + 1));
        } else {
            CHECK(at[i * PAGE + 7] == 0x5a || at[i * PAGE + 7] == 0);
            gone += at[i * PAGE + 7] == 0;
        }
    }
    CHECK(gone > NPAGES / 4); /* pageout takes what may go, without any swap */
    CHECK_EQ(munmap(at, NPAGES * PAGE), 0);
}

ABI_TEST(lazy_free, a_child_keeps_what_was_not_given_up_before_it)
{
    unsigned char *at = fill();
    int pipes[2], status;
    char byte;

    CHECK_EQ(pipe(pipes), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        close(pipes[1]);
        (void)read(pipes[0], &byte, 1);
        for (unsigned i = 0; i < NPAGES; i++) {
            if (at[i * PAGE] != 0x5a) {
                _exit(1);
            }
        }
        _exit(0);
    }
    CHECK_EQ(madvise(at, NPAGES * PAGE, MADV_FREE), 0);
    CHECK_EQ(madvise(at, NPAGES * PAGE, MADV_PAGEOUT), 0);
    CHECK_EQ(write(pipes[1], "x", 1), 1);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    close(pipes[0]);
    close(pipes[1]);
    CHECK_EQ(munmap(at, NPAGES * PAGE), 0);
}

ABI_TEST(lazy_free, only_for_private_anonymous_memory)
{
    unsigned char *shared =
        mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    unsigned char *at = fill();

    CHECK(shared != MAP_FAILED);
    CHECK_ERR(madvise(shared, PAGE, MADV_FREE), EINVAL);
    CHECK_EQ(munmap(at + PAGE, PAGE), 0);
    CHECK_ERR(madvise(at, 3 * PAGE, MADV_FREE), ENOMEM);
    CHECK_EQ(mlock(at, PAGE), 0);
    CHECK_ERR(madvise(at, PAGE, MADV_FREE), EINVAL);
    CHECK_EQ(munmap(shared, PAGE), 0);
    CHECK_EQ(munmap(at, NPAGES * PAGE), 0);
}
