/*
 * Format of the symbol table that mksyms.py makes, and the look-up in it. Little-endian; offsets count from the image's start.
 *
 *   struct ksyms_header
 *   struct ksyms_marker[nmarkers]   one for every KSYMS_STRIDE-th symbol, sorted by address
 *   uint8_t pairs[256][2]           token -> its two halves; {t, 0} for a token that stands for its own character
 *   stream                          per symbol: distance to the next symbol's address (ULEB128), tokens of the name, 0
 *
 * The names are byte-pair encoded (Gage 1994).
 */
#pragma once

#include "kernel/base/types.h"

#define KSYMS_STRIDE 16u

struct ksyms_header {
    uint32_t nsymbols;
    uint32_t nmarkers;
    uint32_t stream_bytes;
    uint32_t end; /* offset at which the last symbol ends */
};

struct ksyms_marker {
    uint32_t address; /* offset of the symbol */
    uint32_t stream;  /* where its entry begins */
};

struct ksyms_table {
    const struct ksyms_header *header;
    const struct ksyms_marker *markers;
    const uint8_t (*pairs)[2];
    const uint8_t *stream;
};

void ksyms_open(struct ksyms_table *ret_table, const void *data);
/* Name of the function at offset `address`: its start and size, and the name in buf, cut if need be. False: none. */
bool ksyms_lookup(const struct ksyms_table *table, uint32_t address, char *buf, size_t size,
                  uint32_t *ret_start, uint32_t *ret_size);
