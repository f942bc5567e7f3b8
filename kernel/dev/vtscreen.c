/*
 * Terminal screens as data. Behaviour follows ECMA-48 and the VT102 and VT510 manuals; where those leave room, xterm.
 *
 * Erased cells get the current background ("back colour erase", bce), as TERM=linux and xterm declare.
 */
#include "kernel/dev/vtscreen.h"

#include "kernel/base/string.h"

#define PAGES 2u

/* Memory: pointer tables of both pages, then their cells. */
size_t vt_screen_memory(unsigned cols, unsigned rows)
{
    return PAGES * rows * (sizeof(vt_cell_t *) + cols * sizeof(vt_cell_t));
}

static vt_cell_t blank(const struct vt_screen *screen)
{
    return vt_cell(' ', 0, VT_COLOR_DEFAULT, screen->cursor.bg);
}

static void fill(struct vt_screen *screen, vt_cell_t *cells, size_t n, vt_cell_t cell)
{
    screen->work += (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        cells[i] = cell;
    }
}

static void clear_page(struct vt_screen *screen, vt_cell_t **lines, vt_cell_t cell)
{
    for (unsigned y = 0; y < screen->rows; y++) {
        fill(screen, lines[y], screen->cols, cell);
    }
}

void vt_dirty_all(struct vt_screen *screen)
{
    bitmap_set_range(screen->dirty, 0, screen->rows);
}

static void dirty_range(struct vt_screen *screen, unsigned from, unsigned to)
{
    bitmap_set_range(screen->dirty, from, to - from);
}

void vt_screen_reset(struct vt_screen *screen)
{
    static const struct vt_cursor home = {.fg = VT_COLOR_DEFAULT, .bg = VT_COLOR_DEFAULT};

    screen->cursor = home;
    screen->saved[0] = home;
    screen->saved[1] = home;
    screen->page = 0;
    screen->lines = screen->pages[0];
    screen->top = 0;
    screen->bottom = screen->rows;
    screen->autowrap = true;
    screen->insert = false;
    screen->newline_mode = false;
    screen->reverse = false;
    screen->cursor_visible = true;
    screen->app_cursor = false;
    screen->app_keypad = false;
    screen->last_char = ' ';
    memset(screen->tabs, 0, sizeof(screen->tabs));
    for (unsigned x = 8; x < screen->cols; x += 8) {
        bitmap_set(screen->tabs, x);
    }
    for (unsigned page = 0; page < PAGES; page++) {
        clear_page(screen, screen->pages[page], blank(screen));
    }
    vt_dirty_all(screen);
}

void vt_screen_init(struct vt_screen *screen, unsigned cols, unsigned rows, void *memory)
{
    vt_cell_t *cells;

    memset(screen, 0, sizeof(*screen));
    screen->cols = cols;
    screen->rows = rows;
    screen->memory = memory;
    cells = (vt_cell_t *)(screen->memory + PAGES * rows);
    for (unsigned page = 0; page < PAGES; page++) {
        screen->pages[page] = screen->memory + page * rows;
        for (unsigned y = 0; y < rows; y++, cells += cols) {
            screen->pages[page][y] = cells;
        }
    }
    vt_screen_reset(screen);
}

/* ---- widths ---- */

/* Ranges of characters that take two columns, or none (Unicode 15 East Asian Width W and F; general categories Mn, Me, Cf). */
static const struct width_range {
    uint32_t first, last;
} wide_ranges[] = {{0x1100, 0x115f},  {0x2e80, 0x303e},   {0x3041, 0xa4cf},   {0xa960, 0xa97c},
                   {0xac00, 0xd7a3},  {0xf900, 0xfaff},   {0xfe30, 0xfe6f},   {0xff01, 0xff60},
                   {0xffe0, 0xffe6},  {0x1f300, 0x1f64f}, {0x1f680, 0x1f6ff}, {0x1f900, 0x1f9ff},
                   {0x20000, 0x3fffd}},
  zero_ranges[] = {{0x0300, 0x036f}, {0x0483, 0x0489}, {0x0591, 0x05bd},  {0x0610, 0x061a},
                   {0x064b, 0x065f}, {0x1ab0, 0x1aff}, {0x1dc0, 0x1dff},  {0x200b, 0x200f},
                   {0x202a, 0x202e}, {0x2060, 0x2064}, {0x20d0, 0x20ff},  {0xfe00, 0xfe0f},
                   {0xfe20, 0xfe2f}, {0xfeff, 0xfeff}, {0xe0100, 0xe01ef}};

static bool in_ranges(const struct width_range *ranges, size_t n, uint32_t character)
{
    for (size_t i = 0; i < n && character >= ranges[i].first; i++) {
        if (character <= ranges[i].last) {
            return true;
        }
    }
    return false;
}

unsigned vt_char_width(uint32_t character)
{
    if (character < 0x300) {
        return 1;
    }
    if (in_ranges(zero_ranges, ARRAY_SIZE(zero_ranges), character)) {
        return 0;
    }
    return in_ranges(wide_ranges, ARRAY_SIZE(wide_ranges), character) ? 2 : 1;
}

/* ---- scrolling ---- */

static void reverse_lines(vt_cell_t **lines, unsigned n)
{
    for (unsigned i = 0, j = n; i + 1 < j; i++) {
        vt_cell_t *line = lines[i];
        lines[i] = lines[--j];
        lines[j] = line;
    }
}

/* Rotate rows [top, bottom) up by n and blank what comes in: three reversals (Knuth, TAOCP volume 1, 1.3.3). */
static void scroll_range(struct vt_screen *screen, unsigned top, unsigned bottom, unsigned n,
                         bool up)
{
    unsigned height = bottom - top;
    vt_cell_t **lines = screen->lines + top;
    unsigned shift;

    n = MIN(n, height);
    shift = up ? n : height - n;
    if (n == 1 && up) { /* the common case */
        vt_cell_t *first = lines[0];
        memmove(lines, lines + 1, (height - 1) * sizeof(lines[0]));
        lines[height - 1] = first;
    } else {
        reverse_lines(lines, shift);
        reverse_lines(lines + shift, height - shift);
        reverse_lines(lines, height);
    }
    for (unsigned i = 0; i < n; i++) {
        fill(screen, lines[up ? height - 1 - i : i], screen->cols, blank(screen));
    }
    dirty_range(screen, top, bottom);
}

void vt_scroll_up(struct vt_screen *screen, unsigned n)
{
    scroll_range(screen, screen->top, screen->bottom, n, true);
}

void vt_scroll_down(struct vt_screen *screen, unsigned n)
{
    scroll_range(screen, screen->top, screen->bottom, n, false);
}

/* ---- movement ---- */

void vt_goto(struct vt_screen *screen, unsigned x, unsigned y)
{
    struct vt_cursor *cursor = &screen->cursor;
    unsigned limit = screen->rows - 1;

    if (cursor->origin) {
        y = MIN(y, VT_MAX_ROWS) + screen->top;
        limit = screen->bottom - 1;
    }
    vt_dirty_row(screen, cursor->y);
    cursor->x = MIN(x, screen->cols - 1);
    cursor->y = MIN(y, limit);
    cursor->wrap_pending = false;
    vt_dirty_row(screen, cursor->y);
}

void vt_move(struct vt_screen *screen, int dx, int dy)
{
    struct vt_cursor *cursor = &screen->cursor;
    int x = (int)cursor->x + dx, y = (int)cursor->y + dy;
    int low = cursor->y >= screen->top ? (int)screen->top : 0;
    int high = (int)(cursor->y < screen->bottom ? screen->bottom : screen->rows) - 1;

    vt_dirty_row(screen, cursor->y);
    cursor->x = (unsigned)CLAMP(x, 0, (int)screen->cols - 1);
    cursor->y = (unsigned)CLAMP(y, low, high);
    cursor->wrap_pending = false;
    vt_dirty_row(screen, cursor->y);
}

void vt_carriage_return(struct vt_screen *screen)
{
    screen->cursor.x = 0;
    screen->cursor.wrap_pending = false;
    vt_dirty_row(screen, screen->cursor.y);
}

void vt_line_feed(struct vt_screen *screen)
{
    struct vt_cursor *cursor = &screen->cursor;

    cursor->wrap_pending = false;
    vt_dirty_row(screen, cursor->y);
    if (cursor->y + 1 == screen->bottom) {
        vt_scroll_up(screen, 1);
    } else if (cursor->y + 1 < screen->rows) {
        cursor->y++;
        vt_dirty_row(screen, cursor->y);
    }
}

void vt_reverse_index(struct vt_screen *screen)
{
    struct vt_cursor *cursor = &screen->cursor;

    cursor->wrap_pending = false;
    vt_dirty_row(screen, cursor->y);
    if (cursor->y == screen->top) {
        vt_scroll_down(screen, 1);
    } else if (cursor->y > 0) {
        cursor->y--;
        vt_dirty_row(screen, cursor->y);
    }
}

void vt_backspace(struct vt_screen *screen)
{
    if (screen->cursor.x > 0) {
        screen->cursor.x--;
    }
    screen->cursor.wrap_pending = false;
    vt_dirty_row(screen, screen->cursor.y);
}

void vt_tab(struct vt_screen *screen, unsigned n)
{
    size_t x = screen->cursor.x;

    for (; n > 0 && x < screen->cols - 1; n--) {
        x = bitmap_find_set(screen->tabs, screen->cols, x + 1);
    }
    screen->cursor.x = (unsigned)MIN(x, (size_t)screen->cols - 1);
    vt_dirty_row(screen, screen->cursor.y);
}

void vt_tab_back(struct vt_screen *screen, unsigned n)
{
    unsigned x = screen->cursor.x;

    for (; n > 0 && x > 0; n--) {
        do {
            x--;
        } while (x > 0 && !bitmap_test(screen->tabs, x));
    }
    screen->cursor.x = x;
    screen->cursor.wrap_pending = false;
    vt_dirty_row(screen, screen->cursor.y);
}

void vt_tab_set(struct vt_screen *screen)
{
    bitmap_set(screen->tabs, screen->cursor.x);
}

void vt_tab_clear(struct vt_screen *screen, bool all)
{
    if (all) {
        memset(screen->tabs, 0, sizeof(screen->tabs));
    } else {
        bitmap_clear(screen->tabs, screen->cursor.x);
    }
}

/* ---- writing ---- */

static vt_cell_t styled(const struct vt_cursor *cursor, uint32_t character)
{
    return vt_cell(character, cursor->flags, cursor->fg, cursor->bg);
}

static void wrap(struct vt_screen *screen)
{
    vt_carriage_return(screen);
    vt_line_feed(screen);
}

/* DEC special graphics 0x5f-0x7e (VT102 User Guide, table 3-9) in Unicode. */
static uint32_t graphics_char(uint32_t character)
{
    static const uint16_t table[] = {
        0x00a0, 0x25c6, 0x2592, 0x2409, 0x240c, 0x240d, 0x240a, 0x00b0, 0x00b1, 0x2424, 0x240b,
        0x2518, 0x2510, 0x250c, 0x2514, 0x253c, 0x23ba, 0x23bb, 0x2500, 0x23bc, 0x23bd, 0x251c,
        0x2524, 0x2534, 0x252c, 0x2502, 0x2264, 0x2265, 0x03c0, 0x2260, 0x00a3, 0x00b7};

    return character >= 0x5f && character <= 0x7e ? table[character - 0x5f] : character;
}

static uint32_t translate(const struct vt_cursor *cursor, uint32_t character)
{
    switch (cursor->charset[cursor->shift]) {
    case VT_CHARSET_GRAPHICS:
        return graphics_char(character);
    case VT_CHARSET_UK:
        return character == '#' ? 0xa3 : character;
    default:
        return character;
    }
}

/* A wide character loses its other half when one half is overwritten. */
static void split_wide(struct vt_screen *screen, vt_cell_t *line, unsigned x, unsigned width)
{
    if (x > 0 && vt_cell_char(line[x]) == 0) {
        line[x - 1] = blank(screen);
    }
    if (x + width < screen->cols && vt_cell_char(line[x + width]) == 0) {
        line[x + width] = blank(screen);
    }
}

static void advance(struct vt_screen *screen, unsigned width)
{
    struct vt_cursor *cursor = &screen->cursor;

    if (cursor->x + width >= screen->cols) {
        cursor->x = screen->cols - 1;
        cursor->wrap_pending = screen->autowrap;
    } else {
        cursor->x += width;
    }
}

void vt_put(struct vt_screen *screen, uint32_t character)
{
    struct vt_cursor *cursor = &screen->cursor;
    unsigned width;
    vt_cell_t *line;

    character = character < 0x80 ? translate(cursor, character) : character;
    width = vt_char_width(character);
    if (width == 0) {
        return;
    }
    width = MIN(width, screen->cols);
    if (cursor->wrap_pending || (cursor->x + width > screen->cols && screen->autowrap)) {
        wrap(screen);
    }
    cursor->x = MIN(cursor->x, screen->cols - width);
    if (screen->insert) {
        vt_insert_chars(screen, width);
    }
    line = screen->lines[cursor->y];
    split_wide(screen, line, cursor->x, width);
    line[cursor->x] = styled(cursor, character);
    if (width == 2) {
        line[cursor->x + 1] = styled(cursor, 0);
    }
    screen->last_char = character;
    screen->work++;
    vt_dirty_row(screen, cursor->y);
    advance(screen, width);
}

void vt_put_ascii(struct vt_screen *screen, const uint8_t *text, size_t len)
{
    struct vt_cursor *cursor = &screen->cursor;
    vt_cell_t style;

    if (screen->insert || !screen->autowrap || cursor->charset[cursor->shift] != VT_CHARSET_ASCII) {
        for (size_t i = 0; i < len; i++) {
            vt_put(screen, text[i]);
        }
        return;
    }
    style = styled(cursor, 0);
    while (len > 0) {
        vt_cell_t *line;
        size_t n;
        if (cursor->wrap_pending) {
            wrap(screen);
        }
        line = screen->lines[cursor->y];
        n = MIN(len, (size_t)(screen->cols - cursor->x));
        split_wide(screen, line, cursor->x, (unsigned)n);
        for (size_t i = 0; i < n; i++) {
            line[cursor->x + i] = style | text[i];
        }
        vt_dirty_row(screen, cursor->y);
        screen->last_char = text[n - 1];
        screen->work += (uint32_t)n;
        advance(screen, (unsigned)n);
        text += n;
        len -= n;
    }
}

/* ---- erasing, inserting, deleting ---- */

static void erase_cells(struct vt_screen *screen, unsigned y, unsigned from, unsigned to)
{
    vt_cell_t *line = screen->lines[y];

    if (from < to) {
        split_wide(screen, line, from, to - from);
        fill(screen, line + from, to - from, blank(screen));
        vt_dirty_row(screen, y);
    }
}

void vt_erase_line(struct vt_screen *screen, unsigned how)
{
    struct vt_cursor *cursor = &screen->cursor;
    unsigned from = how == 0 ? cursor->x : 0;
    unsigned to = how == 1 ? cursor->x + 1 : screen->cols;

    erase_cells(screen, cursor->y, from, to);
    cursor->wrap_pending = false;
}

void vt_erase_display(struct vt_screen *screen, unsigned how)
{
    unsigned y = screen->cursor.y;
    unsigned from = how == 0 ? y + 1 : 0;
    unsigned to = how == 1 ? y : screen->rows;

    if (how < 2) {
        vt_erase_line(screen, how);
    }
    for (unsigned row = from; row < to; row++) {
        erase_cells(screen, row, 0, screen->cols);
    }
    screen->cursor.wrap_pending = false;
}

void vt_erase_chars(struct vt_screen *screen, unsigned n)
{
    struct vt_cursor *cursor = &screen->cursor;

    erase_cells(screen, cursor->y, cursor->x, cursor->x + MIN(n, screen->cols - cursor->x));
    cursor->wrap_pending = false;
}

void vt_insert_chars(struct vt_screen *screen, unsigned n)
{
    struct vt_cursor *cursor = &screen->cursor;
    vt_cell_t *at = screen->lines[cursor->y] + cursor->x;
    unsigned left = screen->cols - cursor->x;

    n = MIN(n, left);
    split_wide(screen, screen->lines[cursor->y], cursor->x, 0);
    memmove(at + n, at, (left - n) * sizeof(*at));
    screen->work += left - n;
    fill(screen, at, n, blank(screen));
    cursor->wrap_pending = false;
    vt_dirty_row(screen, cursor->y);
}

void vt_delete_chars(struct vt_screen *screen, unsigned n)
{
    struct vt_cursor *cursor = &screen->cursor;
    vt_cell_t *at = screen->lines[cursor->y] + cursor->x;
    unsigned left = screen->cols - cursor->x;

    n = MIN(n, left);
    split_wide(screen, screen->lines[cursor->y], cursor->x, n);
    memmove(at, at + n, (left - n) * sizeof(*at));
    screen->work += left - n;
    fill(screen, at + left - n, n, blank(screen));
    cursor->wrap_pending = false;
    vt_dirty_row(screen, cursor->y);
}

static bool in_region(const struct vt_screen *screen)
{
    return screen->cursor.y >= screen->top && screen->cursor.y < screen->bottom;
}

void vt_insert_lines(struct vt_screen *screen, unsigned n)
{
    if (in_region(screen)) {
        scroll_range(screen, screen->cursor.y, screen->bottom, n, false);
        vt_carriage_return(screen);
    }
}

void vt_delete_lines(struct vt_screen *screen, unsigned n)
{
    if (in_region(screen)) {
        scroll_range(screen, screen->cursor.y, screen->bottom, n, true);
        vt_carriage_return(screen);
    }
}

void vt_set_margins(struct vt_screen *screen, unsigned top, unsigned bottom)
{
    bottom = MIN(bottom, screen->rows);
    if (top + 1 < bottom) {
        screen->top = top;
        screen->bottom = bottom;
        vt_goto(screen, 0, 0);
    }
}

void vt_fill_e(struct vt_screen *screen)
{
    clear_page(screen, screen->lines, vt_cell('E', 0, VT_COLOR_DEFAULT, VT_COLOR_DEFAULT));
    screen->top = 0;
    screen->bottom = screen->rows;
    vt_dirty_all(screen);
    vt_goto(screen, 0, 0);
}

/* ---- saved states and pages ---- */

void vt_save_cursor(struct vt_screen *screen)
{
    screen->saved[screen->page] = screen->cursor;
}

void vt_restore_cursor(struct vt_screen *screen)
{
    vt_dirty_row(screen, screen->cursor.y);
    screen->cursor = screen->saved[screen->page];
    vt_dirty_row(screen, screen->cursor.y);
}

void vt_use_page(struct vt_screen *screen, unsigned page, bool clear)
{
    if (page != screen->page) {
        screen->page = page;
        screen->lines = screen->pages[page];
        vt_dirty_all(screen);
    }
    if (clear) {
        clear_page(screen, screen->lines, blank(screen));
        vt_dirty_all(screen);
    }
}
