/*
 * A device path is a row of nodes: type, subtype, length (16 bits, with this header), data. Type
 * 0x7f ends a path or one of several.
 */
#include "loader/core/devpath.h"

#define NODE_HEADER_BYTES 4
#define TYPE_MESSAGING    0x03
#define TYPE_END          0x7f
#define SUBTYPE_UART      0x0e
#define SUBTYPE_END_ALL   0xff

bool devpath_has_uart(const uint8_t *paths, size_t size_bytes)
{
    size_t at = 0;

    while (size_bytes - at >= NODE_HEADER_BYTES) {
        const uint8_t *node = paths + at;
        size_t length = node[2] | (size_t)node[3] << 8;

        if (length < NODE_HEADER_BYTES || length > size_bytes - at) {
            return false;
        }
        if (node[0] == TYPE_MESSAGING && node[1] == SUBTYPE_UART) {
            return true;
        }
        if (node[0] == TYPE_END && node[1] == SUBTYPE_END_ALL) {
            return false;
        }
        at += length;
    }
    return false;
}
