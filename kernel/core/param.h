/*
 * Kernel parameters: "name=value" and bare "name" words of the command line, quotes honoured. What comes after "--" and unknown
 * words without a dot are passed to init, as Linux does.
 */
#pragma once

#include "kernel/base/types.h"

/* Copies the line (at most 4 KiB are kept). Boot, before anything asks. */
void param_init(const char *cmdline);
/* The last value given for `name`; "" for a bare word; NULL when absent. The text lives for ever. */
const char *param_string(const char *name);
uint64_t param_u64(const char *name, uint64_t default_value); /* sizes may carry k, m, g */
bool param_bool(const char *name, bool default_value);        /* 1 y yes on true / 0 n no off false; bare word: true */
/* The whole line, for /proc/cmdline. */
const char *param_cmdline(void);
/* Words after "--" and unknown ones: fills argv[] with up to max pointers; returns their number. */
unsigned param_init_args(const char **argv, unsigned max);
