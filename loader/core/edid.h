/*
 * What a display says about itself: VESA E-EDID 1.4, base block.
 */
#pragma once

#include "kernel/base/types.h"

#define EDID_BLOCK_BYTES 128

/* True: header and checksum of the base block are right. */
bool edid_is_valid(const uint8_t *edid, size_t size_bytes);
/*
 * The size in pixels that the display prefers, from its first detailed timing (3.10.2). False: it
 * does not say.
 */
bool edid_preferred_mode(const uint8_t *edid, size_t size_bytes, uint32_t *ret_width,
                         uint32_t *ret_height);
