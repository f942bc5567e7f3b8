/*
 * Policies and moves in a machine with four nodes, for numa_test.py: says "ok WHAT" or what is wrong with it.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/mempolicy.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE   4096ul
#define NNODES 4u
#define NPAGES 300u
#ifndef SYS_set_mempolicy_home_node
#define SYS_set_mempolicy_home_node 450
#endif

static const char *what; /* is being tried */

static void expect(bool right, const char *sentence)
{
    if (!right) {
        printf("%s: %s (errno %d)\n", what, sentence, errno);
        exit(1);
    }
}

/* With a page before and behind, so that the region does not join others. */
static char *map(size_t npages, int flags)
{
    char *at = mmap(NULL, (npages + 2) * PAGE, PROT_NONE, flags | MAP_ANONYMOUS, -1, 0);

    expect(at != MAP_FAILED, "mmap");
    at += PAGE;
    expect(mprotect(at, npages * PAGE, PROT_READ | PROT_WRITE) == 0, "mprotect");
    (void)madvise(at, npages * PAGE, MADV_NOHUGEPAGE);
    return at;
}

static void fill(char *at, size_t npages)
{
    for (size_t i = 0; i < npages; i++) {
        memset(at + i * PAGE, (int)(i * 7 + 1), PAGE);
    }
}

static bool is_filled(const char *at, size_t npages)
{
    for (size_t i = 0; i < npages * PAGE; i++) {
        if (at[i] != (char)(i / PAGE * 7 + 1)) {
            return false;
        }
    }
    return true;
}

static long bind_to(char *at, size_t npages, int mode, unsigned long nodes, unsigned flags)
{
    return syscall(SYS_mbind, at, npages * PAGE, mode, &nodes, 64ul, flags);
}

static long set_policy(int mode, unsigned long nodes)
{
    return syscall(SYS_set_mempolicy, mode, &nodes, 64ul);
}

/* How many of the pages are on each node, by move_pages(2); numa_maps has to say the same of the region, which begins at `at`. */
static void expect_nodes(char *at, size_t npages, const unsigned expected[NNODES])
{
    static void *pages[4096];
    static int status[4096];
    unsigned found[NNODES] = {0};
    char line[1024], wanted[32];
    unsigned long start = 0;

    for (size_t i = 0; i < npages; i++) {
        pages[i] = at + i * PAGE;
    }
    expect(syscall(SYS_move_pages, 0, npages, pages, NULL, status, 0) == 0, "move_pages");
    for (size_t i = 0; i < npages; i++) {
        expect(status[i] >= 0 && status[i] < (int)NNODES, "a page is on no node");
        found[status[i]]++;
    }
    FILE *maps = fopen("/proc/self/numa_maps", "r");
    expect(maps != NULL, "numa_maps");
    while (start != (unsigned long)at && fgets(line, sizeof(line), maps) != NULL) {
        (void)sscanf(line, "%lx", &start);
    }
    fclose(maps);
    expect(start == (unsigned long)at, "not in numa_maps");
    for (unsigned node = 0; node < NNODES; node++) {
        (void)snprintf(wanted, sizeof(wanted), " N%u=%u ", node, expected[node]);
        bool told = strstr(line, wanted) != NULL;
        if (found[node] != expected[node] || told != (expected[node] > 0)) {
            printf("%s: node %u: %u pages, expected %u; %s", what, node, found[node],
                   expected[node], line);
            exit(1);
        }
    }
}

static void expect_all_on(char *at, size_t npages, unsigned node)
{
    unsigned expected[NNODES] = {0};

    expected[node] = (unsigned)npages;
    expect_nodes(at, npages, expected);
}

/* ---- where new pages come from ---- */

static void try_regions(void)
{
    for (unsigned node = 0; node < NNODES; node++) {
        char *at = map(NPAGES, MAP_PRIVATE);
        expect(bind_to(at, NPAGES, MPOL_BIND, 1ul << node, 0) == 0, "mbind");
        fill(at, NPAGES);
        expect_all_on(at, NPAGES, node);
        at = map(NPAGES, MAP_PRIVATE);
        expect(bind_to(at, NPAGES, MPOL_PREFERRED, 1ul << node, 0) == 0, "mbind");
        fill(at, NPAGES);
        expect_all_on(at, NPAGES, node);
    }
    char *at = map(NPAGES, MAP_PRIVATE);
    expect(bind_to(at, NPAGES, MPOL_INTERLEAVE, 0xb, 0) == 0, "mbind");
    fill(at, NPAGES);
    expect_nodes(at, NPAGES, (const unsigned[]){100, 100, 0, 100});
    at = map(NPAGES, MAP_PRIVATE);
    expect(bind_to(at, NPAGES, MPOL_BIND, 0xe, 0) == 0, "mbind");
    fill(at, NPAGES);
    expect_all_on(at, NPAGES, 1); /* the nearest to node 0, where the CPU is */
    at = map(NPAGES, MAP_PRIVATE);
    expect(bind_to(at, NPAGES, MPOL_PREFERRED_MANY, 0x6, 0) == 0 &&
               syscall(SYS_set_mempolicy_home_node, at, NPAGES * PAGE, 2ul, 0ul) == 0,
           "home node");
    fill(at, NPAGES);
    expect_all_on(at, NPAGES, 2);
}

static void try_thread(void)
{
    expect(set_policy(MPOL_BIND, 1ul << 3) == 0, "set_mempolicy");
    char *at = map(NPAGES, MAP_PRIVATE);
    fill(at, NPAGES);
    expect_all_on(at, NPAGES, 3);
    int fd = open("/file", O_RDWR | O_CREAT | O_TRUNC, 0600);
    expect(fd >= 0 && write(fd, at, 50 * PAGE) == (ssize_t)(50 * PAGE), "write");
    char *file = mmap(NULL, 50 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
    expect(file != MAP_FAILED && is_filled(file, 50), "the file");
    expect_all_on(file, 50, 3);
    expect(set_policy(MPOL_INTERLEAVE, 0xf) == 0, "set_mempolicy");
    at = map(NPAGES, MAP_PRIVATE);
    fill(at, NPAGES);
    expect_nodes(at, NPAGES, (const unsigned[]){75, 75, 75, 75});
    expect(set_policy(MPOL_DEFAULT, 0) == 0, "set_mempolicy");
    at = map(NPAGES, MAP_PRIVATE);
    fill(at, NPAGES);
    expect_all_on(at, NPAGES, 0);
}

static void try_shared(void)
{
    char *at = map(NPAGES, MAP_SHARED);

    expect(bind_to(at, NPAGES, MPOL_BIND, 1ul << 1, 0) == 0, "mbind");
    pid_t child = fork();
    if (child == 0) { /* another space, with a policy of its own */
        (void)set_policy(MPOL_BIND, 1ul << 2);
        fill(at, NPAGES);
        _exit(0);
    }
    expect(waitpid(child, NULL, 0) == child && is_filled(at, NPAGES), "the child");
    expect_all_on(at, NPAGES, 1);
}

static void try_huge(void)
{
    const size_t len = 8ul << 20;
    char *at =
        mmap(NULL, len + (2ul << 20), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    expect(at != MAP_FAILED, "mmap");
    at = (char *)(((uintptr_t)at + (2ul << 20) - 1) & -(2ul << 20));
    expect(bind_to(at, len / PAGE, MPOL_BIND, 1ul << 2, 0) == 0, "mbind");
    (void)madvise(at, len, MADV_HUGEPAGE);
    fill(at, len / PAGE);
    expect_all_on(at, len / PAGE, 2);
}

/* ---- moving ---- */

static void try_move_pages(void)
{
    static void *pages[NPAGES];
    static int nodes[NPAGES], status[NPAGES];
    int ready[2], go[2];
    char byte;

    char *at = map(NPAGES, MAP_PRIVATE);
    fill(at, NPAGES);
    for (unsigned i = 0; i < NPAGES; i++) {
        pages[i] = at + i * PAGE;
        nodes[i] = (int)(i % 3 + 1);
    }
    expect(syscall(SYS_move_pages, 0, (unsigned long)NPAGES, pages, nodes, status, MPOL_MF_MOVE) ==
               0,
           "move_pages");
    expect(memcmp(nodes, status, sizeof(nodes)) == 0, "the status");
    expect_nodes(at, NPAGES, (const unsigned[]){0, 100, 100, 100});
    expect(is_filled(at, NPAGES), "the content");
    /* Shared with a child: only if that is asked for. */
    expect(pipe(ready) == 0 && pipe(go) == 0, "pipe");
    pid_t child = fork();
    if (child == 0) {
        (void)write(ready[1], "r", 1);
        (void)read(go[0], &byte, 1);
        _exit(is_filled(at, NPAGES) ? 7 : 8);
    }
    (void)read(ready[0], &byte, 1);
    nodes[0] = 0;
    expect(syscall(SYS_move_pages, child, 1ul, pages, nodes, status, MPOL_MF_MOVE) == 0 &&
               status[0] == -EACCES,
           "a shared page moved");
    expect(syscall(SYS_move_pages, child, 1ul, pages, nodes, status, MPOL_MF_MOVE_ALL) == 0 &&
               status[0] == 0,
           "a shared page did not move");
    expect_nodes(at, NPAGES, (const unsigned[]){1, 99, 100, 100});
    (void)write(go[1], "g", 1);
    int end = 0;
    expect(waitpid(child, &end, 0) == child && WEXITSTATUS(end) == 7, "the child's content");
    expect(is_filled(at, NPAGES), "the content");
}

static void try_mbind_move(void)
{
    char *at = map(NPAGES, MAP_PRIVATE), *shared = map(NPAGES, MAP_SHARED);

    fill(at, NPAGES);
    fill(shared, NPAGES);
    expect(bind_to(at, NPAGES, MPOL_BIND, 1ul << 2, MPOL_MF_STRICT) < 0 && errno == EIO,
           "strict was no error");
    expect(bind_to(at, NPAGES, MPOL_BIND, 1ul << 2, MPOL_MF_MOVE | MPOL_MF_STRICT) == 0, "mbind");
    expect_all_on(at, NPAGES, 2);
    expect(bind_to(at, NPAGES, MPOL_INTERLEAVE, 0x3, MPOL_MF_MOVE) == 0, "mbind");
    expect_nodes(at, NPAGES, (const unsigned[]){150, 150, 0, 0});
    expect(bind_to(shared, NPAGES, MPOL_BIND, 1ul << 3, MPOL_MF_MOVE) == 0, "mbind");
    expect_all_on(shared, NPAGES, 3);
    expect(is_filled(at, NPAGES) && is_filled(shared, NPAGES), "the content");
    fill(shared, NPAGES);
    expect_all_on(shared, NPAGES, 3);
}

static void try_migrate_pages(void)
{
    unsigned long from = 0x3, to = 0xc;
    char *at = map(NPAGES, MAP_PRIVATE);

    expect(bind_to(at, NPAGES, MPOL_INTERLEAVE, 0x3, 0) == 0, "mbind");
    fill(at, NPAGES);
    expect(bind_to(at, NPAGES, MPOL_DEFAULT, 0, 0) == 0, "mbind");
    expect(syscall(SYS_migrate_pages, 0, 64ul, &from, &to) >= 0, "migrate_pages");
    expect_nodes(at, NPAGES, (const unsigned[]){0, 0, 150, 150});
    expect(is_filled(at, NPAGES), "the content");
}

static long node_kb(unsigned node, const char *field)
{
    char path[64], line[128], want[64];
    long kb = -1;

    (void)snprintf(path, sizeof(path), "/sys/devices/system/node/node%u/meminfo", node);
    (void)snprintf(want, sizeof(want), "Node %u %s", node, field);
    FILE *file = fopen(path, "r");
    expect(file != NULL, path);
    while (kb < 0 && fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, want, strlen(want)) == 0) {
            kb = strtol(line + strlen(want), NULL, 10);
        }
    }
    (void)fclose(file);
    return kb;
}

/* Each node has lists of its own. */
static void try_lists(void)
{
    char *at = map(2000, MAP_PRIVATE);
    long before[NNODES];

    for (unsigned node = 0; node < NNODES; node++) {
        before[node] = node_kb(node, "Inactive(anon):");
    }
    expect(bind_to(at, 2000, MPOL_BIND, 1ul << 3, 0) == 0, "mbind");
    fill(at, 2000);
    expect(node_kb(3, "Inactive(anon):") - before[3] >= 7900, "the pages are not on its lists");
    expect(labs(node_kb(1, "Inactive(anon):") - before[1]) < 1000, "they are on others");
    expect(munmap(at, 2000 * PAGE) == 0, "munmap");
    expect(node_kb(3, "Inactive(anon):") - before[3] < 1000, "the pages stayed on the lists");
}

/* More than a node has, of which it is to be: its own old pages go to swap, while the other nodes have memory. There is swap. */
static void try_full_node(void)
{
    const size_t npages = 18000;
    char *at = map(npages, MAP_PRIVATE);

    expect(bind_to(at, npages, MPOL_BIND, 1ul << 1, 0) == 0, "mbind");
    fill(at, npages);
    expect(node_kb(3, "MemFree:") > 20000, "another node was emptied");
    expect(is_filled(at, npages), "the content");
}

/* Everybody's pages go from node to node until we are killed. */
static void storm(void)
{
    for (unsigned round = 0;; round++) {
        unsigned long from = 1ul << round % NNODES, to = 1ul << (round + 1) % NNODES;
        DIR *proc = opendir("/proc");
        struct dirent *entry;
        while (proc != NULL && (entry = readdir(proc)) != NULL) {
            int pid = atoi(entry->d_name);
            if (pid > 0) {
                (void)syscall(SYS_migrate_pages, pid, 64ul, &from, &to);
            }
        }
        (void)closedir(proc);
    }
}

int main(int argc, char **argv)
{
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {
        {"regions", try_regions},
        {"thread", try_thread},
        {"shared", try_shared},
        {"huge", try_huge},
        {"move_pages", try_move_pages},
        {"mbind_move", try_mbind_move},
        {"migrate_pages", try_migrate_pages},
        {"lists", try_lists},
        {"full_node", try_full_node},
    };

    if (argc > 1 && strcmp(argv[1], "storm") == 0) {
        storm();
    }
    setvbuf(stdout, NULL, _IONBF, 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        what = cases[i].name;
        pid_t child = fork(); /* each in a space of its own */
        if (child == 0) {
            cases[i].run();
            printf("ok %s\n", what);
            _exit(0);
        }
        (void)waitpid(child, NULL, 0);
    }
    return 0;
}
