/*
 * Proof of the detectors: faults planted on purpose in the running kernel, each of which must be told.
 *
 * The parameter linnet.selftest=GROUP[,GROUP...] (or all) runs them before the first process, and the log says how it went:
 *
 *     selftest: 1..2
 *     selftest: ok 1 - ubsan: a shift by more bits than there are
 *     selftest: not ok 2 - ubsan: ...
 *
 * One fault is one registration line in the file that plants it. Builds without a detector have no self-tests (CONFIG_SELFTEST).
 */
#pragma once

#include "kernel/core/defect.h"
#include "kernel/core/linkset.h"

struct selftest {
    const char *group;     /* what linnet.selftest= names: "ubsan" */
    const char *name;      /* a sentence: what is planted */
    bool (*run)(void);     /* plants it; false: it did not go as it should */
    enum defect_kind kind; /* counted once more afterwards, ... */
    const char *
        expect; /* ... with a line that holds this text; NULL: run() itself is the judge, nothing may be counted */
};

LINKSET_DECLARE(selftests, struct selftest);
#define SELFTEST(id) LINKSET_ENTRY(selftests, struct selftest, id)

/* Boot, in a thread: those the parameter names. */
#ifdef CONFIG_SELFTEST
void selftests_run(void);
#else
static inline void selftests_run(void)
{
}
#endif
