/*
 * Requests to the kernel by a single key, as `echo l > /proc/sysrq-trigger` makes them (Documentation/admin-guide/sysrq.rst).
 *
 *     SYSRQ_KEY(backtraces) = {.key = 'l', .text = "show the call chains of all CPUs", .fn = show_backtraces};
 */
#pragma once

#include "kernel/core/linkset.h"

struct sysrq_key {
    char key;
    const char *text;     /* what it does, for the list and the log */
    void (*fn)(char key); /* any context but NMI */
};
#define SYSRQ_KEY(name_) LINKSET_ENTRY(sysrq_keys, struct sysrq_key, name_)

/* Do what the key asks for; a key that nobody serves lists those that are served. Any context but NMI. */
void sysrq_request(char key);
