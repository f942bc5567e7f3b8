/*
 * The framebuffer console.
 *
 * What is on the screen is remembered in `shown`, a cell for each place, resolved to what is really drawn (cursor and screen inversion
 * folded into the attributes), so that a scroll draws only the characters that changed. Colours are converted to the pixel format when a
 * cell is drawn.
 */
#include "kernel/dev/fbcon.h"

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/dev/font.h"
#include "kernel/mm/arena.h"

/* The default colours: light grey on black. */
#define DEFAULT_FG 7u
#define DEFAULT_BG 0u

static struct {
    const struct framebuffer *fb;
    const struct font *font;
    unsigned scale;
    unsigned cell_width, cell_height; /* pixels */
    unsigned cols, rows;
    unsigned left, top; /* margins that center the text */
    unsigned pixel_bytes;
    vt_cell_t *shown; /* cols * rows */
    bool margins_drawn;
} con;

unsigned fbcon_cols(void)
{
    return con.cols;
}

unsigned fbcon_rows(void)
{
    return con.rows;
}

/*
 * The largest of the fonts and scales that still gives a hundred columns and thirty rows: text of a readable size at any resolution. A
 * small screen gets the smallest font.
 */
static void choose_size(const struct framebuffer *fb)
{
    con.font = font_at(0);
    con.scale = 1;
    for (unsigned scale = 1; scale <= 8; scale++) {
        const struct font *font;
        for (unsigned i = 0; (font = font_at(i)) != NULL; i++) {
            unsigned width = font->width * scale;
            if (fb->width / width >= 100 && fb->height / (font->height * scale) >= 30 &&
                width > con.font->width * con.scale) {
                con.font = font;
                con.scale = scale;
            }
        }
    }
}

int fbcon_init(const struct framebuffer *fb)
{
    choose_size(fb);
    con.cell_width = con.font->width * con.scale;
    con.cell_height = con.font->height * con.scale;
    con.cols = MIN(fb->width / con.cell_width, VT_MAX_COLS);
    con.rows = MIN(fb->height / con.cell_height, VT_MAX_ROWS);
    if (con.cols == 0 || con.rows == 0) {
        return -EINVAL;
    }
    con.left = (fb->width - con.cols * con.cell_width) / 2;
    con.top = (fb->height - con.rows * con.cell_height) / 2;
    con.pixel_bytes = fb->bits_per_pixel / 8;
    con.shown = kvmalloc((size_t)con.cols * con.rows * sizeof(vt_cell_t));
    if (con.shown == NULL) {
        return -ENOMEM;
    }
    con.fb = fb;
    fbcon_invalidate();
    log_info("fbcon: %ux%u characters of %ux%u pixels", con.cols, con.rows, con.cell_width,
             con.cell_height);
    return 0;
}

void fbcon_invalidate(void)
{
    memset(con.shown, 0xff, (size_t)con.cols * con.rows * sizeof(vt_cell_t));
    con.margins_drawn = false;
}

/* ---- colours ---- */

static uint32_t cube_level(unsigned n)
{
    return n == 0 ? 0 : 55 + n * 40;
}

/* A VT_COLOR as 0xrrggbb. 16-231: a cube of 6 levels; 232-255: greys (XTerm Control Sequences). */
static uint32_t color_rgb(unsigned color, unsigned fallback, const uint32_t *palette)
{
    if ((color & VT_COLOR_RGB) != 0) {
        uint32_t r = color >> 10 & 31, g = color >> 5 & 31, b = color & 31;
        return (r << 3 | r >> 2) << 16 | (g << 3 | g >> 2) << 8 | (b << 3 | b >> 2);
    }
    if (color >= VT_COLOR_DEFAULT) {
        color = fallback;
    }
    if (color < 16) {
        return palette[color];
    }
    if (color < 232) {
        color -= 16;
        return cube_level(color / 36) << 16 | cube_level(color / 6 % 6) << 8 |
               cube_level(color % 6);
    }
    return (8 + (color - 232) * 10) * 0x010101u;
}

static uint32_t channel(uint32_t rgb, unsigned from, unsigned shift, unsigned size)
{
    uint32_t value = rgb >> from & 0xff;

    return (size >= 8 ? value << (size - 8) : value >> (8 - size)) << shift;
}

static uint32_t pixel_of(uint32_t rgb)
{
    const struct framebuffer *fb = con.fb;

    return channel(rgb, 16, fb->red_shift, fb->red_size) |
           channel(rgb, 8, fb->green_shift, fb->green_size) |
           channel(rgb, 0, fb->blue_shift, fb->blue_size);
}

struct colors {
    uint32_t fg, bg; /* pixels */
};

static void cell_colors(vt_cell_t cell, const uint32_t *palette, struct colors *ret)
{
    unsigned flags = vt_cell_flags(cell), fg = vt_cell_fg(cell), bg = vt_cell_bg(cell);
    uint32_t fg_rgb, bg_rgb;

    if ((flags & VT_BOLD) != 0) { /* bold is bright, as on Linux' console */
        if (fg == VT_COLOR_DEFAULT) {
            fg = DEFAULT_FG + 8;
        } else if (fg < 8) {
            fg += 8;
        }
    }
    fg_rgb = color_rgb(fg, DEFAULT_FG, palette);
    bg_rgb = color_rgb(bg, DEFAULT_BG, palette);
    if ((flags & VT_DIM) != 0) {
        fg_rgb = (fg_rgb >> 1 & 0x7f7f7f) + (bg_rgb >> 1 & 0x7f7f7f);
    }
    if ((flags & VT_REVERSE) != 0) {
        uint32_t swap = fg_rgb;
        fg_rgb = bg_rgb;
        bg_rgb = swap;
    }
    if ((flags & VT_HIDDEN) != 0) {
        fg_rgb = bg_rgb;
    }
    ret->fg = pixel_of(fg_rgb);
    ret->bg = pixel_of(bg_rgb);
}

/* ---- drawing ---- */

static uint8_t *store_pixel(uint8_t *at, uint32_t pixel)
{
    switch (con.pixel_bytes) {
    case 4:
        *(uint32_t *)at = pixel;
        return at + 4;
    case 3:
        at[0] = (uint8_t)pixel;
        at[1] = (uint8_t)(pixel >> 8);
        at[2] = (uint8_t)(pixel >> 16);
        return at + 3;
    default:
        *(uint16_t *)at = (uint16_t)pixel;
        return at + 2;
    }
}

#define MAX_CELL_WIDTH 256u

/* One row of a glyph's pixels, `bits` left-aligned in 32, into the line buffer. */
static size_t expand_row(uint8_t *line, uint32_t bits, const struct colors *colors)
{
    uint8_t *at = line;

    if (con.pixel_bytes == 4 && con.scale == 1) {
        uint32_t *pixel = (uint32_t *)line, differ = colors->fg ^ colors->bg;
        for (unsigned x = 0; x < con.cell_width; x++, bits <<= 1) {
            /* All ones when the bit is set. */
            pixel[x] = colors->bg ^ (differ & (uint32_t)((int32_t)bits >> 31));
        }
        return con.cell_width * 4;
    }
    for (unsigned x = 0; x < con.font->width; x++, bits <<= 1) {
        for (unsigned i = 0; i < con.scale; i++) {
            at = store_pixel(at, (bits & 0x80000000u) != 0 ? colors->fg : colors->bg);
        }
    }
    return (size_t)(at - line);
}

static uint32_t glyph_bits(const uint8_t *row, unsigned row_bytes)
{
    uint32_t bits = 0;

    for (unsigned i = 0; i < 4; i++) {
        bits = bits << 8 | (i < row_bytes ? row[i] : 0);
    }
    return bits;
}

static uint8_t *pixel_at(unsigned x, unsigned y)
{
    return con.fb->pixels + (size_t)y * con.fb->pitch_bytes + (size_t)x * con.pixel_bytes;
}

static void draw_cell(unsigned x, unsigned y, vt_cell_t cell, const uint32_t *palette)
{
    uint64_t line[MAX_CELL_WIDTH / 2]; /* 4 bytes a pixel */
    uint32_t character = vt_cell_char(cell);
    unsigned flags = vt_cell_flags(cell);
    const uint8_t *glyph = font_glyph(con.font, character == 0 ? ' ' : character);
    unsigned underline = con.font->height - con.font->height / 16 - 1;
    struct colors colors;
    uint8_t *at = pixel_at(con.left + x * con.cell_width, con.top + y * con.cell_height);

    cell_colors(cell, palette, &colors);
    for (unsigned row = 0; row < con.font->height; row++) {
        uint32_t bits = glyph_bits(glyph + row * con.font->row_bytes, con.font->row_bytes);
        size_t bytes;
        if (((flags & VT_UNDERLINE) != 0 && row == underline) ||
            ((flags & VT_STRIKE) != 0 && row == con.font->height / 2)) {
            bits = ~0u;
        }
        bytes = expand_row((uint8_t *)line, bits, &colors);
        for (unsigned i = 0; i < con.scale; i++) {
            memcpy(at, line, bytes);
            at += con.fb->pitch_bytes;
        }
    }
}

static void fill_rect(unsigned x, unsigned y, unsigned width, unsigned height)
{
    for (unsigned row = y; row < y + height; row++) {
        memset(pixel_at(x, row), 0, (size_t)width * con.pixel_bytes);
    }
}

/* The border that is too narrow for a character, in black. */
static void draw_margins(void)
{
    const struct framebuffer *fb = con.fb;
    unsigned right = con.left + con.cols * con.cell_width;
    unsigned bottom = con.top + con.rows * con.cell_height;

    fill_rect(0, 0, fb->width, con.top);
    fill_rect(0, bottom, fb->width, fb->height - bottom);
    fill_rect(0, con.top, con.left, bottom - con.top);
    fill_rect(right, con.top, fb->width - right, bottom - con.top);
    con.margins_drawn = true;
}

void fbcon_draw_row(unsigned y, const vt_cell_t *cells, int cursor_x, bool reverse,
                    const uint32_t *palette)
{
    vt_cell_t *shown = con.shown + (size_t)y * con.cols;
    const vt_cell_t invert = vt_cell(0, VT_REVERSE, 0, 0);

    if (!con.margins_drawn) {
        draw_margins();
    }
    for (unsigned x = 0; x < con.cols; x++) {
        vt_cell_t cell = reverse ? cells[x] ^ invert : cells[x];
        if ((int)x == cursor_x) {
            cell ^= invert;
        }
        if (cell != shown[x]) {
            draw_cell(x, y, cell, palette);
            shown[x] = cell;
        }
    }
}
