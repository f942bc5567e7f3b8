/*
 * Any bytes as output of a program on a terminal: the first two choose the screen's size. Whatever comes, cursor and margins stay on
 * the screen, rows stay a permutation of the page's, and cells hold characters.
 */
#include "kernel/dev/vtparse.h"

#include "kernel/base/string.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_COLS 100u
#define MAX_ROWS 40u

static size_t answered;

static void on_reply(void *arg, const char *text, size_t len)
{
    (void)arg;
    for (size_t i = 0; i < len; i++) {
        answered += (uint8_t)text[i];
    }
}

static void on_palette(void *arg, int index, uint32_t rgb)
{
    (void)arg;
    if (index > 15 || rgb > 0xffffff) {
        __builtin_trap();
    }
}

static void check(const struct vt_screen *screen)
{
    if (screen->cursor.x >= screen->cols || screen->cursor.y >= screen->rows ||
        screen->top >= screen->bottom || screen->bottom > screen->rows || screen->page > 1) {
        __builtin_trap();
    }
    for (unsigned y = 0; y < screen->rows; y++) {
        for (unsigned other = 0; other < y; other++) {
            if (screen->lines[y] == screen->lines[other]) {
                __builtin_trap();
            }
        }
        for (unsigned x = 0; x < screen->cols; x++) {
            vt_cell_t cell = vt_screen_at(screen, x, y);
            if (vt_cell_char(cell) > 0x10ffff ||
                (vt_cell_char(cell) < 0x20 && vt_cell_char(cell) != 0)) {
                __builtin_trap();
            }
        }
    }
}

static void parse(struct vt_parser *parser, const uint8_t *data, size_t size)
{
    for (size_t done = 0, n; done < size; done += n) {
        n = vt_parse(parser, data + done, size - done);
        if (n == 0) {
            __builtin_trap();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint64_t memory[2 * MAX_ROWS * (1 + MAX_COLS)];
    static struct vt_screen screen;
    static struct vt_parser parser;
    size_t half;

    if (size < 2) {
        return 0;
    }
    vt_screen_init(&screen, 1 + data[0] % MAX_COLS, 1 + data[1] % MAX_ROWS, memory);
    vt_parser_init(&parser, &screen);
    parser.reply = on_reply;
    parser.palette = on_palette;
    data += 2;
    size -= 2;
    half = size / 2;
    parse(&parser, data, half);
    check(&screen);
    parse(&parser, data + half, size - half);
    check(&screen);
    return 0;
}
