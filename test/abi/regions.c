/* Many mappings in one process: the limit, and that everything still works there. */
#include "abi.h"

#define PAGE  4096ul
#define PAGES 140000ul

static long max_map_count(void)
{
    char text[32] = {0};
    int fd = open("/proc/sys/vm/max_map_count", O_RDONLY);

    CHECK(fd >= 0);
    CHECK(read(fd, text, sizeof(text) - 1) > 0);
    CHECK_EQ(close(fd), 0);
    return atol(text);
}

ABI_TEST(regions, end_at_max_map_count_and_work_until_there)
{
    long limit = max_map_count();
    long cuts = 0;
    char *p = mmap(NULL, PAGES * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    /* Each other page becomes another region. */
    while ((unsigned long)cuts < PAGES / 2 &&
           mprotect(p + (2 * (unsigned long)cuts + 1) * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0) {
        cuts++;
    }
    CHECK_EQ(errno, ENOMEM);
    CHECK(cuts * 2 <= limit && cuts * 2 > limit - 200);
    CHECK_ERR(mprotect(p + (PAGES - 3) * PAGE, PAGE, PROT_WRITE), ENOMEM);
    CHECK(mmap(NULL, PAGE, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ||
          cuts * 2 < limit);
    for (long i = 0; i < cuts; i += 997) {
        p[(2 * (unsigned long)i + 1) * PAGE] = 1;
        CHECK_EQ(p[2 * (unsigned long)i * PAGE], 0);
    }
    /* Joining needs no new region; then there is room again. */
    CHECK_EQ(mprotect(p, (unsigned long)cuts * 2 * PAGE, PROT_READ), 0);
    CHECK_EQ(mprotect(p + (PAGES - 3) * PAGE, PAGE, PROT_WRITE), 0);
    CHECK_EQ(p[PAGE], 1);
    CHECK_EQ(munmap(p, PAGES * PAGE), 0);
}
