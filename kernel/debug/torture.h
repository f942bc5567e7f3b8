/*
 * What the torture tests have in common: threads that do something for a while, and say when they find something wrong.
 */
#pragma once

#include "kernel/base/types.h"

#define TORTURE_MAX 16u

struct torture_worker {
    void (*fn)(unsigned index);
    unsigned index;
    uint64_t n; /* own: what it has counted */
};

/*
 * Run fn(0 .. n - 1), at most TORTURE_MAX, a thread each, until the time is up, for which they look. False: there was no memory, or one of them found
 * something wrong. Thread context, one at a time.
 */
bool torture_run(unsigned n, void (*fn)(unsigned index));
/* More threads than CPUs. */
unsigned torture_nworkers(void);
/* Any context: */
bool torture_time_is_up(void);
void torture_bad(void);
