/*
 * The few kernel parameters that the loader itself obeys, found in the command line with the
 * kernel's own rules for words and quotes.
 */
#pragma once

#include "kernel/base/types.h"

/*
 * Find the last "name" or "name=value" word before "--". True: found; `value` has its text ("" for
 * a bare word), cut to fit `size`.
 */
bool bootparam_find(const char *line, const char *name, char *value, size_t size);
