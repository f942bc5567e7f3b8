/*
 * Runs the benchmarks that the command line names, each once to warm up and then as often as there are samples.
 */
#include "kernel/debug/bench.h"

#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"

#define SAMPLES 2u

static void __init bench_run(const struct kernel_bench *bench)
{
    arch_mark(MARK_ROW);
    int err = bench->run();
    for (unsigned i = 0; i < SAMPLES && err == 0; i++) {
        arch_mark(MARK_SAMPLE);
        err = bench->run();
    }
    if (err == 0) {
        log_info("bench: row %s op %u", bench->name, bench->amount);
    } else {
        log_info("bench: skip %s %d", bench->name, -err);
    }
}

void __init benches_run(void)
{
    const char *list = param_string("linnet.bench");

    if (list == NULL) {
        return;
    }
    linkset_foreach (kernel_benches, struct kernel_bench, bench) {
        if (param_list_has(list, bench->group)) {
            bench_run(bench);
        }
    }
    log_info("bench: done");
}
