/*
 * Runs the self-tests that the command line names, and judges them by the counts of defects and the text of the log.
 */
#include "kernel/debug/selftest.h"

#include "kernel/base/string.h"
#include "kernel/core/param.h"

static bool log_says(uint64_t sequence, const char *text)
{
    struct log_record record;
    char line[256];
    size_t len;

    while ((len = log_read(&sequence, &record, line, sizeof(line) - 1)) > 0) {
        line[MIN(sizeof(line) - 1, len)] = '\0';
        if (strstr(line, text) != NULL) {
            return true;
        }
        sequence++;
    }
    return false;
}

static uint64_t defects(void)
{
    uint64_t n = 0;

    for (unsigned kind = 0; kind < DEFECT_NKINDS; kind++) {
        n += defect_count(kind);
    }
    return n;
}

/* NULL: passed; else what went wrong. */
static const char *selftest_judge(const struct selftest *test)
{
    uint64_t sequence = log_next_sequence();
    uint64_t all = defects(), mine = defect_count(test->kind);

    if (!test->run()) {
        return "it did not go as it should";
    }
    if (test->expect == NULL) {
        return defects() == all ? NULL : "something was told that should not be";
    }
    if (defect_count(test->kind) != mine + 1 || defects() != all + 1) {
        return "not told exactly once";
    }
    return log_says(sequence, test->expect) ? NULL : "told in other words";
}

void selftests_run(void)
{
    const char *list = param_string("linnet.selftest");
    unsigned n = 0;

    if (list == NULL) {
        return;
    }
    linkset_foreach (selftests, struct selftest, test) {
        const char *wrong;
        if (!param_list_has(list, test->group)) {
            continue;
        }
        wrong = selftest_judge(test);
        n++;
        if (wrong == NULL) {
            log_info("selftest: ok %u - %s: %s", n, test->group, test->name);
        } else {
            log_err("selftest: not ok %u - %s: %s: %s", n, test->group, test->name, wrong);
        }
    }
    log_info("selftest: 1..%u", n);
}
