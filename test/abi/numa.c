/*
 * NUMA policies as far as one node shows them: set_mempolicy(2), get_mempolicy(2), mbind(2), set_mempolicy_home_node(2), migrate_pages(2),
 * move_pages(2), numa_maps. Which node pages come from is for test/boot/numa_test.py.
 */
#include <linux/mempolicy.h>

#include "abi.h"

#define PAGE    4096ul
#define NO_NODE (1ul << 60) /* there is none of that number */
#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif

static long set_mempolicy(int mode, const unsigned long *mask, unsigned long maxnode)
{
    return syscall(SYS_set_mempolicy, mode, mask, maxnode);
}

static long get_mempolicy(int *mode, unsigned long *mask, unsigned long maxnode, void *addr,
                          unsigned long flags)
{
    return syscall(SYS_get_mempolicy, mode, mask, maxnode, addr, flags);
}

static long mbind(void *addr, unsigned long len, int mode, const unsigned long *mask,
                  unsigned long maxnode, unsigned flags)
{
    return syscall(SYS_mbind, addr, len, mode, mask, maxnode, flags);
}

static long home_node(void *addr, unsigned long len, unsigned long node, unsigned long flags)
{
    return syscall(SYS_set_mempolicy_home_node, addr, len, node, flags);
}

static long move_pages(int pid, unsigned long count, void **pages, const int *nodes, int *status,
                       int flags)
{
    return syscall(SYS_move_pages, pid, count, pages, nodes, status, flags);
}

static char *map(unsigned long npages, int flags)
{
    char *at = mmap(NULL, npages * PAGE, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);

    CHECK(at != MAP_FAILED);
    return at;
}

/* A user who may do nothing special. */
static void become_nobody(void)
{
    CHECK_EQ(setuid(65534), 0);
}

ABI_TEST(mempolicy, a_thread_has_none_at_first)
{
    unsigned long mask = ~0ul;
    int mode = -1;

    CHECK_EQ(get_mempolicy(&mode, &mask, 64, NULL, 0), 0);
    CHECK_EQ(mode, MPOL_DEFAULT);
    CHECK_EQ(mask, 0);
    CHECK_EQ(get_mempolicy(&mode, &mask, 64, NULL, MPOL_F_MEMS_ALLOWED), 0);
    CHECK_EQ(mode, 0);
    CHECK_EQ(mask & 1, 1);
    CHECK_EQ(get_mempolicy(NULL, NULL, 0, NULL, 0), 0);
}

ABI_TEST(mempolicy, what_is_set_is_told)
{
    static const int modes[] = {MPOL_BIND,
                                MPOL_INTERLEAVE,
                                MPOL_PREFERRED,
                                MPOL_PREFERRED_MANY,
                                MPOL_BIND | MPOL_F_STATIC_NODES,
                                MPOL_INTERLEAVE | MPOL_F_RELATIVE_NODES};
    unsigned long one = 1, mask;
    int mode;

    for (unsigned i = 0; i < sizeof(modes) / sizeof(modes[0]); i++) {
        CHECK_EQ(set_mempolicy(modes[i], &one, 64), 0);
        mask = 0;
        CHECK_EQ(get_mempolicy(&mode, &mask, 64, NULL, 0), 0);
        CHECK_EQ(mode, modes[i]);
        CHECK_EQ(mask, 1);
    }
    CHECK_EQ(set_mempolicy(MPOL_LOCAL, NULL, 0), 0);
    CHECK_EQ(get_mempolicy(&mode, &mask, 64, NULL, 0), 0);
    CHECK_EQ(mode, MPOL_LOCAL);
    CHECK_EQ(mask, 0);
    CHECK_EQ(set_mempolicy(MPOL_PREFERRED, NULL, 0), 0); /* no node: local */
    CHECK_EQ(get_mempolicy(&mode, NULL, 0, NULL, 0), 0);
    CHECK_EQ(mode, MPOL_LOCAL);
    CHECK_EQ(set_mempolicy(MPOL_DEFAULT, NULL, 0), 0);
    CHECK_EQ(get_mempolicy(&mode, NULL, 0, NULL, 0), 0);
    CHECK_EQ(mode, MPOL_DEFAULT);
}

ABI_TEST(mempolicy, wrong_arguments_change_nothing)
{
    unsigned long one = 1, none = 0, far = NO_NODE, both = NO_NODE | 1, mask, wide[32] = {1};
    int mode;

    CHECK_EQ(set_mempolicy(MPOL_BIND, &one, 64), 0);
    CHECK_ERR(set_mempolicy(MPOL_MAX + 3, &one, 64), EINVAL);
    CHECK_ERR(set_mempolicy(-1, &one, 64), EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_BIND, &none, 64), EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_BIND, NULL, 0), EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_BIND, &far, 64), EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_PREFERRED, &far, 64), EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_INTERLEAVE, NULL, 0), EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_DEFAULT, &one, 64), EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_LOCAL, &one, 64), EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_LOCAL | MPOL_F_STATIC_NODES, NULL, 0), EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_PREFERRED | MPOL_F_STATIC_NODES, NULL, 0), EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_BIND | MPOL_F_STATIC_NODES | MPOL_F_RELATIVE_NODES, &one, 64),
              EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_INTERLEAVE | MPOL_F_NUMA_BALANCING, &one, 64), EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_BIND, (unsigned long *)8, 64), EFAULT);
    CHECK_ERR(set_mempolicy(MPOL_BIND, &one, 8 * PAGE + 2), EINVAL);
    CHECK_ERR(set_mempolicy(MPOL_BIND, &one, 1), EINVAL); /* no bit of it counts */
    CHECK_EQ(get_mempolicy(&mode, &mask, 64, NULL, 0), 0);
    CHECK_EQ(mode, MPOL_BIND);
    CHECK_EQ(mask, 1);
    CHECK_EQ(set_mempolicy(MPOL_BIND, &both, 64), 0); /* what there is of them */
    CHECK_EQ(get_mempolicy(NULL, &mask, 64, NULL, 0), 0);
    CHECK_EQ(mask, 1);
    CHECK_EQ(set_mempolicy(MPOL_BIND, &both, 2), 0); /* one bit counts */
    CHECK_EQ(set_mempolicy(MPOL_BIND, wide, 2048), 0);
    wide[31] = 1;
    CHECK_ERR(set_mempolicy(MPOL_BIND, wide, 2048), EINVAL); /* no kernel has so many */
}

ABI_TEST(mempolicy, questions_that_have_no_answer)
{
    unsigned long mask[4] = {7, 7, 7, 7};
    char *page = map(1, MAP_PRIVATE);
    int mode;

    CHECK_ERR(get_mempolicy(&mode, mask, 0, NULL, 0), EINVAL);
    CHECK_ERR(get_mempolicy(&mode, mask, 64, NULL, 8), EINVAL);
    CHECK_ERR(get_mempolicy(&mode, mask, 64, page, 0), EINVAL);
    CHECK_ERR(get_mempolicy(&mode, mask, 64, NULL, MPOL_F_MEMS_ALLOWED | MPOL_F_ADDR), EINVAL);
    CHECK_ERR(get_mempolicy(&mode, mask, 64, NULL, MPOL_F_NODE), EINVAL); /* does not interleave */
    CHECK_ERR(get_mempolicy(&mode, mask, 64, (void *)PAGE, MPOL_F_ADDR), EFAULT);
    CHECK_ERR(get_mempolicy((int *)8, NULL, 0, NULL, 0), EFAULT);
    CHECK_ERR(get_mempolicy(NULL, (unsigned long *)8, 64, NULL, 0), EFAULT);
    CHECK_EQ(get_mempolicy(&mode, mask, 256, NULL, 0), 0);
    CHECK_EQ(mask[0] | mask[1] | mask[2] | mask[3], 0);
}

ABI_TEST(mempolicy, goes_through_fork_and_exec)
{
    unsigned long one = 1, mask;
    char *page = map(2, MAP_PRIVATE);
    int mode, pipes[2];
    char line[4096] = "";

    CHECK_EQ(set_mempolicy(MPOL_INTERLEAVE, &one, 64), 0);
    CHECK_EQ(mbind(page, PAGE, MPOL_BIND, &one, 64, 0), 0);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(get_mempolicy(&mode, &mask, 64, NULL, 0), 0);
                 CHECK_EQ(mode, MPOL_INTERLEAVE);
                 CHECK_EQ(get_mempolicy(&mode, &mask, 64, page, MPOL_F_ADDR), 0);
                 CHECK_EQ(mode, MPOL_BIND);
                 CHECK_EQ(get_mempolicy(&mode, &mask, 64, page + PAGE, MPOL_F_ADDR), 0);
                 CHECK_EQ(mode, MPOL_DEFAULT);
             }),
             0);
    CHECK_EQ(pipe(pipes), 0);
    CHECK_EQ(IN_CHILD({
                 dup2(pipes[1], 1);
                 execl("/bin/cat", "cat", "/proc/self/numa_maps", NULL);
                 execl("/bin/busybox", "cat", "/proc/self/numa_maps", NULL);
                 _exit(1);
             }),
             0);
    CHECK(read(pipes[0], line, sizeof(line) - 1) > 0);
    CHECK(strstr(line, " interleave:0 ") != NULL);
}

ABI_TEST(mempolicy, interleaving_tells_whose_turn_it_is)
{
    unsigned long one = 1;
    int node = -1;

    CHECK_EQ(set_mempolicy(MPOL_INTERLEAVE, &one, 64), 0);
    CHECK_EQ(get_mempolicy(&node, NULL, 0, NULL, MPOL_F_NODE), 0);
    CHECK_EQ(node, 0);
}

ABI_TEST(mbind, regions_keep_their_policies_apart)
{
    unsigned long one = 1, mask;
    char *at = map(6, MAP_PRIVATE), *moved;
    int mode, node = -1;
    static const int expected[6] = {MPOL_DEFAULT, MPOL_BIND,    MPOL_INTERLEAVE,
                                    MPOL_BIND,    MPOL_DEFAULT, MPOL_DEFAULT};

    CHECK_EQ(mbind(at + PAGE, 4 * PAGE, MPOL_BIND, &one, 64, 0), 0);
    CHECK_EQ(mbind(at + 2 * PAGE, 1, MPOL_INTERLEAVE, &one, 64, 0), 0); /* rounded up */
    CHECK_EQ(mbind(at + 4 * PAGE, 2 * PAGE, MPOL_DEFAULT, NULL, 0, MPOL_MF_STRICT), 0);
    for (int i = 0; i < 6; i++) {
        CHECK_EQ(get_mempolicy(&mode, &mask, 64, at + i * PAGE, MPOL_F_ADDR), 0);
        CHECK_EQ(mode, expected[i]);
        CHECK_EQ(mask, expected[i] != MPOL_DEFAULT);
    }
    CHECK_EQ(get_mempolicy(&node, NULL, 0, at + 3 * PAGE, MPOL_F_ADDR | MPOL_F_NODE), 0);
    CHECK(node >= 0 && node < 64);
    moved = mremap(at + 2 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, map(1, MAP_PRIVATE));
    CHECK(moved != MAP_FAILED);
    CHECK_EQ(get_mempolicy(&mode, &mask, 64, moved, MPOL_F_ADDR), 0);
    CHECK_EQ(mode, MPOL_INTERLEAVE);
    CHECK_EQ(munmap(moved, PAGE), 0);
    CHECK_ERR(get_mempolicy(&mode, &mask, 64, moved, MPOL_F_ADDR), EFAULT);
}

ABI_TEST(mbind, checks_its_arguments)
{
    unsigned long one = 1, far = NO_NODE;
    char *at = map(4, MAP_PRIVATE);
    int mode;

    CHECK_ERR(mbind(at + 1, PAGE, MPOL_BIND, &one, 64, 0), EINVAL);
    CHECK_ERR(mbind(at, PAGE, MPOL_BIND, &one, 64, 0x10), EINVAL);
    CHECK_ERR(mbind(at, PAGE, MPOL_BIND, &far, 64, 0), EINVAL);
    CHECK_ERR(mbind(at, PAGE, MPOL_BIND, NULL, 0, 0), EINVAL);
    CHECK_ERR(mbind(at, PAGE, MPOL_DEFAULT, &one, 64, 0), EINVAL);
    CHECK_ERR(mbind(at, PAGE, 77, &one, 64, 0), EINVAL);
    CHECK_ERR(mbind(at, -2 * PAGE, MPOL_BIND, &one, 64, 0), EINVAL);
    CHECK_ERR(mbind(at, PAGE, MPOL_BIND, (unsigned long *)8, 64, 0), EFAULT);
    CHECK_EQ(mbind(at, 0, MPOL_BIND, &one, 64, 0), 0);
    CHECK_EQ(munmap(at + 2 * PAGE, PAGE), 0);
    CHECK_ERR(mbind(at, 4 * PAGE, MPOL_BIND, &one, 64, 0), EFAULT);
    CHECK_ERR(mbind(at + 2 * PAGE, PAGE, MPOL_BIND, &one, 64, 0), EFAULT);
    CHECK_ERR(mbind(at + 2 * PAGE, PAGE, MPOL_DEFAULT, NULL, 0, 0), EFAULT);
    CHECK_EQ(get_mempolicy(&mode, NULL, 0, at, MPOL_F_ADDR), 0);
    CHECK_EQ(mode, MPOL_DEFAULT);
    CHECK_EQ(mbind(at, 4 * PAGE, MPOL_DEFAULT, NULL, 0, 0), 0); /* holes do not matter */
    CHECK_EQ(IN_CHILD({
                 become_nobody();
                 CHECK_ERR(mbind(at, PAGE, MPOL_BIND, &one, 64, MPOL_MF_MOVE_ALL), EPERM);
                 CHECK_EQ(mbind(at, PAGE, MPOL_BIND, &one, 64, MPOL_MF_MOVE | MPOL_MF_STRICT), 0);
             }),
             0);
}

ABI_TEST(mbind, shared_memory_keeps_the_policy_for_all)
{
    unsigned long one = 1;
    char *at = map(4, MAP_SHARED);
    int mode;

    CHECK_EQ(IN_CHILD(CHECK_EQ(mbind(at + PAGE, 2 * PAGE, MPOL_BIND, &one, 64, 0), 0)), 0);
    for (int i = 0; i < 4; i++) {
        CHECK_EQ(get_mempolicy(&mode, NULL, 0, at + i * PAGE, MPOL_F_ADDR), 0);
        CHECK_EQ(mode, i == 1 || i == 2 ? MPOL_BIND : MPOL_DEFAULT);
    }
}

ABI_TEST(mbind, a_home_node_goes_with_bind_alone)
{
    unsigned long one = 1;
    char *at = map(4, MAP_PRIVATE);

    CHECK_ERR(home_node(at + 1, PAGE, 0, 0), EINVAL);
    CHECK_ERR(home_node(at, PAGE, 0, 1), EINVAL);
    CHECK_ERR(home_node(at, PAGE, 60, 0), EINVAL);
    CHECK_ERR(home_node(at, PAGE, 1ul << 40, 0), EINVAL);
    CHECK_ERR(home_node(at, -2 * PAGE, 0, 0), EINVAL);
    CHECK_EQ(home_node(at, 0, 0, 0), 0);
    CHECK_ERR(home_node(at, 4 * PAGE, 0, 0), ENOENT); /* no policy there */
    CHECK_EQ(mbind(at, PAGE, MPOL_BIND, &one, 64, 0), 0);
    CHECK_EQ(home_node(at, 4 * PAGE, 0, 0), 0);
    CHECK_EQ(mbind(at + PAGE, PAGE, MPOL_INTERLEAVE, &one, 64, 0), 0);
    CHECK_ERR(home_node(at, 4 * PAGE, 0, 0), EOPNOTSUPP);
}

/* Who touches page after page may have been given more than was touched. */
static void none_from(char *at, unsigned long npages)
{
    CHECK_EQ(madvise(at, npages * PAGE, MADV_DONTNEED), 0);
}

ABI_TEST(move_pages, tells_where_pages_are)
{
    char *at = map(4, MAP_PRIVATE);
    void *pages[5] = {at, at + PAGE + 7, at + 2 * PAGE, at + 3 * PAGE, (void *)PAGE};
    int status[5] = {7, 7, 7, 7, 7};
    volatile char byte;

    at[0] = at[PAGE] = 1;
    none_from(at + 2 * PAGE, 2);
    byte = at[2 * PAGE]; /* the zero page */
    (void)byte;
    CHECK_EQ(move_pages(0, 5, pages, NULL, status, 0), 0);
    CHECK(status[0] >= 0 && status[0] < 64 && status[1] >= 0 && status[1] < 64);
    CHECK_EQ(status[2], -EFAULT);
    CHECK_EQ(status[3], -ENOENT);
    CHECK_EQ(status[4], -EFAULT);
    CHECK_EQ(move_pages(getpid(), 1, pages, NULL, status, MPOL_MF_MOVE), 0);
    CHECK_EQ(move_pages(0, 0, NULL, NULL, NULL, 0), 0);
}

ABI_TEST(move_pages, to_where_they_are_already)
{
    char *at = map(4, MAP_PRIVATE);
    void *pages[3] = {at, at + PAGE, (void *)PAGE};
    int status[3] = {7, 7, 7}, nodes[3] = {0, 0, 0}, where;

    at[0] = 'a';
    none_from(at + PAGE, 1);
    CHECK_EQ(move_pages(0, 1, pages, NULL, &where, 0), 0);
    nodes[0] = where;
    CHECK_EQ(move_pages(0, 3, pages, nodes, status, MPOL_MF_MOVE), 0);
    CHECK_EQ(status[0], where);
    CHECK_EQ(status[1], -ENOENT);
    CHECK_EQ(status[2], -EFAULT);
    CHECK_EQ(at[0], 'a');
}

ABI_TEST(move_pages, checks_its_arguments)
{
    char *at = map(1, MAP_PRIVATE);
    void *pages[1] = {at};
    int status[1] = {7}, nodes[1] = {60};

    at[0] = 1;
    CHECK_ERR(move_pages(0, 1, pages, NULL, status, 1), EINVAL);
    CHECK_ERR(move_pages(0, 1, pages, nodes, status, MPOL_MF_MOVE), ENODEV);
    nodes[0] = -1;
    CHECK_ERR(move_pages(0, 1, pages, nodes, status, MPOL_MF_MOVE), ENODEV);
    CHECK_ERR(move_pages(0, 1, (void **)8, NULL, status, 0), EFAULT);
    CHECK_ERR(move_pages(0, 1, pages, NULL, (int *)8, 0), EFAULT);
    CHECK_ERR(move_pages(0, 1, pages, (int *)8, status, 0), EFAULT);
    CHECK_ERR(move_pages(0x3fffffff, 1, pages, NULL, status, 0), ESRCH);
    CHECK_EQ(IN_CHILD({
                 become_nobody();
                 CHECK_ERR(move_pages(0, 1, pages, NULL, status, MPOL_MF_MOVE_ALL), EPERM);
                 CHECK_ERR(move_pages(1, 1, pages, NULL, status, 0), EPERM);
                 CHECK_EQ(move_pages(0, 1, pages, NULL, status, 0), 0);
             }),
             0);
}

ABI_TEST(migrate_pages, checks_its_arguments)
{
    unsigned long one = 1, none = 0, far = NO_NODE;

    CHECK_EQ(syscall(SYS_migrate_pages, 0, 64, &one, &one), 0);
    CHECK_EQ(syscall(SYS_migrate_pages, getpid(), 64, &far, &one), 0);
    CHECK_ERR(syscall(SYS_migrate_pages, 0, 64, &one, &none), EINVAL);
    CHECK_ERR(syscall(SYS_migrate_pages, 0, 64, &one, &far), EINVAL);
    CHECK_ERR(syscall(SYS_migrate_pages, 0, 64, (void *)8, &one), EFAULT);
    CHECK_ERR(syscall(SYS_migrate_pages, 0, 64, &one, (void *)8), EFAULT);
    CHECK_ERR(syscall(SYS_migrate_pages, 0x3fffffff, 64, &one, &one), ESRCH);
    CHECK_EQ(IN_CHILD({
                 become_nobody();
                 CHECK_ERR(syscall(SYS_migrate_pages, 1, 64, &one, &one), EPERM);
                 CHECK_ERR(syscall(SYS_migrate_pages, 0, 64, &one, &far), EPERM);
             }),
             0);
}

/* The line of numa_maps about `at`, without the address. */
static void numa_line(const char *at, char *line, size_t size)
{
    FILE *file = fopen("/proc/self/numa_maps", "r");
    unsigned long start = 0;
    int n = 0;

    CHECK(file != NULL);
    while (start != (unsigned long)at && fgets(line, (int)size, file) != NULL) {
        CHECK_EQ(sscanf(line, "%lx %n", &start, &n), 1);
    }
    CHECK_EQ(start, (unsigned long)at);
    memmove(line, line + n, strlen(line + n) + 1);
    fclose(file);
}

ABI_TEST(numa_maps, shows_policies_and_pages)
{
    unsigned long one = 1;
    char *at = map(10, MAP_PRIVATE) + PAGE;
    char line[256];

    CHECK_EQ(mprotect(at - PAGE, PAGE, PROT_NONE) | mprotect(at + 8 * PAGE, PAGE, PROT_NONE), 0);
    numa_line(at, line, sizeof(line));
    CHECK(strcmp(line, "default\n") == 0);
    CHECK_EQ(madvise(at, 8 * PAGE, MADV_NOHUGEPAGE), 0);
    memset(at, 1, 3 * PAGE);
    CHECK_EQ(mbind(at, 8 * PAGE, MPOL_BIND | MPOL_F_STATIC_NODES, &one, 64, 0), 0);
    numa_line(at, line, sizeof(line));
    CHECK(strncmp(line, "bind=static:0 anon=3 dirty=3 ", 29) == 0);
    CHECK(strstr(line, " N0=3 kernelpagesize_kB=4\n") != NULL);
    CHECK_EQ(set_mempolicy(MPOL_PREFERRED, &one, 64), 0);
    CHECK_EQ(mbind(at, 8 * PAGE, MPOL_DEFAULT, NULL, 0, 0), 0);
    numa_line(at, line, sizeof(line));
    CHECK(strncmp(line, "prefer:0 anon=3 ", 16) == 0); /* the thread's */
}
