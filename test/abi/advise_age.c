/*
 * madvise(MADV_COLD, MADV_PAGEOUT): memory keeps its content wherever it goes.
 */
#include <sys/wait.h>

#include "abi.h"

#define PAGE   4096
#define NPAGES 600

#ifndef MADV_COLD
#define MADV_COLD    20
#define MADV_PAGEOUT 21
#endif

static void fill(uint32_t *at, size_t npages, uint32_t salt)
{
    for (size_t i = 0; i < npages * PAGE / sizeof(*at); i++) {
        at[i] = (uint32_t)i * 2654435761u ^ salt;
    }
}

static bool intact(const uint32_t *at, size_t npages, uint32_t salt)
{
    for (size_t i = 0; i < npages * PAGE / sizeof(*at); i++) {
        if (at[i] != ((uint32_t)i * 2654435761u ^ salt)) {
            return false;
        }
    }
    return true;
}

static uint32_t *map(size_t npages, int flags)
{
    void *at = mmap(NULL, npages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

    CHECK(at != MAP_FAILED);
    return at;
}

ABI_TEST(advise_age, private_and_shared_memory_keep_their_content)
{
    static const int advice[] = {MADV_COLD, MADV_PAGEOUT};
    uint32_t *own = map(NPAGES, MAP_PRIVATE), *shared = map(NPAGES, MAP_SHARED);

    fill(own, NPAGES, 1);
    fill(shared, NPAGES, 2);
    for (unsigned i = 0; i < 2; i++) {
        CHECK_EQ(madvise(own, NPAGES * PAGE, advice[i]), 0);
        CHECK_EQ(madvise(shared, NPAGES * PAGE, advice[i]), 0);
        CHECK(intact(own, NPAGES, 1));
        CHECK(intact(shared, NPAGES, 2));
    }
    CHECK_EQ(munmap(own, NPAGES * PAGE), 0);
    CHECK_EQ(munmap(shared, NPAGES * PAGE), 0);
}

ABI_TEST(advise_age, what_was_paged_out_survives_fork_mremap_and_mprotect)
{
    uint32_t *own = map(NPAGES, MAP_PRIVATE);
    int status;

    fill(own, NPAGES, 3);
    CHECK_EQ(madvise(own, NPAGES * PAGE, MADV_PAGEOUT), 0);
    own = mremap(own, NPAGES * PAGE, 2 * NPAGES * PAGE, MREMAP_MAYMOVE);
    CHECK(own != MAP_FAILED);
    CHECK_EQ(mprotect(own, NPAGES * PAGE, PROT_NONE), 0);
    CHECK_EQ(madvise(own, NPAGES * PAGE, MADV_PAGEOUT), 0);
    CHECK_EQ(mprotect(own, NPAGES * PAGE, PROT_READ | PROT_WRITE), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        bool good = intact(own, NPAGES, 3);
        fill(own, NPAGES, 4);
        good = good && madvise(own, NPAGES * PAGE, MADV_PAGEOUT) == 0;
        _exit(good && intact(own, NPAGES, 4) ? 0 : 1);
    }
    CHECK_EQ(madvise(own, NPAGES * PAGE, MADV_PAGEOUT), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 0);
    CHECK(intact(own, NPAGES, 3));
    CHECK_EQ(own[NPAGES * PAGE / sizeof(*own)], 0);
    CHECK_EQ(munmap(own, 2 * NPAGES * PAGE), 0);
}

ABI_TEST(advise_age, a_system_call_finds_what_was_paged_out)
{
    uint32_t *own = map(4, MAP_PRIVATE), *copy = map(4, MAP_PRIVATE);
    int ends[2];

    fill(own, 4, 5);
    CHECK_EQ(pipe(ends), 0);
    CHECK_EQ(madvise(own, 4 * PAGE, MADV_PAGEOUT), 0);
    CHECK_EQ(write(ends[1], own, 4 * PAGE), 4 * PAGE);
    CHECK_EQ(madvise(copy, 4 * PAGE, MADV_PAGEOUT), 0);
    CHECK_EQ(read(ends[0], copy, 4 * PAGE), 4 * PAGE);
    CHECK(intact(copy, 4, 5));
    close(ends[0]);
    close(ends[1]);
    CHECK_EQ(munmap(own, 4 * PAGE), 0);
    CHECK_EQ(munmap(copy, 4 * PAGE), 0);
}

ABI_TEST(advise_age, errors)
{
    char *at = (char *)map(4, MAP_PRIVATE);

    CHECK_EQ(munmap(at + PAGE, PAGE), 0);
    for (int advice = MADV_COLD; advice <= MADV_PAGEOUT; advice++) {
        at[2 * PAGE] = 9;
        CHECK_ERR(madvise(at, 4 * PAGE, advice), ENOMEM);
        CHECK_EQ(at[2 * PAGE], 9);
        CHECK_ERR(madvise(at + 1, PAGE, advice), EINVAL);
        CHECK_EQ(madvise(at, 0, advice), 0);
    }
    CHECK_EQ(munmap(at, 4 * PAGE), 0);
}
