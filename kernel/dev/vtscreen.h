/*
 * A terminal screen as data: cells, cursor, margins, tabs, attributes, main and alternate page. Knows no escape sequence (vtparse.h) and
 * no pixel (fbcon.h); no locks, and memory only at init: the owner gives it.
 *
 * Rows are reached through a table of pointers, so that scrolling moves pointers, not cells. `dirty` tells which rows changed.
 */
#pragma once

#include "kernel/base/bitmap.h"
#include "kernel/base/types.h"

/*
 * A cell is one word, so that comparing what is shown with what should be is one instruction:
 *   bits 0-20 character (0: the right half of a wide one)   21-28 VT_* flags   32-47 foreground   48-63 background
 */
typedef uint64_t vt_cell_t;

#define VT_BOLD      0x01u
#define VT_DIM       0x02u
#define VT_ITALIC    0x04u
#define VT_UNDERLINE 0x08u
#define VT_BLINK     0x10u
#define VT_REVERSE   0x20u
#define VT_HIDDEN    0x40u
#define VT_STRIKE    0x80u

/* A colour: 0-255 of the palette, the default, or 5 bits each of red, green and blue. */
#define VT_COLOR_DEFAULT 0x100u
#define VT_COLOR_RGB     0x8000u

static inline vt_cell_t vt_cell(uint32_t character, unsigned flags, unsigned fg, unsigned bg)
{
    return character | (uint64_t)flags << 21 | (uint64_t)fg << 32 | (uint64_t)bg << 48;
}
static inline uint32_t vt_cell_char(vt_cell_t cell)
{
    return (uint32_t)cell & 0x1fffffu;
}
static inline unsigned vt_cell_flags(vt_cell_t cell)
{
    return (unsigned)(cell >> 21) & 0xffu;
}
static inline unsigned vt_cell_fg(vt_cell_t cell)
{
    return (unsigned)(cell >> 32) & 0xffffu;
}
static inline unsigned vt_cell_bg(vt_cell_t cell)
{
    return (unsigned)(cell >> 48);
}

#define VT_MAX_COLS 512u
#define VT_MAX_ROWS 256u

/* What DECSC saves. */
struct vt_cursor {
    unsigned x, y;
    unsigned flags, fg, bg; /* attributes */
    bool wrap_pending;  /* the last column was written: the next character goes to the next line */
    bool origin;        /* DECOM: rows count from the top margin */
    uint8_t charset[4]; /* G0-G3: enum vt_charset */
    uint8_t shift;      /* which G is in use: SI, SO */
};

enum vt_charset { VT_CHARSET_ASCII, VT_CHARSET_GRAPHICS, VT_CHARSET_UK };

struct vt_screen {
    unsigned cols, rows;
    vt_cell_t **lines;    /* current page: rows pointers */
    vt_cell_t **pages[2]; /* main, alternate */
    vt_cell_t **memory;   /* the block that holds it all */
    struct vt_cursor cursor;
    struct vt_cursor saved[2]; /* DECSC of each page */
    unsigned page;
    unsigned top, bottom; /* scroll region: rows top..bottom-1 */
    uint64_t tabs[VT_MAX_COLS / 64];
    uint64_t dirty[VT_MAX_ROWS / 64];
    bool autowrap, insert, newline_mode;
    bool reverse; /* DECSCNM */
    bool cursor_visible;
    bool app_cursor, app_keypad; /* what the keyboard sends */
    uint32_t last_char;          /* for REP */
    uint32_t work;               /* cells written so far, wrapping: what it has cost */
};

/* Bytes of memory that a screen of this size needs. */
size_t vt_screen_memory(unsigned cols, unsigned rows);
/* `memory` is of that size, 8-aligned, and stays the caller's. Sizes are within the limits. */
void vt_screen_init(struct vt_screen *screen, unsigned cols, unsigned rows, void *memory);
/* RIS: everything as after init. */
void vt_screen_reset(struct vt_screen *screen);

static inline void vt_dirty_row(struct vt_screen *screen, unsigned row)
{
    screen->dirty[row / 64] |= BIT(row % 64);
}
void vt_dirty_all(struct vt_screen *screen);
static inline vt_cell_t vt_screen_at(const struct vt_screen *screen, unsigned x, unsigned y)
{
    return screen->lines[y][x];
}

/* Write one character at the cursor, with wrapping, insertion and width; zero-width ones are dropped. */
void vt_put(struct vt_screen *screen, uint32_t character);
/* Bytes 0x20-0x7e, in the character set in use: the fast road. */
void vt_put_ascii(struct vt_screen *screen, const uint8_t *text, size_t len);

/* Movement. Coordinates are clamped; vt_goto counts from the origin. */
void vt_goto(struct vt_screen *screen, unsigned x, unsigned y);
void vt_move(struct vt_screen *screen, int dx, int dy); /* stops at the margins */
void vt_carriage_return(struct vt_screen *screen);
void vt_line_feed(struct vt_screen *screen);     /* down, scrolling at the bottom margin */
void vt_reverse_index(struct vt_screen *screen); /* up, scrolling at the top margin */
void vt_backspace(struct vt_screen *screen);
void vt_tab(struct vt_screen *screen, unsigned n);
void vt_tab_back(struct vt_screen *screen, unsigned n);
void vt_tab_set(struct vt_screen *screen);
void vt_tab_clear(struct vt_screen *screen, bool all);

/* Erasing (ED, EL, ECH): how 0: from the cursor on, 1: up to it, 2: all. */
void vt_erase_display(struct vt_screen *screen, unsigned how);
void vt_erase_line(struct vt_screen *screen, unsigned how);
void vt_erase_chars(struct vt_screen *screen, unsigned n);
void vt_insert_chars(struct vt_screen *screen, unsigned n);
void vt_delete_chars(struct vt_screen *screen, unsigned n);
void vt_insert_lines(struct vt_screen *screen, unsigned n);
void vt_delete_lines(struct vt_screen *screen, unsigned n);
void vt_scroll_up(struct vt_screen *screen, unsigned n);
void vt_scroll_down(struct vt_screen *screen, unsigned n);
void vt_set_margins(struct vt_screen *screen, unsigned top,
                    unsigned bottom);     /* rows from 0, bottom exclusive */
void vt_fill_e(struct vt_screen *screen); /* DECALN */

void vt_save_cursor(struct vt_screen *screen);
void vt_restore_cursor(struct vt_screen *screen);
/* 1049 and kin: switch pages; `clear` the alternate one on the way in. */
void vt_use_page(struct vt_screen *screen, unsigned page, bool clear);

/* Columns that a character takes: 0, 1 or 2. */
unsigned vt_char_width(uint32_t character);
