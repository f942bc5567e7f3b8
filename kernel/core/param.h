/*
 * Kernel parameters: "name=value" and bare "name" words of the command line, quotes honoured. What comes after "--" and unknown
 * words without a dot are passed to init, as Linux does: bare words as arguments, "name=value" in its environment. A word is
 * known when somebody has asked for it or registered it with PARAM_HANDLER. '-' and '_' in names are the same.
 */
#pragma once

#include "kernel/base/types.h"
#include "kernel/core/linkset.h"

/*
 * A handler that param_init() calls with the last value given ("" for a bare word), before anything else of the kernel runs:
 *
 *     PARAM_HANDLER(loglevel, log_param_loglevel);
 */
struct param_handler {
    const char *name;
    void (*set)(const char *value);
};
LINKSET_DECLARE(params, struct param_handler);
#define PARAM_HANDLER(name_, set_)                                                                 \
    LINKSET_ENTRY(params, struct param_handler, name_)                                             \
    = {.name = #name_, .set = (set_)}

/* Copies the line (at most 4 KiB are kept). Boot, before anything asks. */
void param_init(const char *cmdline);
/* The last value given for `name`; "" for a bare word; NULL when absent. The text lives for ever. */
const char *param_string(const char *name);
uint64_t param_u64(const char *name, uint64_t default_value); /* sizes may carry k, m, g */
bool param_bool(const char *name,
                bool default_value); /* 1 y yes on true / 0 n no off false; bare word: true */
/* Whether a comma-separated list, as some values are, holds `word`, or is "all". */
bool param_list_has(const char *list, const char *word);
/* The whole line, for /proc/cmdline. */
const char *param_cmdline(void);
/* Words after "--" and unknown bare ones: fills argv[] with up to max pointers; returns their number. */
unsigned param_init_args(const char **argv, unsigned max);
/* Unknown "name=value" words without a dot in the name: the environment of init. The same way. */
unsigned param_init_env(const char **envp, unsigned max);
