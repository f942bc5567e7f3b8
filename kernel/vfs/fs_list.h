/*
 * All fs contexts, for pivot_root(2) alone. Private to kernel/vfs.
 */
#pragma once

#include "kernel/vfs/path.h"

/* Every root and working directory that is `old` becomes `new`. */
void fs_contexts_replace(const struct path *old, const struct path *new);
