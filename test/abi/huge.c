/* Transparent huge pages: what may be asked for, and that nothing but figures changes. */
#include "abi.h"

#include <pthread.h>
#include <sys/prctl.h>

#define PAGE  4096ul
#define HUGE  (2ul << 20)
#define RW    (PROT_READ | PROT_WRITE)
#define PAGES (HUGE / PAGE)
#define DIR   "/sys/kernel/mm/transparent_hugepage/"

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25
#endif

static long slurp(const char *path, char *text, size_t size)
{
    int fd = open(path, O_RDONLY);

    CHECK(fd >= 0);
    ssize_t n, len = 0;
    while ((n = read(fd, text + len, size - 1 - (size_t)len)) > 0) {
        len += n;
    }
    CHECK_EQ(n, 0);
    text[len] = '\0';
    CHECK_EQ(close(fd), 0);
    return len;
}

static bool mode_is(const char *mode)
{
    char text[256], wanted[32];

    slurp(DIR "enabled", text, sizeof(text));
    snprintf(wanted, sizeof(wanted), "[%s]", mode);
    return strstr(text, wanted) != NULL;
}

/* n aligned huge pages of memory, with nothing in them, that want to be huge. */
static char *map_huge(size_t n)
{
    char *p = mmap(NULL, (n + 1) * HUGE, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    p = (char *)(((uintptr_t)p + HUGE - 1) & ~(HUGE - 1));
    CHECK_EQ(madvise(p, n * HUGE, MADV_HUGEPAGE), 0);
    return p;
}

static size_t resident(char *p, size_t len)
{
    static unsigned char vec[4 * PAGES];
    size_t n = 0;

    CHECK_EQ(mincore(p, len, vec), 0);
    for (size_t i = 0; i < len / PAGE; i++) {
        n += vec[i] & 1;
    }
    return n;
}

/* AnonHugePages of the mapping at p, KiB. */
static long anon_huge(char *p)
{
    static char text[1 << 18];
    char head[32];

    slurp("/proc/self/smaps", text, sizeof(text));
    snprintf(head, sizeof(head), "%lx-", (unsigned long)p);
    char *at = strstr(text, head);
    CHECK(at != NULL);
    at = strstr(at, "AnonHugePages:");
    CHECK(at != NULL);
    return strtol(at + 14, NULL, 10);
}

ABI_TEST(huge, the_settings_are_there)
{
    char text[256];

    CHECK_EQ(mode_is("always") + mode_is("madvise") + mode_is("never"), 1);
    slurp(DIR "hpage_pmd_size", text, sizeof(text));
    CHECK_EQ(atol(text), HUGE);
    slurp(DIR "khugepaged/pages_to_scan", text, sizeof(text));
    CHECK(atol(text) > 0);
    slurp(DIR "khugepaged/max_ptes_none", text, sizeof(text));
    CHECK(atol(text) >= 0 && atol(text) < 512);
    int fd = open(DIR "enabled", O_WRONLY);
    CHECK(fd >= 0);
    CHECK_ERR(write(fd, "sometimes", 9), EINVAL);
    const char *mode = mode_is("always")    ? "always\n"
                       : mode_is("madvise") ? "madvise\n"
                                            : "never\n";
    CHECK_EQ(write(fd, mode, strlen(mode)), (ssize_t)strlen(mode));
    CHECK_EQ(close(fd), 0);
}

/* Write a value, and the old one back; both are shown. */
static void set_and_restore(const char *path, const char *value, const char *shown, int wrong_errno)
{
    char before[256], after[256];
    int fd = open(path, O_RDWR);

    CHECK(fd >= 0);
    slurp(path, before, sizeof(before));
    CHECK_ERR(write(fd, "sometimes", 9), wrong_errno);
    CHECK_EQ(write(fd, value, strlen(value)), (ssize_t)strlen(value));
    slurp(path, after, sizeof(after));
    CHECK(strstr(after, shown) != NULL);
    char *old = strchr(before, '[');
    old = old == NULL ? before : old + 1;
    CHECK(write(fd, old, strcspn(old, "]\n")) > 0);
    slurp(path, after, sizeof(after));
    CHECK(strcmp(before, after) == 0);
    CHECK_EQ(close(fd), 0);
}

ABI_TEST(huge, the_settings_can_be_set)
{
    static const char *const defrags[] = {"always", "defer", "defer+madvise", "madvise", "never"};

    for (unsigned i = 0; i < 5; i++) {
        char shown[32];
        snprintf(shown, sizeof(shown), "[%s]", defrags[i]);
        set_and_restore(DIR "defrag", defrags[i], shown, EINVAL);
    }
    set_and_restore(DIR "shmem_enabled", "never", "[never]", EINVAL);
    set_and_restore(DIR "use_zero_page", "0", "0", EINVAL);
    set_and_restore(DIR "khugepaged/defrag", "0", "0", EINVAL);
    set_and_restore(DIR "khugepaged/alloc_sleep_millisecs", "1234", "1234", EINVAL);
    set_and_restore(DIR "khugepaged/max_ptes_swap", "0", "0", EINVAL);
}

ABI_TEST(huge, one_write_makes_all_of_it_resident_if_wanted)
{
    char *p = map_huge(2);

    if (mode_is("never")) {
        return;
    }
    p[5 * PAGE] = 1;
    CHECK_EQ(resident(p, 2 * HUGE), PAGES);
    CHECK_EQ(anon_huge(p), 2048);
    for (size_t i = 0; i < PAGES; i++) {
        CHECK_EQ(p[i * PAGE], i == 5);
    }
    CHECK_EQ(munmap(p, HUGE), 0);
    CHECK_EQ(madvise(p + HUGE, HUGE, MADV_NOHUGEPAGE), 0);
    p[HUGE + 7 * PAGE] = 1;
    CHECK_EQ(resident(p + HUGE, HUGE), 1);
}

ABI_TEST(huge, advice_is_checked)
{
    char *p = map_huge(1);

    CHECK_ERR(madvise(p + 1, HUGE, MADV_HUGEPAGE), EINVAL);
    CHECK_EQ(munmap(p, HUGE), 0);
    CHECK_ERR(madvise(p, HUGE, MADV_HUGEPAGE), ENOMEM);
    CHECK_ERR(madvise(p, HUGE, MADV_COLLAPSE), ENOMEM);
}

ABI_TEST(huge, parts_may_be_changed)
{
    char *p = map_huge(2);
    char *hole = p + 20 * PAGE;

    for (size_t i = 0; i < PAGES; i++) {
        p[i * PAGE] = (char)i;
    }
    CHECK_EQ(mprotect(p + 10 * PAGE, PAGE, PROT_READ), 0);
    CHECK_EQ(madvise(p + 15 * PAGE, 2 * PAGE, MADV_DONTNEED), 0);
    CHECK_EQ(munmap(hole, PAGE), 0);
    CHECK(mmap(hole, PAGE, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) == hole);
    for (size_t i = 0; i < PAGES; i++) {
        bool empty = i == 15 || i == 16 || i == 20;
        CHECK_EQ(p[i * PAGE], empty ? 0 : (char)i);
    }
    int status = IN_CHILD(signal(SIGSEGV, SIG_DFL); p[10 * PAGE] = 1);
    CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    p[11 * PAGE] = 1;
    CHECK_EQ(p[11 * PAGE], 1);
}

ABI_TEST(huge, fork_shares_until_a_write)
{
    char *p = map_huge(1);

    for (size_t i = 0; i < PAGES; i++) {
        p[i * PAGE] = (char)i;
    }
    int status = IN_CHILD(
        for (size_t i = 0; i < PAGES; i++) { CHECK_EQ(p[i * PAGE], (char)i); } p[3 * PAGE] = 77;
        CHECK_EQ(p[3 * PAGE], 77); CHECK_EQ(p[4 * PAGE], 4); CHECK_EQ(munmap(p, HUGE / 2), 0));
    CHECK_EQ(status, 0);
    for (size_t i = 0; i < PAGES; i++) {
        CHECK_EQ(p[i * PAGE], (char)i);
    }
    p[3 * PAGE] = 78;
    CHECK_EQ(p[3 * PAGE], 78);
    status = IN_CHILD(CHECK_EQ(p[3 * PAGE], 78); CHECK_EQ(p[PAGE], 1));
    CHECK_EQ(status, 0);
}

ABI_TEST(huge, mremap_and_system_calls_see_the_same)
{
    char *p = map_huge(1);
    char *to = map_huge(2);
    char page[4096];

    for (size_t i = 0; i < PAGES; i++) {
        p[i * PAGE + 9] = (char)i;
    }
    CHECK(mremap(p, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == to);
    CHECK(mremap(to, HUGE, HUGE, MREMAP_MAYMOVE | MREMAP_FIXED, to + HUGE + PAGE) ==
          to + HUGE + PAGE);
    p = to + HUGE + PAGE;
    int ends[2];
    CHECK_EQ(pipe(ends), 0);
    for (size_t i = 0; i < PAGES; i += 50) {
        CHECK_EQ(write(ends[1], p + i * PAGE, PAGE), 4096);
        CHECK_EQ(read(ends[0], page, PAGE), 4096);
        CHECK_EQ(page[9], (char)i);
    }
    CHECK_EQ(write(ends[1], "x", 1), 1);
    CHECK_EQ(read(ends[0], p + 9, 1), 1);
    CHECK_EQ(p[9], 'x');
}

/* madvise(2): with EAGAIN something was unavailable for a moment, a page in use by another CPU's batch, say. */
static void collapse(char *p)
{
    while (madvise(p, HUGE, MADV_COLLAPSE) != 0) {
        CHECK_EQ(errno, EAGAIN);
        abi_sleep_ms(1);
    }
}

ABI_TEST(huge, collapse_makes_one_of_small_pages)
{
    char *p = map_huge(1);

    CHECK_EQ(madvise(p, HUGE, MADV_NOHUGEPAGE), 0);
    for (size_t i = 0; i < PAGES; i += 3) {
        p[i * PAGE] = (char)(i + 1);
    }
    size_t before = resident(p, HUGE);
    CHECK(before < PAGES);
    CHECK_ERR(madvise(p, HUGE, MADV_COLLAPSE), EINVAL);
    CHECK_EQ(madvise(p, HUGE, MADV_HUGEPAGE), 0);
    collapse(p);
    CHECK_EQ(resident(p, HUGE), PAGES);
    CHECK_EQ(anon_huge(p), 2048);
    for (size_t i = 0; i < PAGES; i++) {
        CHECK_EQ(p[i * PAGE], i % 3 == 0 ? (char)(i + 1) : 0);
    }
    p[PAGE] = 5;
    CHECK_EQ(p[PAGE], 5);
}

ABI_TEST(huge, a_process_may_refuse_them)
{
    CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
    CHECK_ERR(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 1), EINVAL);
    CHECK_ERR(prctl(PR_GET_THP_DISABLE, 1, 0, 0, 0), EINVAL);
    CHECK_EQ(prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1);
    char *p = map_huge(1);
    p[0] = 1;
    CHECK_EQ(resident(p, HUGE), 1);
    int status = IN_CHILD(CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 1));
    CHECK_EQ(status, 0);
    CHECK_EQ(prctl(PR_SET_THP_DISABLE, 0, 0, 0, 0), 0);
    CHECK_EQ(prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0), 0);
}

static uint64_t pagemap_word(const void *p)
{
    uint64_t word = 0;
    int fd = open("/proc/self/pagemap", O_RDONLY);

    CHECK(fd >= 0);
    CHECK_EQ(pread(fd, &word, 8, (off_t)((uintptr_t)p / 4096 * 8)), 8);
    CHECK_EQ(close(fd), 0);
    return word;
}

/* PROT_NONE and back, of all and of a part, and unmapping what nobody may access: the pages stay what they are. */
ABI_TEST(huge, pages_stay_the_same_while_nobody_may_access_them)
{
    const size_t size = 2ul << 20;
    char *p = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    CHECK(p != MAP_FAILED);
    p = (char *)(((uintptr_t)p + size - 1) & ~(size - 1));
    (void)madvise(p, size, MADV_HUGEPAGE);
    for (int round = 0; round < 3; round++) {
        memset(p, 7 + round, size);
        uint64_t word = pagemap_word(p + 4096);
        CHECK_EQ(mprotect(p, size, PROT_NONE), 0);
        CHECK_EQ(pagemap_word(p + 4096), word);
        if (round > 0) {
            CHECK_EQ(mprotect(p + 4096, 4096, PROT_READ), 0);
            CHECK_EQ(p[4096], 7 + round);
        }
        CHECK_EQ(mprotect(p, size, PROT_READ | PROT_WRITE), 0);
        CHECK_EQ(pagemap_word(p + 4096), word);
        for (size_t i = 0; i < size; i += 512) {
            CHECK_EQ(p[i], 7 + round);
        }
        CHECK_EQ(mprotect(p, size, PROT_NONE), 0);
        if (round == 1) {
            CHECK_EQ(munmap(p, size), 0);
            CHECK(mmap(p, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
                       0) == p);
        }
        CHECK_EQ(mprotect(p, size, PROT_READ | PROT_WRITE), 0);
    }
}

static unsigned calls; /* [a] */

/* Calls the last page's code until there is no more of it to run, which the byte before tells. */
static void *call_code(void *arg)
{
    char *code = (char *)arg + HUGE - PAGE;

    while (__atomic_load_n(code - 1, __ATOMIC_ACQUIRE) == 0) {
        ((void (*)(void))(uintptr_t)code)();
        __atomic_fetch_add(&calls, 1, __ATOMIC_RELEASE);
    }
    return NULL;
}

ABI_TEST(huge, code_runs_on_while_the_page_is_cut_under_it)
{
    for (unsigned round = 0; round < 20; round++) {
        char *p = map_huge(1);
        pthread_t threads[2];

        p[0] = 1;
        p[HUGE - PAGE] = (char)0xc3; /* ret */
        CHECK_EQ(mprotect(p, HUGE, RW | PROT_EXEC), 0);
        for (unsigned i = 0; i < 2; i++) {
            CHECK_EQ(pthread_create(&threads[i], NULL, call_code, p), 0);
        }
        for (unsigned page = 0; page < 4; page++) {
            unsigned seen = __atomic_load_n(&calls, __ATOMIC_ACQUIRE);
            while (__atomic_load_n(&calls, __ATOMIC_ACQUIRE) - seen < 10) {
                abi_sleep_ms(0);
            }
            CHECK_EQ(mprotect(p + page * PAGE, PAGE, page % 2 == 0 ? PROT_READ : PROT_EXEC), 0);
        }
        __atomic_store_n(p + HUGE - PAGE - 1, 1, __ATOMIC_RELEASE);
        for (unsigned i = 0; i < 2; i++) {
            CHECK_EQ(pthread_join(threads[i], NULL), 0);
        }
        CHECK_EQ(p[0], 1);
        CHECK_EQ(munmap(p, HUGE), 0);
    }
}
