/*
 * NUMA: which processor and which memory belong to which proximity domain (SRAT, ACPI 6.5, 5.2.16), and how far the domains
 * are from each other (SLIT, 5.2.17).
 *
 *   SRAT  48 entries: type, length, body
 *     type 0  processor  2 domain bits 7:0  3 APIC id  4 flags (bit 0 enabled)  9 domain bits 31:8
 *     type 1  memory     2 domain  8 base (64 bit)  16 length (64 bit)  28 flags (bit 0 enabled, bit 1 hot-pluggable)
 *     type 2  x2APIC     4 domain  8 id  12 flags
 *   SLIT  36 number of localities n (64 bit)  44 n * n bytes; 10 on the diagonal, 255 unreachable
 */
#include "hal/acpi/bytes.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"

#define SRAT_MIN_BYTES 48u
#define SLIT_MIN_BYTES 44u
#define SRAT_ENABLED   0x1u
#define SRAT_HOTPLUG   0x2u

enum srat_type { SRAT_CPU = 0, SRAT_MEMORY = 1, SRAT_X2APIC = 2 };

static const uint8_t srat_entry_bytes[] = {[SRAT_CPU] = 16, [SRAT_MEMORY] = 40, [SRAT_X2APIC] = 24};

static void srat_add_cpu(struct acpi_srat *srat, uint32_t apic_id, uint32_t domain)
{
    if (srat->ncpus < ARRAY_SIZE(srat->cpu)) {
        srat->cpu[srat->ncpus++] = (struct acpi_srat_cpu){.apic_id = apic_id, .domain = domain};
    }
}

static void srat_add_memory(struct acpi_srat *srat, const uint8_t *entry)
{
    uint64_t base = acpi_get64(entry + 8);
    uint64_t length_bytes = acpi_get64(entry + 16);

    if (length_bytes == 0 || base + length_bytes < base || srat->nmems == ARRAY_SIZE(srat->mem)) {
        return;
    }
    srat->mem[srat->nmems++] = (struct acpi_srat_mem){
        .base = base,
        .length_bytes = length_bytes,
        .domain = acpi_get32(entry + 2),
        .hotplug = (acpi_get32(entry + 28) & SRAT_HOTPLUG) != 0,
    };
}

static void srat_add_entry(struct acpi_srat *srat, const uint8_t *entry)
{
    switch ((enum srat_type)entry[0]) {
    case SRAT_CPU:
        if (acpi_get32(entry + 4) & SRAT_ENABLED) {
            srat_add_cpu(srat, entry[3], entry[2] | (acpi_get32(entry + 8) & 0xffffff00u));
        }
        break;
    case SRAT_MEMORY:
        if (acpi_get32(entry + 28) & SRAT_ENABLED) {
            srat_add_memory(srat, entry);
        }
        break;
    case SRAT_X2APIC:
        if (acpi_get32(entry + 12) & SRAT_ENABLED) {
            srat_add_cpu(srat, acpi_get32(entry + 8), acpi_get32(entry + 4));
        }
        break;
    }
}

int acpi_srat_parse(const void *table, uint32_t len_bytes, struct acpi_srat *ret_srat)
{
    const uint8_t *bytes = table;
    uint32_t end = acpi_table_extent(table, len_bytes, "SRAT", SRAT_MIN_BYTES);

    if (end == 0) {
        return -EINVAL;
    }
    for (uint32_t at = SRAT_MIN_BYTES; at < end; at += bytes[at + 1]) {
        if (end - at < 2 || bytes[at + 1] < 2 || bytes[at + 1] > end - at) {
            return -EINVAL;
        }
        uint8_t type = bytes[at];
        if (type < ARRAY_SIZE(srat_entry_bytes) && bytes[at + 1] < srat_entry_bytes[type]) {
            return -EINVAL;
        }
    }
    memset(ret_srat, 0, sizeof(*ret_srat));
    for (uint32_t at = SRAT_MIN_BYTES; at < end; at += bytes[at + 1]) {
        srat_add_entry(ret_srat, bytes + at);
    }
    return 0;
}

int acpi_slit_parse(const void *table, uint32_t len_bytes, uint8_t *distance, unsigned max,
                    unsigned *ret_n)
{
    const uint8_t *bytes = table;
    uint32_t end = acpi_table_extent(table, len_bytes, "SLIT", SLIT_MIN_BYTES);

    if (end == 0) {
        return -EINVAL;
    }
    uint64_t n = acpi_get64(bytes + 36);
    if (n == 0 || n > max || n > 0xffff || n * n > end - SLIT_MIN_BYTES) {
        return -EINVAL;
    }
    for (uint64_t i = 0; i < n; i++) {
        for (uint64_t j = 0; j < n; j++) {
            uint8_t value = bytes[SLIT_MIN_BYTES + i * n + j];
            if (value < 10 || (i == j && value != 10)) {
                return -EINVAL; /* values below 10 are reserved, and 10 means local */
            }
        }
    }
    memcpy(distance, bytes + SLIT_MIN_BYTES, n * n);
    *ret_n = (unsigned)n;
    return 0;
}
