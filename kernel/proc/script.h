/*
 * The first line of a script (execve(2), "Interpreter scripts").
 */
#pragma once

#include "kernel/base/types.h"

#define SCRIPT_LINE_MAX 256 /* bytes looked at, with "#!" */

/*
 * Find the interpreter and its one optional argument in the file's first `len` bytes (at most SCRIPT_LINE_MAX); both are
 * NUL-terminated in `line`, which has SCRIPT_LINE_MAX + 1 bytes. *ret_arg is NULL without an argument.
 * -ENOEXEC: not a script, no interpreter named, or its name does not end within the line.
 */
int script_parse(const void *bytes, size_t len_bytes, char *line, const char **ret_interpreter,
                 const char **ret_arg);
