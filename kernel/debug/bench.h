/*
 * Benchmarks inside the kernel: single operations of its own, counted in instructions by a counting machine (kernel/abi/mark.h).
 *
 * The parameter linnet.bench=GROUP[,GROUP...] (or all) runs them before the first process; they measure nothing themselves. The log says what was
 * run, in the order of the marks, which `./linnet bench --kernel` joins with the counts:
 *
 *     bench: row frame_pair op 512
 *     bench: skip NAME 12
 *     bench: done
 *
 * One benchmark is a function and its registration line in a *_bench.c. Their code is in .init.text: it is freed when boot is over.
 */
#pragma once

#include <arch/mark.h>

#include "kernel/core/linkset.h"

struct kernel_bench {
    const char *group; /* what linnet.bench= names: "mm" */
    const char *name;  /* the row's */
    unsigned amount;   /* operations between the marks in one run */
    int (*run)(void);  /* with bench_begin() and bench_end() in it; 0 or -errno */
};

LINKSET_DECLARE(kernel_benches, struct kernel_bench);
#define KERNEL_BENCH(id) LINKSET_ENTRY(kernel_benches, struct kernel_bench, id)
/* Not __init: what is counted is to be compiled like the code that it stands for. */
#define __bench __section(".init.text")

#define bench_begin() arch_mark(MARK_BEGIN)
#define bench_end()   arch_mark(MARK_END)

/* Boot, in a thread, before .init is freed: those the parameter names. */
void benches_run(void);
