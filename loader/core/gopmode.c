/*
 * Choice of a display mode.
 */
#include "loader/core/gopmode.h"

#define MAX_PIXELS    16384u
#define UNASKED_WIDTH 1024u /* firmware starts with at most 1024x768 when it knows no better */

static int find_size(const struct gopmode *modes, unsigned nmodes, uint32_t width, uint32_t height,
                     unsigned current)
{
    int found = -1;

    if (width == 0 || height == 0) {
        return -1;
    }
    for (unsigned i = 0; i < nmodes; i++) {
        if (modes[i].usable && modes[i].width == width && modes[i].height == height &&
            (found < 0 || i == current)) {
            found = (int)i;
        }
    }
    return found;
}

static bool is_sane(const struct gopmode *mode)
{
    return mode->usable && mode->width >= 640 && mode->height >= 480 && mode->width <= 1920 &&
           mode->height <= 1200 && mode->width * 4 >= mode->height * 5 &&
           mode->width * 5 <= mode->height * 12;
}

static int find_largest(const struct gopmode *modes, unsigned nmodes, unsigned current)
{
    uint64_t best_area = 0;
    int best = -1;

    for (unsigned i = 0; i < nmodes; i++) {
        uint64_t area = (uint64_t)modes[i].width * modes[i].height;
        if (is_sane(&modes[i]) && (area > best_area || (area == best_area && i == current))) {
            best = (int)i;
            best_area = area;
        }
    }
    return best;
}

int gopmode_choose(const struct gopmode *modes, unsigned nmodes, const struct gopmode_wish *wish)
{
    int mode = find_size(modes, nmodes, wish->forced_width, wish->forced_height, wish->current);

    if (mode < 0) {
        mode = find_size(modes, nmodes, wish->edid_width, wish->edid_height, wish->current);
    }
    if (mode < 0 && wish->current < nmodes && is_sane(&modes[wish->current]) &&
        modes[wish->current].width > UNASKED_WIDTH) {
        mode = (int)wish->current;
    }
    if (mode < 0) {
        mode = find_largest(modes, nmodes, wish->current);
    }
    if (mode < 0 && wish->current < nmodes && modes[wish->current].usable) {
        mode = (int)wish->current;
    }
    for (unsigned i = 0; mode < 0 && i < nmodes; i++) {
        if (modes[i].usable) {
            mode = (int)i;
        }
    }
    return mode;
}

/* Digits to a number up to MAX_PIXELS; 0: none or too large. Moves *text behind them. */
static uint32_t parse_number(const char **text)
{
    uint32_t value = 0;

    while (**text >= '0' && **text <= '9') {
        value = value * 10 + (uint32_t)(**text - '0');
        if (value > MAX_PIXELS) {
            return 0;
        }
        (*text)++;
    }
    return value;
}

bool gopmode_parse(const char *text, uint32_t *ret_width, uint32_t *ret_height)
{
    uint32_t width = parse_number(&text);
    uint32_t height;

    if (width == 0 || *text != 'x') {
        return false;
    }
    text++;
    height = parse_number(&text);
    if (height == 0) {
        return false;
    }
    *ret_width = width;
    *ret_height = height;
    return true;
}

bool gopmode_channel(uint32_t mask, uint8_t *ret_shift, uint8_t *ret_size)
{
    uint8_t shift = 0, size = 0;

    if (mask == 0) {
        return false;
    }
    for (; (mask & 1) == 0; mask >>= 1) {
        shift++;
    }
    for (; (mask & 1) != 0; mask >>= 1) {
        size++;
    }
    if (mask != 0 || size > 16) {
        return false;
    }
    *ret_shift = shift;
    *ret_size = size;
    return true;
}

uint32_t gopmode_pixel_bits(uint32_t all_masks)
{
    if (all_masks >= 0x1000000u) {
        return 32;
    }
    if (all_masks >= 0x10000u) {
        return 24;
    }
    return all_masks >= 0x100u ? 16 : 0;
}
