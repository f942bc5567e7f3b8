/*
 * Parsing "#!interpreter [argument]".
 *
 * Everything after the interpreter's name is one argument, with inner blanks and without those at its ends. A line that is longer
 * than what is looked at is cut short, unless the cut would be in the interpreter's name (Linux does the same).
 */
#include "kernel/proc/script.h"

#include "kernel/base/errno.h"
#include "kernel/base/string.h"

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

int script_parse(const void *bytes, size_t len_bytes, char *line, const char **ret_interpreter,
                 const char **ret_arg)
{
    size_t len = MIN(len_bytes, (size_t)SCRIPT_LINE_MAX);
    bool whole = len_bytes < SCRIPT_LINE_MAX; /* the end of the file ends the line */

    if (len < 3 || memcmp(bytes, "#!", 2) != 0) {
        return -ENOEXEC;
    }
    memcpy(line, bytes, len);
    line[len] = '\0';
    for (size_t i = 2; i < len; i++) {
        if (line[i] == '\n' || line[i] == '\0') {
            line[i] = '\0';
            len = i;
            whole = true;
            break;
        }
    }
    char *name = line + 2;
    while (is_blank(*name)) {
        name++;
    }
    char *end = name;
    while (*end != '\0' && !is_blank(*end)) {
        end++;
    }
    if (end == name || (*end == '\0' && !whole)) {
        return -ENOEXEC;
    }
    char *arg = end, *last = line + len;
    while (is_blank(*arg)) {
        arg++;
    }
    while (last > arg && is_blank(last[-1])) {
        last--;
    }
    *last = '\0';
    *end = '\0';
    *ret_interpreter = name;
    *ret_arg = arg < last ? arg : NULL;
    return 0;
}
