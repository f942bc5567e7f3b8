/* The vDSO: what it answers without a system call is what the system call answers. */
#include "abi.h"

#include <elf.h>
#include <sched.h>
#include <sys/auxv.h>
#include <sys/time.h>

typedef int clock_fn(int, struct timespec *);
typedef long getcpu_fn(unsigned *, unsigned *, void *);

/* The address of a function in the vDSO, by its dynamic symbols. */
static void *vdso_find(const char *name)
{
    const char *image = (const char *)getauxval(AT_SYSINFO_EHDR);
    const Elf64_Ehdr *ehdr = (const Elf64_Ehdr *)image;
    const Elf64_Sym *symbols = NULL;
    const char *strings = NULL;
    const uint32_t *hash = NULL;

    CHECK(image != NULL && memcmp(image, ELFMAG, SELFMAG) == 0);
    const Elf64_Phdr *phdr = (const Elf64_Phdr *)(image + ehdr->e_phoff);
    for (int i = 0; i < ehdr->e_phnum; i++) {
        const Elf64_Dyn *dynamic = (const Elf64_Dyn *)(image + phdr[i].p_offset);
        for (; phdr[i].p_type == PT_DYNAMIC && dynamic->d_tag != DT_NULL; dynamic++) {
            const char *at = image + dynamic->d_un.d_ptr;
            symbols = dynamic->d_tag == DT_SYMTAB ? (const Elf64_Sym *)at : symbols;
            strings = dynamic->d_tag == DT_STRTAB ? at : strings;
            hash = dynamic->d_tag == DT_HASH ? (const uint32_t *)at : hash;
        }
    }
    CHECK(symbols != NULL && strings != NULL);
    for (uint32_t i = 1; i < (hash != NULL ? hash[1] : 32); i++) {
        if (strcmp(strings + symbols[i].st_name, name) == 0) {
            return (void *)(image + symbols[i].st_value);
        }
    }
    return NULL;
}

ABI_TEST(vdso, clocks_agree_with_the_system_call)
{
    static const int clocks[] = {
        CLOCK_REALTIME,        CLOCK_MONOTONIC,        CLOCK_BOOTTIME,          CLOCK_MONOTONIC_RAW,
        CLOCK_REALTIME_COARSE, CLOCK_MONOTONIC_COARSE, CLOCK_PROCESS_CPUTIME_ID};
    clock_fn *read = (clock_fn *)vdso_find("__vdso_clock_gettime");
    clock_fn *resolution = (clock_fn *)vdso_find("__vdso_clock_getres");

    CHECK(read != NULL && resolution != NULL);
    for (size_t i = 0; i < sizeof(clocks) / sizeof(clocks[0]); i++) {
        struct timespec a, b, c;
        CHECK_EQ(syscall(SYS_clock_gettime, clocks[i], &a), 0);
        CHECK_EQ(read(clocks[i], &b), 0);
        CHECK_EQ(syscall(SYS_clock_gettime, clocks[i], &c), 0);
        int64_t na = a.tv_sec * 1000000000ll + a.tv_nsec, nb = b.tv_sec * 1000000000ll + b.tv_nsec;
        int64_t nc = c.tv_sec * 1000000000ll + c.tv_nsec;
        CHECK(na <= nb);
        CHECK(nb <= nc);
        CHECK_EQ(resolution(clocks[i], &a), 0);
        CHECK_EQ(syscall(SYS_clock_getres, clocks[i], &b), 0);
        CHECK_EQ(a.tv_nsec, b.tv_nsec);
    }
    CHECK_EQ(read(99, &(struct timespec){0}), -EINVAL);
}

ABI_TEST(vdso, never_goes_backwards)
{
    clock_fn *read = (clock_fn *)vdso_find("__vdso_clock_gettime");
    struct timespec last = {0}, now;

    for (int i = 0; i < 200000; i++) {
        CHECK_EQ(read(CLOCK_MONOTONIC, &now), 0);
        CHECK(now.tv_nsec >= 0 && now.tv_nsec < 1000000000);
        CHECK(now.tv_sec > last.tv_sec ||
              (now.tv_sec == last.tv_sec && now.tv_nsec >= last.tv_nsec));
        last = now;
    }
}

ABI_TEST(vdso, other_functions_work)
{
    getcpu_fn *cpu = (getcpu_fn *)vdso_find("__vdso_getcpu");
    time_t (*seconds)(time_t *) = (time_t(*)(time_t *))vdso_find("__vdso_time");
    int (*day)(struct timeval *, void *) =
        (int (*)(struct timeval *, void *))vdso_find("__vdso_gettimeofday");
    unsigned id = 999, node = 999;
    struct timeval tv;

    CHECK(cpu != NULL && seconds != NULL && day != NULL);
    CHECK_EQ(cpu(&id, &node, NULL), 0);
    CHECK(id < 256 && node < 64);
    CHECK_EQ(cpu(NULL, NULL, NULL), 0);
    time_t now = time(NULL), stored = 0;
    CHECK(llabs((long long)(seconds(&stored) - now)) <= 1);
    CHECK(llabs((long long)(stored - now)) <= 1);
    CHECK_EQ(day(&tv, NULL), 0);
    CHECK(llabs((long long)(tv.tv_sec - now)) <= 1);
    CHECK(tv.tv_usec >= 0 && tv.tv_usec < 1000000);
}

ABI_TEST(vdso, tells_the_cpu_and_its_node_as_the_system_call_does)
{
    getcpu_fn *getcpu = (getcpu_fn *)vdso_find("__vdso_getcpu");
    cpu_set_t all, one;

    CHECK_EQ(sched_getaffinity(0, sizeof(all), &all), 0);
    for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        unsigned told[2] = {999, 999}, called[2] = {999, 999};
        if (!CPU_ISSET(cpu, &all)) {
            continue;
        }
        CPU_ZERO(&one);
        CPU_SET(cpu, &one);
        CHECK_EQ(sched_setaffinity(0, sizeof(one), &one), 0);
        CHECK_EQ(getcpu(&told[0], &told[1], NULL), 0);
        CHECK_EQ(syscall(SYS_getcpu, &called[0], &called[1], NULL), 0);
        CHECK_EQ(told[0], cpu);
        CHECK_EQ(called[0], cpu);
        CHECK_EQ(told[1], called[1]);
    }
}
