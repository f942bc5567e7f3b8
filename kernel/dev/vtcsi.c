/*
 * Control sequences with parameters: movement, erasing, modes, attributes, reports (ECMA-48 8.3; VT102 User Guide; XTerm Control
 * Sequences; console_codes(4)).
 */
#include "kernel/dev/vtcsi.h"

#include "kernel/base/printf.h"
#include "kernel/base/string.h"

/* Parameter n, or `fallback` when it is missing or 0. */
static unsigned param(const struct vt_parser *parser, unsigned n, unsigned fallback)
{
    unsigned value = n < parser->nparams ? parser->params[n] : 0;

    return value == 0 ? fallback : value;
}

static void reply(struct vt_parser *parser, const char *text)
{
    if (parser->reply != NULL) {
        parser->reply(parser->arg, text, strlen(text));
    }
}

void vt_reply_attributes(struct vt_parser *parser)
{
    reply(parser, "\033[?6c");
}

/* ---- attributes (SGR) ---- */

/*
 * 38 and 48 with what follows: 5;n or 2;r;g;b, also in the colon form, where an empty colour space may stand between.
 * Returns parameters used beyond the first.
 */
static unsigned extended_color(const struct vt_parser *parser, unsigned at, unsigned *color)
{
    const uint16_t *p = parser->params + at + 1;
    unsigned left = parser->nparams - at - 1;
    bool colons = at + 1 < parser->nparams && (parser->subparams >> (at + 1) & 1) != 0;
    unsigned n = 0;

    if (left >= 2 && p[0] == 5) {
        *color = p[1] & 0xff;
        return 2;
    }
    if (left < 4 || p[0] != 2) {
        return left > 0 ? 1 : 0;
    }
    if (colons) {
        while (at + 1 + n < parser->nparams && (parser->subparams >> (at + 1 + n) & 1) != 0) {
            n++;
        }
        if (n >= 5) {
            p++; /* 38:2:<colour space>:r:g:b */
        }
    }
    *color = VT_COLOR_RGB | (MIN(p[1], 255u) >> 3) << 10 | (MIN(p[2], 255u) >> 3) << 5 |
             MIN(p[3], 255u) >> 3;
    return colons ? n : 4;
}

static const struct {
    uint8_t code, set, clear;
} flag_codes[] = {
    {1, VT_BOLD, 0},       {2, VT_DIM, 0},        {3, VT_ITALIC, 0},         {4, VT_UNDERLINE, 0},
    {5, VT_BLINK, 0},      {6, VT_BLINK, 0},      {7, VT_REVERSE, 0},        {8, VT_HIDDEN, 0},
    {9, VT_STRIKE, 0},     {21, VT_UNDERLINE, 0}, {22, 0, VT_BOLD | VT_DIM}, {23, 0, VT_ITALIC},
    {24, 0, VT_UNDERLINE}, {25, 0, VT_BLINK},     {27, 0, VT_REVERSE},       {28, 0, VT_HIDDEN},
    {29, 0, VT_STRIKE}};

static void sgr_flag(struct vt_cursor *cursor, unsigned code)
{
    for (size_t i = 0; i < ARRAY_SIZE(flag_codes); i++) {
        if (flag_codes[i].code == code) {
            cursor->flags = (cursor->flags | flag_codes[i].set) & ~(unsigned)flag_codes[i].clear;
        }
    }
}

/* One attribute; returns further parameters used. */
static unsigned sgr_one(struct vt_parser *parser, unsigned at)
{
    struct vt_cursor *cursor = &parser->screen->cursor;
    unsigned code = parser->params[at], used = 0;

    if (code == 0) {
        cursor->flags = 0;
        cursor->fg = VT_COLOR_DEFAULT;
        cursor->bg = VT_COLOR_DEFAULT;
    } else if (code < 30) {
        sgr_flag(cursor, code);
        /* 4:0 is "no underline"; other styles are underlines. */
        if (code == 4 && at + 1 < parser->nparams && (parser->subparams >> (at + 1) & 1) != 0) {
            if (parser->params[at + 1] == 0) {
                cursor->flags &= ~VT_UNDERLINE;
            }
            used = 1;
        }
    } else if (code <= 37) {
        cursor->fg = code - 30;
    } else if (code == 38) {
        used = extended_color(parser, at, &cursor->fg);
    } else if (code == 39) {
        cursor->fg = VT_COLOR_DEFAULT;
    } else if (code >= 40 && code <= 47) {
        cursor->bg = code - 40;
    } else if (code == 48) {
        used = extended_color(parser, at, &cursor->bg);
    } else if (code == 49) {
        cursor->bg = VT_COLOR_DEFAULT;
    } else if (code >= 90 && code <= 97) {
        cursor->fg = code - 90 + 8;
    } else if (code >= 100 && code <= 107) {
        cursor->bg = code - 100 + 8;
    }
    return used;
}

static void sgr(struct vt_parser *parser)
{
    unsigned n = MAX(parser->nparams, 1);

    for (unsigned i = 0; i < n; i++) {
        i += sgr_one(parser, i);
    }
}

/* ---- modes ---- */

static void alternate_page(struct vt_screen *screen, unsigned mode, bool on)
{
    if (mode == 1049 && on && screen->page == 0) {
        vt_save_cursor(screen);
    }
    if (mode == 1047 && !on && screen->page == 1) {
        vt_use_page(screen, 1, true);
    }
    vt_use_page(screen, on, on && mode == 1049 && screen->page == 0);
    if (mode == 1049 && !on) {
        vt_restore_cursor(screen);
    }
}

static void private_mode(struct vt_screen *screen, unsigned mode, bool on)
{
    switch (mode) {
    case 1:
        screen->app_cursor = on;
        break;
    case 3: /* the width stays; what DECCOLM clears is cleared */
        screen->top = 0;
        screen->bottom = screen->rows;
        vt_erase_display(screen, 2);
        vt_goto(screen, 0, 0);
        break;
    case 5:
        screen->reverse = on;
        vt_dirty_all(screen);
        break;
    case 6:
        screen->cursor.origin = on;
        vt_goto(screen, 0, 0);
        break;
    case 7:
        screen->autowrap = on;
        screen->cursor.wrap_pending = false;
        break;
    case 25:
        screen->cursor_visible = on;
        vt_dirty_row(screen, screen->cursor.y);
        break;
    case 47:
    case 1047:
    case 1049:
        alternate_page(screen, mode, on);
        break;
    case 1048:
        if (on) {
            vt_save_cursor(screen);
        } else {
            vt_restore_cursor(screen);
        }
        break;
    default: /* mouse, bracketed paste, blinking: nothing to do */
        break;
    }
}

static void set_modes(struct vt_parser *parser, bool on)
{
    struct vt_screen *screen = parser->screen;

    for (unsigned i = 0; i < parser->nparams; i++) {
        unsigned mode = parser->params[i];
        if (parser->private == '?') {
            private_mode(screen, mode, on);
        } else if (mode == 4) {
            screen->insert = on;
        } else if (mode == 20) {
            screen->newline_mode = on;
        }
    }
}

/* DECSTR (VT510): modes and attributes, not the content. */
static void soft_reset(struct vt_screen *screen)
{
    screen->insert = false;
    screen->autowrap = true;
    screen->cursor_visible = true;
    screen->app_cursor = false;
    screen->app_keypad = false;
    screen->top = 0;
    screen->bottom = screen->rows;
    screen->cursor.origin = false;
    screen->cursor.flags = 0;
    screen->cursor.fg = VT_COLOR_DEFAULT;
    screen->cursor.bg = VT_COLOR_DEFAULT;
    screen->cursor.shift = 0;
    memset(screen->cursor.charset, VT_CHARSET_ASCII, sizeof(screen->cursor.charset));
    vt_dirty_row(screen, screen->cursor.y);
}

/* ---- reports ---- */

static void report_status(struct vt_parser *parser)
{
    const struct vt_screen *screen = parser->screen;
    unsigned y = screen->cursor.y - (screen->cursor.origin ? screen->top : 0);
    char text[32];

    if (param(parser, 0, 0) == 5) {
        reply(parser, "\033[0n");
    } else if (param(parser, 0, 0) == 6) {
        (void)ksnprintf(text, sizeof(text), parser->private == '?' ? "\033[?%u;%uR" : "\033[%u;%uR",
                        y + 1, screen->cursor.x + 1);
        reply(parser, text);
    }
}

static void report_attributes(struct vt_parser *parser)
{
    if (parser->private == 0 && param(parser, 0, 0) == 0) {
        vt_reply_attributes(parser);
    } else if (parser->private == '>') {
        reply(parser, "\033[>0;0;0c");
    }
}

/* XTWINOPS 18: the size in characters. The others move windows that are not there. */
static void window_op(struct vt_parser *parser)
{
    char text[32];

    if (param(parser, 0, 0) == 18) {
        (void)ksnprintf(text, sizeof(text), "\033[8;%u;%ut", parser->screen->rows,
                        parser->screen->cols);
        reply(parser, text);
    }
}

static void repeat_last(struct vt_parser *parser)
{
    unsigned n = MIN(param(parser, 0, 1), parser->screen->cols * parser->screen->rows);

    while (n-- > 0) {
        vt_put(parser->screen, parser->screen->last_char);
    }
}

/* ---- dispatch ---- */

static void row_absolute(struct vt_parser *parser)
{
    vt_goto(parser->screen, parser->screen->cursor.x, param(parser, 0, 1) - 1);
}

static void column_absolute(struct vt_parser *parser)
{
    struct vt_cursor *cursor = &parser->screen->cursor;
    unsigned y = cursor->y;

    if (cursor->origin) {
        y = y >= parser->screen->top ? y - parser->screen->top : 0;
    }
    vt_goto(parser->screen, param(parser, 0, 1) - 1, y);
}

/* Movement; false: not one of these. */
static bool csi_move(struct vt_parser *parser, uint8_t final)
{
    struct vt_screen *screen = parser->screen;
    int n = (int)param(parser, 0, 1);

    switch (final) {
    case 'A':
        vt_move(screen, 0, -n);
        return true;
    case 'B':
    case 'e':
        vt_move(screen, 0, n);
        return true;
    case 'C':
    case 'a':
        vt_move(screen, n, 0);
        return true;
    case 'D':
        vt_move(screen, -n, 0);
        return true;
    case 'E':
        vt_carriage_return(screen);
        vt_move(screen, 0, n);
        return true;
    case 'F':
        vt_carriage_return(screen);
        vt_move(screen, 0, -n);
        return true;
    case 'G':
    case '`':
        column_absolute(parser);
        return true;
    case 'd':
        row_absolute(parser);
        return true;
    case 'H':
    case 'f':
        vt_goto(screen, param(parser, 1, 1) - 1, param(parser, 0, 1) - 1);
        return true;
    case 'I':
        vt_tab(screen, (unsigned)n);
        return true;
    case 'Z':
        vt_tab_back(screen, (unsigned)n);
        return true;
    default:
        return false;
    }
}

/* Editing; false: not one of these. */
static bool csi_edit(struct vt_parser *parser, uint8_t final)
{
    struct vt_screen *screen = parser->screen;
    unsigned n = param(parser, 0, 1), how = param(parser, 0, 0);

    switch (final) {
    case '@':
        vt_insert_chars(screen, n);
        return true;
    case 'P':
        vt_delete_chars(screen, n);
        return true;
    case 'X':
        vt_erase_chars(screen, n);
        return true;
    case 'L':
        vt_insert_lines(screen, n);
        return true;
    case 'M':
        vt_delete_lines(screen, n);
        return true;
    case 'S':
        vt_scroll_up(screen, n);
        return true;
    case 'T':
        vt_scroll_down(screen, n);
        return true;
    case 'J':
        vt_erase_display(screen, MIN(how, 2u)); /* 3: with the scrollback */
        return true;
    case 'K':
        if (how <= 2) {
            vt_erase_line(screen, how);
        }
        return true;
    default:
        return false;
    }
}

static void csi_other(struct vt_parser *parser, uint8_t final)
{
    struct vt_screen *screen = parser->screen;

    switch (final) {
    case 'b':
        repeat_last(parser);
        break;
    case 'c':
        report_attributes(parser);
        break;
    case 'g':
        if (param(parser, 0, 0) == 0 || param(parser, 0, 0) == 3) {
            vt_tab_clear(screen, param(parser, 0, 0) == 3);
        }
        break;
    case 'm':
        if (parser->private == 0) {
            sgr(parser);
        }
        break;
    case 'n':
        report_status(parser);
        break;
    case 'r':
        if (parser->private == 0) {
            vt_set_margins(screen, param(parser, 0, 1) - 1, param(parser, 1, screen->rows));
        }
        break;
    case 's':
        vt_save_cursor(screen);
        break;
    case 't':
        window_op(parser);
        break;
    case 'u':
        vt_restore_cursor(screen);
        break;
    default:
        break;
    }
}

void vt_csi(struct vt_parser *parser, uint8_t final)
{
    if (parser->intermediate == '!' && final == 'p') {
        soft_reset(parser->screen);
    }
    if (parser->intermediate != 0) {
        return;
    }
    if (final == 'h' || final == 'l') {
        set_modes(parser, final == 'h');
        return;
    }
    /* A private prefix gives other meanings, none of which moves or edits (but ?J and ?K, selective erase). */
    if (parser->private != 0) {
        if (final == 'c' || final == 'n') {
            csi_other(parser, final);
        } else if (parser->private == '?' && (final == 'J' || final == 'K')) {
            (void)csi_edit(parser, final);
        }
        return;
    }
    if (!csi_move(parser, final) && !csi_edit(parser, final)) {
        csi_other(parser, final);
    }
}
