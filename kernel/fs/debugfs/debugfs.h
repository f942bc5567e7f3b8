/*
 * debugfs: how its files register. They are for people who look into the kernel, root alone, and promise no format.
 *
 *     DEBUG_FILE(kmemleak) = {.path = "kmemleak", .mode = 0644, .show = kmemleak_show, .write = kmemleak_write};
 */
#pragma once

#include "kernel/fs/textfs/text.h"

#define DEBUG_FILE(name_) LINKSET_ENTRY(debug_files, struct text_file, name_)
LINKSET_DECLARE(debug_files, struct text_file);
