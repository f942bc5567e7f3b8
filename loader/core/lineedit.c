/*
 * A line of text being edited.
 */
#include "loader/core/lineedit.h"

#include "kernel/base/string.h"

void lineedit_init(struct lineedit *line, char *text, size_t size)
{
    line->text = text;
    line->size = size;
    line->len = strnlen(text, size - 1);
    text[line->len] = '\0';
    line->cursor = line->len;
}

/* Take out the character at `at`. */
static bool erase(struct lineedit *line, size_t at)
{
    if (at >= line->len) {
        return false;
    }
    memmove(line->text + at, line->text + at + 1, line->len - at); /* with the NUL */
    line->len--;
    return true;
}

static bool insert(struct lineedit *line, char c)
{
    if (line->len + 1 >= line->size) {
        return false;
    }
    memmove(line->text + line->cursor + 1, line->text + line->cursor, line->len - line->cursor + 1);
    line->text[line->cursor++] = c;
    line->len++;
    return true;
}

static bool move(struct lineedit *line, size_t to)
{
    bool moved = to <= line->len && to != line->cursor;

    if (moved) {
        line->cursor = to;
    }
    return moved;
}

bool lineedit_key(struct lineedit *line, unsigned key)
{
    switch (key) {
    case LINEEDIT_LEFT:
        return line->cursor > 0 && move(line, line->cursor - 1);
    case LINEEDIT_RIGHT:
        return move(line, line->cursor + 1);
    case LINEEDIT_HOME:
        return move(line, 0);
    case LINEEDIT_END:
        return move(line, line->len);
    case LINEEDIT_DELETE:
        return erase(line, line->cursor);
    case LINEEDIT_BACKSPACE:
        return line->cursor > 0 && erase(line, line->cursor - 1) && move(line, line->cursor - 1);
    case LINEEDIT_ERASE_ALL:
        line->text[0] = '\0';
        line->len = line->cursor = 0;
        return true;
    default:
        return key >= ' ' && key < 0x7f && insert(line, (char)key);
    }
}

size_t lineedit_window(const struct lineedit *line, size_t width)
{
    return line->cursor < width ? 0 : line->cursor - width + 1;
}
