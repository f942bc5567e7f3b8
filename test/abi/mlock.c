/*
 * mlock(2) and its kin.
 */
#include <sys/resource.h>

#include "abi.h"

#define PAGE         4096
#define LOCK_ONFAULT 1

static char *map(size_t npages, int prot)
{
    char *at = mmap(NULL, npages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(at != MAP_FAILED);
    return at;
}

static long vm_lck_kb(void)
{
    char line[256];
    long kb = -1;
    FILE *file = fopen("/proc/self/status", "r");

    CHECK(file != NULL);
    while (fgets(line, sizeof(line), file) != NULL) {
        (void)sscanf(line, "VmLck: %ld", &kb);
    }
    fclose(file);
    return kb;
}

static unsigned resident(char *at, unsigned npages)
{
    unsigned char vec[64];
    unsigned n = 0;

    CHECK_EQ(mincore(at, npages * PAGE, vec), 0);
    for (unsigned i = 0; i < npages; i++) {
        n += vec[i] & 1;
    }
    return n;
}

/* No right to lock beyond the limit from here on. */
static void become_limited(rlim_t bytes)
{
    struct rlimit limit = {bytes, bytes};

    CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    CHECK_EQ(setgid(99) | setuid(99), 0);
}

ABI_TEST(mlock, brings_the_pages_and_counts_them)
{
    char *at = map(16, PROT_READ | PROT_WRITE);

    CHECK_EQ(resident(at, 16), 0);
    CHECK_EQ(mlock(at + 100, 4 * PAGE - 200), 0);
    CHECK_EQ(resident(at, 16), 4);
    CHECK_EQ(vm_lck_kb(), 16);
    CHECK_EQ(mlock(at, 2 * PAGE), 0); /* no lock is counted twice */
    CHECK_EQ(vm_lck_kb(), 16);
    CHECK_EQ(munlock(at + PAGE, PAGE), 0);
    CHECK_EQ(vm_lck_kb(), 12);
    CHECK_EQ(munmap(at, PAGE), 0);
    CHECK_EQ(vm_lck_kb(), 8);
    CHECK_EQ(munlock(at + PAGE, 15 * PAGE), 0);
    CHECK_EQ(vm_lck_kb(), 0);
    CHECK_EQ(mlock(at + PAGE, 0), 0);
}

ABI_TEST(mlock, on_fault_waits_for_use)
{
    char *at = map(16, PROT_READ | PROT_WRITE);

    CHECK_ERR(syscall(SYS_mlock2, at, PAGE, 2), EINVAL);
    at[0] = 1;
    CHECK_EQ(syscall(SYS_mlock2, at, 8 * PAGE, LOCK_ONFAULT), 0);
    CHECK_EQ(resident(at, 8), 1);
    CHECK_EQ(vm_lck_kb(), 32);
    at[PAGE] = 1;
    CHECK(resident(at, 8) >= 2);
    CHECK_EQ(syscall(SYS_mlock2, at, 8 * PAGE, 0), 0);
    CHECK_EQ(resident(at, 8), 8);
    CHECK_EQ(vm_lck_kb(), 32);
}

ABI_TEST(mlock, errors)
{
    char *at = map(4, PROT_READ | PROT_WRITE);
    char *none = map(1, PROT_NONE);

    CHECK_EQ(munmap(at + 2 * PAGE, PAGE), 0);
    CHECK_ERR(mlock(at, 4 * PAGE), ENOMEM);
    CHECK_EQ(vm_lck_kb(), 8); /* up to the hole */
    CHECK_ERR(munlock(at, 4 * PAGE), ENOMEM);
    CHECK_EQ(vm_lck_kb(), 0);
    CHECK_ERR(mlock(at + 2 * PAGE, PAGE), ENOMEM);
    CHECK_ERR(mlock(none, PAGE), ENOMEM); /* nobody may touch it */
    CHECK_EQ(vm_lck_kb(), 4);
    CHECK_EQ(munlock(none, PAGE), 0);
    CHECK_ERR(mlock((void *)-(uintptr_t)PAGE, 2 * PAGE), EINVAL);
    CHECK_ERR(munlock((void *)-(uintptr_t)PAGE, 2 * PAGE), EINVAL);
}

ABI_TEST(mlock, the_limit_binds_who_has_no_right)
{
    CHECK_EQ(IN_CHILD({
                 char *at = map(16, PROT_READ | PROT_WRITE);
                 become_limited(8 * PAGE);
                 CHECK_EQ(mlock(at, 8 * PAGE), 0);
                 CHECK_EQ(mlock(at + 4 * PAGE, 4 * PAGE), 0);
                 CHECK_ERR(mlock(at, 9 * PAGE), ENOMEM);
                 CHECK_ERR(mlockall(MCL_CURRENT), ENOMEM);
                 CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1,
                            0) == MAP_FAILED &&
                       errno == EAGAIN);
                 CHECK_EQ(munlock(at, PAGE), 0);
                 char *more = mmap(NULL, PAGE, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);
                 CHECK(more != MAP_FAILED);
                 CHECK_EQ(resident(more, 1), 1);
                 CHECK_ERR(mremap(more, PAGE, 2 * PAGE, MREMAP_MAYMOVE), EAGAIN);
             }),
             0);
    CHECK_EQ(IN_CHILD({
                 char *at = map(1, PROT_READ | PROT_WRITE);
                 become_limited(0);
                 CHECK_ERR(mlock(at, PAGE), EPERM);
                 CHECK_ERR(mlockall(MCL_FUTURE), EPERM);
                 CHECK_ERR(syscall(SYS_mmap, NULL, PAGE, PROT_READ,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0),
                           EPERM); /* not through the library, which changes the error */
                 CHECK_EQ(munlock(at, PAGE), 0);
                 CHECK_EQ(munlockall(), 0);
             }),
             0);
    CHECK_EQ(IN_CHILD({ /* root may */
                        struct rlimit none = {0, 0};
                        char *at = map(16, PROT_READ | PROT_WRITE);
                        CHECK_EQ(setrlimit(RLIMIT_MEMLOCK, &none), 0);
                        CHECK_EQ(mlock(at, 16 * PAGE), 0);
             }),
             0);
}

ABI_TEST(mlock, all_of_it_now_and_in_future)
{
    char *before = map(4, PROT_READ | PROT_WRITE);

    CHECK_ERR(mlockall(0), EINVAL);
    CHECK_ERR(mlockall(8), EINVAL);
    CHECK_ERR(mlockall(4), EINVAL); /* on fault, but what? */
    CHECK_EQ(mlockall(MCL_CURRENT), 0);
    CHECK_EQ(resident(before, 4), 4);
    CHECK_EQ(resident(map(4, PROT_READ | PROT_WRITE), 4), 0);
    CHECK_EQ(mlockall(MCL_FUTURE), 0);
    char *after = map(4, PROT_READ | PROT_WRITE);
    CHECK_EQ(resident(after, 4), 4);
    char *end = sbrk(0);
    CHECK_EQ(syscall(SYS_brk, end + 4 * PAGE), (long)(uintptr_t)(end + 4 * PAGE));
    CHECK_EQ(resident((char *)(((uintptr_t)end + PAGE - 1) & -(uintptr_t)PAGE), 4), 4);
    CHECK_EQ(syscall(SYS_brk, end), (long)(uintptr_t)end);
    CHECK_EQ(IN_CHILD(CHECK_EQ(vm_lck_kb(), 0);
                      CHECK_EQ(resident(map(4, PROT_READ | PROT_WRITE), 4), 0)),
             0);
    CHECK_EQ(mlockall(MCL_FUTURE | 4), 0);
    CHECK_EQ(resident(map(4, PROT_READ | PROT_WRITE), 4), 0);
    CHECK(vm_lck_kb() > 0);
    CHECK_EQ(munlockall(), 0);
    CHECK_EQ(vm_lck_kb(), 0);
    CHECK_EQ(resident(map(4, PROT_READ | PROT_WRITE), 4), 0);
}

ABI_TEST(mlock, locked_memory_takes_no_advice_to_go)
{
    char *at = map(4, PROT_READ | PROT_WRITE);

    CHECK_EQ(mlock(at, PAGE), 0);
    at[0] = 7;
    CHECK_ERR(madvise(at, PAGE, MADV_DONTNEED), EINVAL);
    CHECK_ERR(madvise(at, PAGE, 8), EINVAL);  /* MADV_FREE */
    CHECK_ERR(madvise(at, PAGE, 20), EINVAL); /* MADV_COLD */
    CHECK_ERR(madvise(at, PAGE, 21), EINVAL); /* MADV_PAGEOUT */
    CHECK_EQ(at[0], 7);
    CHECK_EQ(madvise(at, PAGE, 24), 0); /* MADV_DONTNEED_LOCKED */
    CHECK_EQ(at[0], 0);
    CHECK_ERR(msync(at, PAGE, MS_ASYNC | MS_INVALIDATE), EBUSY);
    CHECK_EQ(msync(at, PAGE, MS_ASYNC), 0);
}
