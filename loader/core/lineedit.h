/*
 * One line of text being edited: the menu's kernel parameters. Characters are printable ASCII.
 */
#pragma once

#include "kernel/base/types.h"

enum lineedit_key {
    LINEEDIT_LEFT = 0x10000, /* no character of UTF-16 */
    LINEEDIT_RIGHT,
    LINEEDIT_HOME,
    LINEEDIT_END,
    LINEEDIT_DELETE,
    LINEEDIT_BACKSPACE,
    LINEEDIT_ERASE_ALL,
};

struct lineedit {
    char *text; /* caller's, NUL-terminated */
    size_t size;
    size_t len;
    size_t cursor;
};

/* Edit what is in text[size]; the cursor starts at its end. */
void lineedit_init(struct lineedit *line, char *text, size_t size);
/*
 * A printable character or an enum lineedit_key. False: nothing changed (line full, cursor at the
 * edge, unknown key).
 */
bool lineedit_key(struct lineedit *line, unsigned key);
/* First character to show so that the cursor is seen in a window of `width` columns. */
size_t lineedit_window(const struct lineedit *line, size_t width);
