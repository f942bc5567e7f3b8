/* The framebuffer console, on screens of all kinds: nothing is drawn outside. */
#define TEST_SUITE "dev"
#include "kernel/dev/fbcon.h"

#include "kernel/base/string.h"
#include "test/unit/test.h"

#define GUARD 0x5au
#define EDGE  4096u /* bytes of guard before and behind the screen */

static uint8_t memory[2 * EDGE + 1030 * 4 * 780];
static vt_cell_t cells[VT_MAX_COLS];

/* What a program may have brought there: any character, flags and colours, in runs of blanks and text. */
static void fill_row(uint32_t *state)
{
    for (unsigned x = 0; x < VT_MAX_COLS; x++) {
        *state = *state * 1664525u + 1013904223u;
        uint32_t random = *state >> 8;
        uint32_t character = random % 5 == 0   ? random % 0x110000
                             : random % 3 == 0 ? ' '
                                               : random % 0x250;
        unsigned fg = random % 7 == 0 ? VT_COLOR_RGB | random >> 9 : random % 257;
        unsigned bg = random % 11 == 0 ? VT_COLOR_RGB | random >> 9 : random / 257 % 257;
        cells[x] = vt_cell(character, random >> 12 & 0xff, fg, bg);
    }
}

static void check_guards(const struct framebuffer *fb)
{
    const uint8_t *end = fb->pixels + (size_t)fb->pitch_bytes * fb->height;
    size_t used = (size_t)fb->width * fb->bits_per_pixel / 8, wrong = 0;

    for (size_t i = 0; i < EDGE; i++) {
        wrong += fb->pixels[-1 - (ptrdiff_t)i] != GUARD || end[i] != GUARD;
    }
    for (unsigned y = 0; y < fb->height; y++) {
        for (size_t at = used; at < fb->pitch_bytes; at++) {
            wrong += fb->pixels[(size_t)y * fb->pitch_bytes + at] != GUARD;
        }
    }
    EXPECT_EQ(wrong, 0u);
}

static void draw_on(unsigned width, unsigned height, unsigned bits, unsigned padding)
{
    static uint32_t palette[16];
    struct framebuffer fb = {.pixels = memory + EDGE,
                             .width = width,
                             .height = height,
                             .pitch_bytes = width * bits / 8 + padding,
                             .bits_per_pixel = bits,
                             .red_shift = bits == 16 ? 11 : 16,
                             .red_size = bits == 16 ? 5 : 8,
                             .green_shift = bits == 16 ? 5 : 8,
                             .green_size = bits == 16 ? 6 : 8,
                             .blue_size = bits == 16 ? 5 : 8};
    uint32_t state = width;

    EXPECT_LE((size_t)fb.pitch_bytes * height + 2 * EDGE, sizeof(memory));
    memset(memory, GUARD, sizeof(memory));
    EXPECT_EQ(fbcon_init(&fb), 0);
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned y = 0; y < fbcon_rows(); y++) {
            fill_row(&state);
            fbcon_draw_row(y, cells, (int)fbcon_cols() - 1, round == 1, palette);
        }
    }
    check_guards(&fb);
}

TEST(fbcon, draws_on_screens_of_all_kinds_and_nowhere_else)
{
    draw_on(1024, 768, 32, 0);
    draw_on(1021, 767, 32, 20);
    draw_on(811, 487, 24, 1);
    draw_on(645, 351, 16, 6);
    draw_on(33, 33, 32, 4);
}
