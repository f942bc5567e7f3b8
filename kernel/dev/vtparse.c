/*
 * The terminal's state machine: bytes to characters, control characters and escape sequences. What sequences with parameters do is in
 * vtcsi.c.
 */
#include "kernel/dev/vtparse.h"

#include "kernel/base/string.h"
#include "kernel/dev/vtcsi.h"

#define REPLACEMENT 0xfffdu

void vt_parser_init(struct vt_parser *parser, struct vt_screen *screen)
{
    memset(parser, 0, sizeof(*parser));
    parser->screen = screen;
    parser->utf8 = true;
}

/* ---- control characters ---- */

static void line_feed(struct vt_screen *screen)
{
    vt_line_feed(screen);
    if (screen->newline_mode) {
        vt_carriage_return(screen);
    }
}

static void control(struct vt_parser *parser, uint8_t c)
{
    struct vt_screen *screen = parser->screen;

    switch (c) {
    case '\a':
        if (parser->bell != NULL) {
            parser->bell(parser->arg);
        }
        break;
    case '\b':
        vt_backspace(screen);
        break;
    case '\t':
        vt_tab(screen, 1);
        break;
    case '\n':
    case '\v':
    case '\f':
        line_feed(screen);
        break;
    case '\r':
        vt_carriage_return(screen);
        break;
    case 0x0e: /* SO */
        screen->cursor.shift = 1;
        break;
    case 0x0f: /* SI */
        screen->cursor.shift = 0;
        break;
    default:
        break;
    }
}

/* ---- characters ---- */

static void utf8_start(struct vt_parser *parser, uint8_t c)
{
    if (c >= 0xc2 && c <= 0xdf) {
        parser->code = c & 0x1fu;
        parser->left = 1;
        parser->least = 0x80;
    } else if ((c & 0xf0) == 0xe0) {
        parser->code = c & 0x0fu;
        parser->left = 2;
        parser->least = 0x800;
    } else if (c >= 0xf0 && c <= 0xf4) {
        parser->code = c & 0x07u;
        parser->left = 3;
        parser->least = 0x10000;
    } else {
        vt_put(parser->screen, REPLACEMENT);
    }
}

static void utf8_continue(struct vt_parser *parser, uint8_t c)
{
    parser->code = parser->code << 6 | (c & 0x3fu);
    if (--parser->left > 0) {
        return;
    }
    if (parser->code < parser->least || parser->code > 0x10ffff ||
        (parser->code >= 0xd800 && parser->code <= 0xdfff)) {
        parser->code = REPLACEMENT;
    }
    if (parser->code >= 0xa0) { /* C1 controls in UTF-8 show nothing */
        vt_put(parser->screen, parser->code);
    }
}

static void high_byte(struct vt_parser *parser, uint8_t c)
{
    if (!parser->utf8) {
        vt_put(parser->screen, c);
    } else if ((c & 0xc0) == 0x80 && parser->left > 0) {
        utf8_continue(parser, c);
    } else {
        if (parser->left > 0) {
            vt_put(parser->screen, REPLACEMENT); /* cut short */
            parser->left = 0;
        }
        utf8_start(parser, c);
    }
}

/* ---- ESC sequences without parameters ---- */

static void designate(struct vt_parser *parser, unsigned g, uint8_t c)
{
    enum vt_charset set = c == '0'   ? VT_CHARSET_GRAPHICS
                          : c == 'A' ? VT_CHARSET_UK
                                     : VT_CHARSET_ASCII;

    parser->screen->cursor.charset[g] = (uint8_t)set;
}

static void escape_intermediate(struct vt_parser *parser, uint8_t c)
{
    switch (parser->intermediate) {
    case '(':
        designate(parser, 0, c);
        break;
    case ')':
        designate(parser, 1, c);
        break;
    case '*':
        designate(parser, 2, c);
        break;
    case '+':
        designate(parser, 3, c);
        break;
    case '#':
        if (c == '8') {
            vt_fill_e(parser->screen);
        }
        break;
    case '%':
        parser->utf8 = c == 'G' || c == '8';
        parser->left = 0;
        break;
    default:
        break;
    }
}

static void full_reset(struct vt_parser *parser)
{
    vt_screen_reset(parser->screen);
    parser->utf8 = true;
    parser->left = 0;
    if (parser->palette != NULL) {
        parser->palette(parser->arg, -1, 0);
    }
}

static void begin_sequence(struct vt_parser *parser, enum vt_state state)
{
    parser->state = state;
    parser->private = 0;
    parser->intermediate = 0;
    parser->nparams = 0;
    parser->subparams = 0;
    memset(parser->params, 0, sizeof(parser->params));
}

static void escape_final(struct vt_parser *parser, uint8_t c)
{
    struct vt_screen *screen = parser->screen;

    parser->state = VT_GROUND;
    switch (c) {
    case '[':
        begin_sequence(parser, VT_CSI);
        break;
    case ']':
        begin_sequence(parser, VT_OSC);
        break;
    case 'P':
    case 'X':
    case '^':
    case '_':
        begin_sequence(parser, VT_STRING);
        break;
    case '7':
        vt_save_cursor(screen);
        break;
    case '8':
        vt_restore_cursor(screen);
        break;
    case 'D':
        vt_line_feed(screen);
        break;
    case 'E':
        vt_carriage_return(screen);
        vt_line_feed(screen);
        break;
    case 'H':
        vt_tab_set(screen);
        break;
    case 'M':
        vt_reverse_index(screen);
        break;
    case 'Z':
        vt_reply_attributes(parser);
        break;
    case 'c':
        full_reset(parser);
        break;
    case '=':
        screen->app_keypad = true;
        break;
    case '>':
        screen->app_keypad = false;
        break;
    default:
        break;
    }
}

/* ---- parameters ---- */

static void csi_param(struct vt_parser *parser, uint8_t c)
{
    if (c == ';' || c == ':') {
        parser->nparams = MAX(parser->nparams, 1);
        if (parser->nparams >= VT_MAX_PARAMS) {
            parser->state = VT_CSI_IGNORE;
            return;
        }
        if (c == ':') {
            parser->subparams |= (uint16_t)(1u << parser->nparams);
        }
        parser->nparams++;
        return;
    }
    if (parser->nparams == 0) {
        parser->nparams = 1;
    }
    unsigned value = parser->params[parser->nparams - 1] * 10u + (c - '0');
    parser->params[parser->nparams - 1] = (uint16_t)MIN(value, 9999u);
}

static void csi_byte(struct vt_parser *parser, uint8_t c)
{
    if (c >= 0x40) {
        if (c == '[' && parser->nparams == 0 && parser->private == 0 && parser->intermediate == 0) {
            parser->state = VT_LINUX_KEY;
            return;
        }
        parser->state = VT_GROUND;
        vt_csi(parser, c);
    } else if (c >= 0x3c) {
        if (parser->nparams == 0 && parser->private == 0) {
            parser->private = c;
        } else {
            parser->state = VT_CSI_IGNORE;
        }
    } else if (c >= 0x30) {
        if (parser->intermediate != 0) {
            parser->state = VT_CSI_IGNORE;
        } else {
            csi_param(parser, c);
        }
    } else {
        parser->intermediate = c;
    }
}

/* ---- strings ---- */

static void palette_digit(struct vt_parser *parser, uint8_t c)
{
    unsigned digit = c >= '0' && c <= '9' ? c - '0' : (unsigned)(c | 0x20) - 'a' + 10;

    if (digit > 15) {
        parser->state = VT_GROUND;
        return;
    }
    parser->code = parser->code << 4 | digit;
    if (--parser->left == 0) {
        parser->state = VT_GROUND;
        if (parser->palette != NULL) {
            parser->palette(parser->arg, (int)(parser->code >> 24 & 15), parser->code & 0xffffff);
        }
    }
}

/* Linux' ESC ] P and ESC ] R are whole without a terminator; all else runs to BEL or ST. */
static void osc_byte(struct vt_parser *parser, uint8_t c)
{
    if (parser->nparams == 0 && c == 'P') {
        parser->state = VT_PALETTE;
        parser->code = 0;
        parser->left = 7;
        return;
    }
    if (parser->nparams == 0 && c == 'R') {
        parser->state = VT_GROUND;
        if (parser->palette != NULL) {
            parser->palette(parser->arg, -1, 0);
        }
        return;
    }
    parser->nparams = 1; /* something has come */
    if (c == '\a') {
        parser->state = VT_GROUND;
    }
}

/* ---- the machine ---- */

static void escape_byte(struct vt_parser *parser, uint8_t c)
{
    if (c >= 0x20 && c <= 0x2f) {
        parser->intermediate = c;
        parser->state = VT_ESCAPE_INTERMEDIATE;
    } else if (c >= 0x30 && c <= 0x7e) {
        escape_final(parser, c);
    } else {
        parser->state = VT_GROUND;
    }
}

static void sequence_byte(struct vt_parser *parser, uint8_t c)
{
    switch (parser->state) {
    case VT_ESCAPE:
        escape_byte(parser, c);
        break;
    case VT_ESCAPE_INTERMEDIATE:
        if (c >= 0x30) {
            parser->state = VT_GROUND;
            escape_intermediate(parser, c);
        } else {
            parser->intermediate = c;
        }
        break;
    case VT_CSI:
        csi_byte(parser, c);
        break;
    case VT_CSI_IGNORE:
        if (c >= 0x40 && c <= 0x7e) {
            parser->state = VT_GROUND;
        }
        break;
    case VT_OSC:
        osc_byte(parser, c);
        break;
    case VT_PALETTE:
        palette_digit(parser, c);
        break;
    case VT_LINUX_KEY:
        parser->state = VT_GROUND;
        break;
    case VT_STRING:
    case VT_GROUND:
        break;
    }
}

/* A byte that is not plain text in the ground state. */
static void one_byte(struct vt_parser *parser, uint8_t c)
{
    if (c == 0x1b) {
        parser->left = 0;
        parser->intermediate = 0;
        parser->state = VT_ESCAPE;
    } else if (c == 0x18 || c == 0x1a) { /* CAN, SUB */
        parser->state = VT_GROUND;
        parser->left = 0;
    } else if (c < 0x20) {
        if (parser->state == VT_OSC) {
            osc_byte(parser, c);
        } else if (parser->state != VT_STRING) {
            control(parser, c); /* also in the midst of a sequence */
        }
    } else if (c == 0x7f) {
        return;
    } else if (parser->state != VT_GROUND) {
        sequence_byte(parser, c);
    } else if (c >= 0x80) {
        high_byte(parser, c);
    } else {
        vt_put(parser->screen, c);
    }
}

size_t vt_parse(struct vt_parser *parser, const uint8_t *data, size_t len)
{
    uint32_t before = parser->screen->work;
    size_t i = 0;

    while (i < len && parser->screen->work - before < VT_WORK_MAX) {
        if (parser->state == VT_GROUND) {
            size_t run = i;
            while (run < len && data[run] >= 0x20 && data[run] < 0x7f) {
                run++;
            }
            if (run > i) {
                if (parser->left > 0) {
                    vt_put(parser->screen, REPLACEMENT);
                    parser->left = 0;
                }
                vt_put_ascii(parser->screen, data + i, run - i);
                i = run;
                continue;
            }
        }
        one_byte(parser, data[i++]);
    }
    return i;
}
