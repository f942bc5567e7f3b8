/* The scaling rows: what N CPUs do at once, each on something of its own unless the name says otherwise. */
#include "test/bench/scaling.h"

#include <linux/futex.h>
#include <pthread.h>

#define PAGE       4096
#define MMAP_BYTES (16 * PAGE)

static int run_getpid(struct worker *worker)
{
    for (long i = 0; i < worker->count; i++) {
        syscall(SYS_getpid);
        scaling_turn();
    }
    return 0;
}

/* ---- memory ---- */

static void release_memory(struct worker *worker)
{
    if (worker->memory != NULL) {
        munmap(worker->memory, (size_t)worker->count * PAGE);
        worker->memory = NULL;
    }
}

/* Fresh memory for each run, a page an operation; small pages, whatever the default is. */
static int begin_fault(struct worker *worker)
{
    size_t length = (size_t)worker->count * PAGE;

    release_memory(worker);
    char *memory = mmap(NULL, length, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
        return bench_error("mmap");
    }
    worker->memory = memory;
    madvise(memory, length, MADV_NOHUGEPAGE);
    return 0;
}

static int run_fault(struct worker *worker)
{
    for (long i = 0; i < worker->count; i++) {
        ((volatile char *)worker->memory)[i * PAGE] = 1;
        scaling_turn();
    }
    return 0;
}

static int run_mmap(struct worker *worker)
{
    for (long i = 0; i < worker->count; i++) {
        char *memory =
            mmap(NULL, MMAP_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (memory == MAP_FAILED) {
            return bench_error("mmap");
        }
        *(volatile char *)memory = 1;
        if (munmap(memory, MMAP_BYTES) < 0) {
            return bench_error("munmap");
        }
        scaling_turn();
    }
    return 0;
}

/* ---- files ---- */

static int make_folder(const char *path)
{
    return mkdir(path, 0755) < 0 && errno != EEXIST ? bench_error("mkdir") : 0;
}

static int make_file(const char *path)
{
    int fd = open(path, O_CREAT | O_WRONLY, 0644);

    if (fd < 0) {
        return bench_error("create");
    }
    close(fd);
    return 0;
}

static int prepare_same(struct worker *worker)
{
    strcpy(worker->path, BENCH_FILE);
    return make_file(worker->path);
}

static int prepare_folder(struct worker *worker)
{
    snprintf(worker->path, sizeof(worker->path), BENCH_FOLDER "/folder");
    int err = make_folder(worker->path);
    if (err < 0) {
        return err;
    }
    snprintf(worker->path, sizeof(worker->path), BENCH_FOLDER "/folder/%u", worker->cpu);
    return make_file(worker->path);
}

static int prepare_paths(struct worker *worker)
{
    snprintf(worker->path, sizeof(worker->path), BENCH_FOLDER "/own%u", worker->cpu);
    for (const char *more = "/a/b"; *more != '\0'; more += 2) {
        int err = make_folder(worker->path);
        if (err < 0) {
            return err;
        }
        strncat(worker->path, more, 2);
    }
    int err = make_folder(worker->path);
    if (err < 0) {
        return err;
    }
    strcat(worker->path, "/file");
    return make_file(worker->path);
}

static int run_open(struct worker *worker)
{
    for (long i = 0; i < worker->count; i++) {
        int fd = open(worker->path, O_RDONLY);
        if (fd < 0) {
            return bench_error("open");
        }
        close(fd);
        scaling_turn();
    }
    return 0;
}

static int run_stat(struct worker *worker)
{
    struct stat st;

    for (long i = 0; i < worker->count; i++) {
        if (stat(worker->path, &st) < 0) {
            return bench_error("stat");
        }
        scaling_turn();
    }
    return 0;
}

static int run_create(struct worker *worker)
{
    for (long i = 0; i < worker->count; i++) {
        unlink(worker->path);
        int fd = open(worker->path, O_CREAT | O_EXCL | O_WRONLY, 0644);
        if (fd < 0) {
            return bench_error("create");
        }
        close(fd);
        scaling_turn();
    }
    return 0;
}

static void remove_path(struct worker *worker)
{
    unlink(worker->path);
    for (char *slash; (slash = strrchr(worker->path, '/')) > worker->path;) {
        *slash = '\0';
        if (rmdir(worker->path) < 0) {
            return; /* shared with others, or not ours */
        }
    }
}

/* ---- futex ---- */

/* In worker->memory: the words of two threads on the worker's CPU. */
struct pair {
    _Alignas(64) int ask;
    _Alignas(64) int answer;
    int stop;
    pthread_t peer;
};

static long futex(int *word, int operation, int value)
{
    return syscall(SYS_futex, word, operation | FUTEX_PRIVATE_FLAG, value, NULL, NULL, 0);
}

static void post(int *word)
{
    __atomic_store_n(word, 1, __ATOMIC_SEQ_CST);
    futex(word, FUTEX_WAKE, 1);
}

static void take(int *word)
{
    while (__atomic_exchange_n(word, 0, __ATOMIC_SEQ_CST) == 0) {
        futex(word, FUTEX_WAIT, 0);
    }
}

static int prepare_word(struct worker *worker)
{
    void *memory = aligned_alloc(64, sizeof(struct pair));

    if (memory == NULL) {
        return bench_error("malloc");
    }
    worker->memory = memset(memory, 0, sizeof(struct pair));
    return 0;
}

static int run_futex_wake(struct worker *worker)
{
    struct pair *pair = (struct pair *)(void *)worker->memory;

    for (long i = 0; i < worker->count; i++) {
        futex(&pair->ask, FUTEX_WAKE, 1);
        scaling_turn();
    }
    return 0;
}

static void *peer_main(void *arg)
{
    struct pair *pair = arg;

    for (;;) { /* on its creator's CPU: that is inherited */
        take(&pair->ask);
        if (__atomic_load_n(&pair->stop, __ATOMIC_RELAXED) != 0) {
            return NULL;
        }
        post(&pair->answer);
    }
}

static int prepare_pair(struct worker *worker)
{
    int err = prepare_word(worker);

    if (err < 0) {
        return err;
    }
    struct pair *pair = (struct pair *)(void *)worker->memory;
    errno = pthread_create(&pair->peer, NULL, peer_main, pair);
    if (errno != 0) {
        free(worker->memory);
        worker->memory = NULL;
        return bench_error("pthread_create");
    }
    return 0;
}

static int run_futex_pair(struct worker *worker)
{
    struct pair *pair = (struct pair *)(void *)worker->memory;

    for (long i = 0; i < worker->count; i++) {
        post(&pair->ask);
        take(&pair->answer);
        scaling_turn();
    }
    return 0;
}

static void free_word(struct worker *worker)
{
    free(worker->memory);
}

static void end_pair(struct worker *worker)
{
    struct pair *pair = (struct pair *)(void *)worker->memory;

    if (pair != NULL) {
        __atomic_store_n(&pair->stop, 1, __ATOMIC_RELAXED);
        post(&pair->ask);
        pthread_join(pair->peer, NULL);
        free(pair);
    }
}

/* ---- processes, pipes, sockets ---- */

static void mirror(int in, int out)
{
    char byte;

    while (read(in, &byte, 1) == 1 && write(out, &byte, 1) == 1) {
    }
    _exit(0);
}

/* A child on the same CPU sends back what comes; it ends with its pipe. */
static int prepare_pipes(struct worker *worker)
{
    int there[2], back[2];

    if (pipe(there) < 0 || pipe(back) < 0) {
        return bench_error("pipe");
    }
    pid_t pid = fork();
    if (pid < 0) {
        return bench_error("fork");
    }
    if (pid == 0) {
        close(there[1]);
        close(back[0]);
        mirror(there[0], back[1]);
    }
    close(there[0]);
    close(back[1]);
    worker->fd[0] = there[1];
    worker->fd[1] = back[0];
    return 0;
}

static int prepare_sockets(struct worker *worker)
{
    return socketpair(AF_UNIX, SOCK_STREAM, 0, worker->fd) < 0 ? bench_error("socketpair") : 0;
}

static int run_exchange(struct worker *worker)
{
    char byte = 1;

    for (long i = 0; i < worker->count; i++) {
        if (write(worker->fd[0], &byte, 1) != 1 || read(worker->fd[1], &byte, 1) != 1) {
            return bench_error("exchange");
        }
        scaling_turn();
    }
    return 0;
}

static int run_fork(struct worker *worker)
{
    for (long i = 0; i < worker->count; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            _exit(0);
        }
        if (pid < 0 || waitpid(pid, NULL, 0) != pid) {
            return bench_error("fork");
        }
        scaling_turn();
    }
    return 0;
}

const struct scaling_row scaling_rows[] = {
    {"getpid", false, NULL, NULL, run_getpid, NULL, 10000},
    {"fault_processes", false, NULL, begin_fault, run_fault, release_memory, 2000},
    {"fault_threads", true, NULL, begin_fault, run_fault, release_memory, 2000},
    {"mmap_processes", false, NULL, NULL, run_mmap, NULL, 500},
    {"open_same", false, prepare_same, NULL, run_open, remove_path, 1000},
    {"open_folder", false, prepare_folder, NULL, run_open, remove_path, 1000},
    {"open_paths", false, prepare_paths, NULL, run_open, remove_path, 1000},
    {"open_threads", true, prepare_paths, NULL, run_open, remove_path, 1000},
    {"stat_same", false, prepare_same, NULL, run_stat, remove_path, 1000},
    {"create_unlink", false, prepare_paths, NULL, run_create, remove_path, 500},
    {"futex_wake", true, prepare_word, NULL, run_futex_wake, free_word, 5000},
    {"futex_pair", true, prepare_pair, NULL, run_futex_pair, end_pair, 500},
    {"pipe_pair", false, prepare_pipes, NULL, run_exchange, NULL, 500},
    {"socket_self", false, prepare_sockets, NULL, run_exchange, NULL, 1000},
    {"fork_exit_wait", false, NULL, NULL, run_fork, NULL, 100},
    {NULL},
};
