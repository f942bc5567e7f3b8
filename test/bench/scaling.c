/*
 * The engine of the scaling rows (scaling.h): starts the workers, brings them to a common start, marks the span.
 *
 * One page, shared by the workers whether they are threads or processes, has counters that only grow and are waited for with a
 * futex: the runs that the coordinator has let go, and how often a worker was ready for one or done with one.
 */
#include "test/bench/scaling.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>

struct control {
    _Alignas(64) int go;    /* [a] runs let go; a futex */
    _Alignas(64) int ready; /* [a] one for each worker and run; a futex */
    _Alignas(64) int done;  /* [a] likewise */
    _Alignas(64) int error; /* [a] the first one's errno */
};

struct job {
    const struct scaling_row *row;
    struct control *control;
    int runs;
    struct worker worker;
    union {
        pthread_t thread;
        pid_t pid;
    };
};

static int futex(int *word, int operation, int value)
{
    return (int)syscall(SYS_futex, word, operation, value, NULL, NULL, 0);
}

/* Sleep until the counter has come to `value`. */
static void wait_for(int *counter, int value)
{
    int now;

    while ((now = __atomic_load_n(counter, __ATOMIC_ACQUIRE)) < value) {
        futex(counter, FUTEX_WAIT, now);
    }
}

unsigned scaling_cpus(void)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0) {
        return 1;
    }
    unsigned found = (unsigned)CPU_COUNT(&set);
    return found < SCALING_MAX_CPUS ? found : SCALING_MAX_CPUS;
}

int scaling_bind(unsigned index)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof(set), &set) < 0) {
        return bench_error("sched_getaffinity");
    }
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set) || index-- > 0) {
            continue;
        }
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        return sched_setaffinity(0, sizeof(set), &set) < 0 ? bench_error("sched_setaffinity") : 0;
    }
    errno = EINVAL;
    return bench_error("more workers than CPUs");
}

static void note_error(struct control *control, int err)
{
    int none = 0;

    if (err < 0) {
        __atomic_compare_exchange_n(&control->error, &none, -err, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED);
    }
}

static void count(int *counter)
{
    __atomic_add_fetch(counter, 1, __ATOMIC_ACQ_REL);
    futex(counter, FUTEX_WAKE, 1);
}

static void work(struct job *job)
{
    const struct scaling_row *row = job->row;
    struct control *control = job->control;
    struct worker *worker = &job->worker;

    int err = scaling_bind(worker->cpu);
    if (err == 0 && row->prepare != NULL) {
        err = row->prepare(worker);
    }
    for (int run = 1; run <= job->runs; run++) {
        if (err == 0 && row->begin != NULL) {
            err = row->begin(worker);
        }
        count(&control->ready); /* one that failed too: the others are waiting for it */
        wait_for(&control->go, 2 * run - 1);
        if (err == 0) {
            err = row->run(worker);
        }
        count(&control->done);
        wait_for(
            &control->go,
            2 * run); /* what comes next is not counted, and nobody takes away what another still uses */
    }
    note_error(control, err);
    if (row->finish != NULL) {
        row->finish(worker);
    }
    for (int i = 0; i < 4; i++) {
        if (worker->fd[i] >= 0) {
            close(worker->fd[i]);
        }
    }
}

static void *work_as_thread(void *job)
{
    work(job);
    return NULL;
}

static int start(struct job *job)
{
    if (job->row->threads) {
        errno = pthread_create(&job->thread, NULL, work_as_thread, job);
        return errno == 0 ? 0 : bench_error("pthread_create");
    }
    job->pid = fork();
    if (job->pid == 0) {
        work(job);
        _exit(0);
    }
    return job->pid > 0 ? 0 : bench_error("fork");
}

static void join(const struct job *job)
{
    if (job->row->threads) {
        pthread_join(job->thread, NULL);
    } else {
        waitpid(job->pid, NULL, 0);
    }
}

static void let_go(struct control *control, int step)
{
    __atomic_store_n(&control->go, step, __ATOMIC_RELEASE);
    futex(&control->go, FUTEX_WAKE, SCALING_MAX_CPUS);
}

/* Let the workers go through all runs, and mark them: the first is to warm up. */
static void coordinate(struct control *control, unsigned ncpus, int samples)
{
    MARK(MARK_ROW);
    for (int run = 1; run <= samples + 1; run++) {
        wait_for(&control->ready, run * (int)ncpus);
        if (run > 1) {
            MARK(MARK_SAMPLE);
        }
        mark_begin();
        let_go(control, 2 * run - 1);
        wait_for(&control->done, run * (int)ncpus);
        mark_end();
        let_go(control, 2 * run);
    }
}

int scaling_run(const struct scaling_row *row, unsigned ncpus, int samples)
{
    static struct job jobs[SCALING_MAX_CPUS];
    struct control *control =
        mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    if (control == MAP_FAILED) {
        return bench_error("mmap");
    }
    for (unsigned i = 0; i < ncpus; i++) {
        jobs[i] = (struct job){
            .row = row,
            .control = control,
            .runs = samples + 1,
            .worker = {.cpu = i, .count = row->count, .fd = {-1, -1, -1, -1}},
        };
        int err = start(&jobs[i]);
        if (err < 0) {
            return err; /* the row's process ends, and its threads with it; children lose nothing */
        }
    }
    coordinate(control, ncpus, samples);
    for (unsigned i = 0; i < ncpus; i++) {
        join(&jobs[i]);
    }
    errno = control->error;
    return errno == 0 ? 0 : bench_error("worker");
}
