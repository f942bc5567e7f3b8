/*
 * What the files about core dumps share.
 */
#pragma once

#include "kernel/proc/coredump.h"
#include "kernel/proc/internal.h"
#include "kernel/vfs/file.h"

/* A dump under way, by the current thread. */
struct coredump {
    struct process *process;
    struct vmspace *vm;
    const siginfo_t *info;
    int dumpable;
    uint64_t limit; /* bytes */
};

/* ---- coredump_notes.c ---- */
/* All notes of the process, whose other threads lie still. 0 or -ENOMEM; notes->data is the caller's to vfree() either way. */
int coredump_make_notes(const struct coredump *dump, struct coredump_notes *notes);
