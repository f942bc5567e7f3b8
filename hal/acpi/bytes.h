/*
 * Reading little-endian fields out of table bytes, which may lie at any alignment. Private to hal/acpi.
 */
#pragma once

#include "hal/acpi/acpi.h"

/* System Description Table Header, ACPI 6.5 table 5.4: signature 0, length 4, revision 8, checksum 9. */
#define ACPI_HEADER_BYTES 36u

static inline uint16_t acpi_get16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t acpi_get32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static inline uint64_t acpi_get64(const uint8_t *p)
{
    return acpi_get32(p) | (uint64_t)acpi_get32(p + 4) << 32;
}

/*
 * The bytes of a table that a decoder may look at: signature right and at least `min_bytes` there. Returns how many bytes
 * are both in the buffer and in the table by its own length field; 0: not such a table.
 */
uint32_t acpi_table_extent(const void *table, uint32_t len_bytes, const char *signature,
                           uint32_t min_bytes);
