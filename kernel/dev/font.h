/*
 * Console fonts, built into the image from Debian's console-setup-linux package (fontgen.py).
 */
#pragma once

#include "kernel/base/types.h"

/* A run of characters first, first+1 ... with glyphs glyph, glyph+1 ... Sorted by first. */
struct font_map {
    uint16_t first, glyph, count;
};

struct font {
    uint16_t width, height; /* pixels */
    uint16_t row_bytes;     /* of one pixel row of a glyph; leftmost pixel is the highest bit */
    uint16_t nglyphs;
    const uint8_t *glyphs;
    const struct font_map *map;
    uint16_t nmap;
};

/* Fonts from small to large; NULL past the last. */
const struct font *font_at(unsigned index);
/* The glyph of a character, or of a stand-in (a replacement character, else '?'). Any context. */
const uint8_t *font_glyph(const struct font *font, uint32_t character);
