/*
 * Console fonts: look-up of a character's glyph by binary search over runs.
 */
#include "kernel/dev/font.h"

#include "kernel/dev/font_data.h"

const struct font *font_at(unsigned index)
{
    return index < ARRAY_SIZE(fonts) ? &fonts[index] : NULL;
}

static int find(const struct font *font, uint32_t character)
{
    unsigned low = 0, high = font->nmap;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct font_map *run = &font->map[middle];
        if (character < run->first) {
            high = middle;
        } else if (character >= (uint32_t)run->first + run->count) {
            low = middle + 1;
        } else {
            return run->glyph + (int)(character - run->first);
        }
    }
    return -1;
}

const uint8_t *font_glyph(const struct font *font, uint32_t character)
{
    int glyph = find(font, character);

    if (glyph < 0) {
        glyph = find(font, 0xfffd);
    }
    if (glyph < 0) {
        glyph = find(font, '?');
    }
    return font->glyphs + (size_t)MAX(glyph, 0) * font->row_bytes * font->height;
}
