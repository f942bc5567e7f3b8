/*
 * Which of the firmware's display modes to use, as a function without side effects.
 */
#pragma once

#include "kernel/base/types.h"

struct gopmode {
    uint32_t width;
    uint32_t height;
    bool usable; /* a linear framebuffer whose pixels we understand */
};

struct gopmode_wish {
    uint32_t forced_width, forced_height; /* parameter video=, 0: none */
    uint32_t edid_width, edid_height;     /* what the display prefers, 0: unknown */
    unsigned current;                     /* mode that is set, ~0u: none */
};

/*
 * The index to set, -1: none is usable. The first of these that there is:
 *   the forced size
 *   the size the display prefers
 *   the current mode, if it is sane and wider than the 1024 pixels that firmware sets without having asked
 *   the largest sane one
 *   the current one, whatever it is; any usable one
 * Sane is what every display of today shows and one can read: 640x480 to 1920x1200, between 5:4 and
 * 12:5. Of several modes of one size the current is kept, else the first is taken.
 */
int gopmode_choose(const struct gopmode *modes, unsigned nmodes, const struct gopmode_wish *wish);

/* "1024x768", whatever follows the numbers (@60, -32) is ignored. False: not a size. */
bool gopmode_parse(const char *text, uint32_t *ret_width, uint32_t *ret_height);

/*
 * Where a channel lies in a pixel. False: the mask is empty, has holes, or is wider than 16 bits.
 */
bool gopmode_channel(uint32_t mask, uint8_t *ret_shift, uint8_t *ret_size);
/*
 * Bits of a pixel whose highest mask bit is known (UEFI 2.10, 12.9.2.1): 16, 24 or 32; 0: none of
 * them.
 */
uint32_t gopmode_pixel_bits(uint32_t all_masks);
