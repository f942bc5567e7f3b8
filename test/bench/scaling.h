/*
 * Scaling: the same work on each of N CPUs at once, to see whether an operation costs more instructions when others do it too.
 *
 * A row of scaling.c is run by N workers, one bound to each CPU, threads of one process or processes of their own. They make ready,
 * wait asleep, are let go together, do `count` operations each and wait asleep for the last. The span of a sample lasts from the
 * moment when they are let go to the end of the last one and counts all CPUs: a CPU that is halted executes nothing, one that
 * spins on a lock does. Between operations a worker gives its turn to the next CPU of the machine (PAUSE), so that all
 * are in the midst of theirs at once.
 */
#pragma once

#include "test/bench/bench.h"

#define SCALING_MAX_CPUS 64

struct worker {
    unsigned cpu;  /* 0 .. N-1; bound to the machine's CPU of that place */
    long count;    /* operations in a run */
    int fd[4];     /* the row's, -1: none; closed at the end */
    char *memory;  /* the row's */
    char path[64]; /* the row's */
};

struct scaling_row {
    const char *name;
    bool threads;                          /* of one process; else processes */
    int (*prepare)(struct worker *worker); /* once for each worker, or NULL; bench_error() */
    int (*begin)(struct worker *worker);   /* before each run, or NULL */
    int (*run)(struct worker *worker);     /* worker->count operations */
    void (*finish)(struct worker *worker); /* once, or NULL; also when prepare() failed */
    long count;
};

/* Ended by a row without a name. */
extern const struct scaling_row scaling_rows[];

/* Bind the calling thread to the machine's `index`th CPU. 0 or an error as a row returns it. */
int scaling_bind(unsigned index);

/* How many CPUs this process may run on, at most SCALING_MAX_CPUS. */
unsigned scaling_cpus(void);

/* Run one row: its marks, and its line of the report's `amount` as operations of one sample. 0 or an error. */
int scaling_run(const struct scaling_row *row, unsigned ncpus, int samples);

/* Give the turn to another CPU: a translated machine that runs CPUs in turn goes on to the next. */
static inline void scaling_turn(void)
{
    __asm__ volatile("pause" : : : "memory");
}
