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

/* Stores to the framebuffer, two pixels at once. */
typedef uint64_t __attribute__((aligned(4), may_alias)) fb_word_t;

#define ASCII_GLYPHS 128u

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
    const uint8_t *ascii[ASCII_GLYPHS]; /* glyphs of the common characters, without a search */
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
    for (uint32_t c = 0; c < ASCII_GLYPHS; c++) {
        con.ascii[c] = font_glyph(con.font, c < 0x20 ? ' ' : c);
    }
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

static uint8_t *pixel_at(unsigned x, unsigned y)
{
    return con.fb->pixels + (size_t)y * con.fb->pitch_bytes + (size_t)x * con.pixel_bytes;
}

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

/* A rectangle of one colour. With whole pixels of 4 bytes two are stored at a time. */
static void fill_rect(unsigned x, unsigned y, unsigned width, unsigned height, uint32_t pixel)
{
    for (unsigned row = y; row < y + height; row++) {
        uint8_t *at = pixel_at(x, row);
        unsigned n = width;
        for (; con.pixel_bytes == 4 && n >= 2; n -= 2, at += 8) {
            *(fb_word_t *)at = (uint64_t)pixel << 32 | pixel;
        }
        for (; n > 0; n--) {
            at = store_pixel(at, pixel);
        }
    }
}

/* A row of a glyph's pixels, `byte` by byte, by a table of the four pairs of neighbouring pixels. */
static inline void store_byte(uint8_t *at, uint8_t byte, const uint64_t *pairs)
{
    fb_word_t *out = (fb_word_t *)at;

    out[0] = pairs[byte >> 6];
    out[1] = pairs[byte >> 4 & 3];
    out[2] = pairs[byte >> 2 & 3];
    out[3] = pairs[byte & 3];
}

/* The usual screen: 4 bytes a pixel, no scaling. `line`: a row of the glyph that is drawn solid, or none. */
static void draw_glyph_fast(uint8_t *at, const uint8_t *glyph, unsigned line,
                            const struct colors *colors)
{
    uint64_t fg = colors->fg, bg = colors->bg;
    const uint64_t pairs[4] = {bg | bg << 32, bg | fg << 32, fg | bg << 32, fg | fg << 32};
    unsigned row_bytes = con.font->row_bytes, height = con.font->height;

    for (unsigned row = 0; row < height; row++, at += con.fb->pitch_bytes) {
        for (unsigned i = 0; i < row_bytes; i++) {
            store_byte(at + i * 32, row == line ? 0xff : *glyph, pairs);
            glyph++;
        }
    }
}

/* Any pixel size and scale. */
static void draw_glyph(uint8_t *at, const uint8_t *glyph, unsigned line,
                       const struct colors *colors)
{
    unsigned row_bytes = con.font->row_bytes;

    for (unsigned y = 0; y < con.cell_height; y++, at += con.fb->pitch_bytes) {
        unsigned row = y / con.scale;
        uint8_t *pixel = at;
        for (unsigned x = 0; x < con.font->width; x++) {
            bool set = row == line || (glyph[row * row_bytes + x / 8] >> (7 - x % 8) & 1) != 0;
            for (unsigned i = 0; i < con.scale; i++) {
                pixel = store_pixel(pixel, set ? colors->fg : colors->bg);
            }
        }
    }
}

static const uint8_t *glyph_of(uint32_t character)
{
    return character < ASCII_GLYPHS ? con.ascii[character] : font_glyph(con.font, character);
}

/* Nothing but background. */
static bool is_blank(vt_cell_t cell)
{
    uint32_t character = vt_cell_char(cell);

    return (character == ' ' || character == 0) &&
           (vt_cell_flags(cell) & (VT_UNDERLINE | VT_STRIKE)) == 0;
}

static void draw_cell(unsigned x, unsigned y, vt_cell_t cell, const uint32_t *palette)
{
    unsigned flags = vt_cell_flags(cell), height = con.font->height;
    unsigned line = (flags & VT_UNDERLINE) != 0 ? height - height / 16 - 1
                    : (flags & VT_STRIKE) != 0  ? height / 2
                                                : height;
    uint8_t *at = pixel_at(con.left + x * con.cell_width, con.top + y * con.cell_height);
    const uint8_t *glyph = glyph_of(vt_cell_char(cell));
    struct colors colors;

    cell_colors(cell, palette, &colors);
    if (con.pixel_bytes == 4 && con.scale == 1 && con.font->width % 8 == 0) {
        draw_glyph_fast(at, glyph, line, &colors);
    } else {
        draw_glyph(at, glyph, line, &colors);
    }
}

/* Cells [x, end) of row y, all equal and blank. */
static void draw_blanks(unsigned x, unsigned end, unsigned y, vt_cell_t cell,
                        const uint32_t *palette)
{
    struct colors colors;

    cell_colors(cell, palette, &colors);
    fill_rect(con.left + x * con.cell_width, con.top + y * con.cell_height,
              (end - x) * con.cell_width, con.cell_height, colors.bg);
}

/* The border that is too narrow for a character, in black. */
static void draw_margins(void)
{
    const struct framebuffer *fb = con.fb;
    unsigned right = con.left + con.cols * con.cell_width;
    unsigned bottom = con.top + con.rows * con.cell_height;

    fill_rect(0, 0, fb->width, con.top, 0);
    fill_rect(0, bottom, fb->width, fb->height - bottom, 0);
    fill_rect(0, con.top, con.left, bottom - con.top, 0);
    fill_rect(right, con.top, fb->width - right, bottom - con.top, 0);
    con.margins_drawn = true;
}

void fbcon_draw_row(unsigned y, const vt_cell_t *cells, int cursor_x, bool reverse,
                    const uint32_t *palette)
{
    vt_cell_t *shown = con.shown + (size_t)y * con.cols;
    const vt_cell_t invert = vt_cell(0, VT_REVERSE, 0, 0);
    unsigned blank_from = 0,
             blank_to = 0; /* a run of changed blanks not yet drawn: all like shown[blank_from] */

    if (!con.margins_drawn) {
        draw_margins();
    }
    for (unsigned x = 0; x < con.cols; x++) {
        vt_cell_t cell = reverse ? cells[x] ^ invert : cells[x];
        if ((int)x == cursor_x) {
            cell ^= invert;
        }
        if (cell == shown[x]) {
            continue;
        }
        shown[x] = cell;
        if (!is_blank(cell)) {
            draw_cell(x, y, cell, palette);
            continue;
        }
        if (blank_to == x && blank_from < x && shown[blank_from] == cell) {
            blank_to++;
            continue;
        }
        if (blank_from < blank_to) {
            draw_blanks(blank_from, blank_to, y, shown[blank_from], palette);
        }
        blank_from = x;
        blank_to = x + 1;
    }
    if (blank_from < blank_to) {
        draw_blanks(blank_from, blank_to, y, shown[blank_from], palette);
    }
}
