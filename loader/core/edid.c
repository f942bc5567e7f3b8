/*
 * EDID base block: header at 0, four 18-byte descriptors from 54 on, checksum so that all 128 bytes
 * add up to 0 (VESA E-EDID A2, 3.1). In a detailed timing (3.10.2) the pixel clock comes first and
 * is not 0; the first descriptor is the preferred timing.
 */
#include "loader/core/edid.h"

#include "kernel/base/string.h"

#define FIRST_DESCRIPTOR 54

bool edid_is_valid(const uint8_t *edid, size_t size_bytes)
{
    static const uint8_t header[8] = {0x00, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x00};
    uint8_t sum = 0;

    if (size_bytes < EDID_BLOCK_BYTES || memcmp(edid, header, sizeof(header)) != 0) {
        return false;
    }
    for (unsigned i = 0; i < EDID_BLOCK_BYTES; i++) {
        sum = (uint8_t)(sum + edid[i]);
    }
    return sum == 0;
}

bool edid_preferred_mode(const uint8_t *edid, size_t size_bytes, uint32_t *ret_width,
                         uint32_t *ret_height)
{
    const uint8_t *timing = edid + FIRST_DESCRIPTOR;
    uint32_t width, height;

    if (!edid_is_valid(edid, size_bytes) || (timing[0] == 0 && timing[1] == 0)) {
        return false;
    }
    width = timing[2] | (uint32_t)(timing[4] & 0xf0) << 4;
    height = timing[5] | (uint32_t)(timing[7] & 0xf0) << 4;
    if (width == 0 || height == 0) {
        return false;
    }
    *ret_width = width;
    *ret_height = height;
    return true;
}
