/*
 * Linker sets: a const struct placed in a named section by one line, found as an array by whoever consumes it. This is how a
 * driver, a file system, a /proc file or a test registers without a list being edited.
 *
 *     LINKSET_ENTRY(filesystems, struct filesystem, tmpfs) = { ... };
 *     linkset_foreach(filesystems, const struct filesystem, fs) { ... }
 *
 * Entries come in link order, which is the order of the build's source lists: do not depend on it.
 */
#pragma once

#include "kernel/base/types.h"

/* Section names without a dot: the linker defines __start_ and __stop_ for them. */
#define LINKSET_ENTRY(set, type, name)                                                             \
    static const type linkset_##set##_##name                                                       \
        __attribute__((section("linkset_" #set), used, retain, aligned(__alignof__(type))))

#define LINKSET_DECLARE(set, type)                                                                 \
    extern const type __start_linkset_##set[] __attribute__((weak, visibility("hidden")));         \
    extern const type __stop_linkset_##set[] __attribute__((weak, visibility("hidden")))

/* LINKSET_DECLARE(set, type) must be in scope. */
#define linkset_foreach(set, type, pos)                                                            \
    for (const type *pos = __start_linkset_##set; pos < __stop_linkset_##set; pos++)
