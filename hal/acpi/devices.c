/*
 * The small tables: HPET (IA-PC HPET specification 1.0a, 3.2.4) and MCFG (PCI Firmware Specification 3.3, 4.1.2).
 *
 *   HPET  36 event timer block id  40 base address (generic address)  52 number  53 minimum tick  55 page protection
 *   MCFG  36 reserved  44 entries of 16 bytes: 0 base address  8 segment  10 first bus  11 last bus
 */
#include "hal/acpi/bytes.h"
#include "kernel/base/errno.h"

#define HPET_BYTES       56u
#define MCFG_MIN_BYTES   44u
#define MCFG_ENTRY_BYTES 16u

int acpi_hpet_parse(const void *table, uint32_t len_bytes, struct acpi_hpet *ret_hpet)
{
    const uint8_t *bytes = table;
    uint32_t end = acpi_table_extent(table, len_bytes, "HPET", HPET_BYTES);

    if (end == 0 || bytes[40] != ACPI_GAS_MEMORY || acpi_get64(bytes + 44) == 0) {
        return -EINVAL;
    }
    *ret_hpet = (struct acpi_hpet){
        .pa = acpi_get64(bytes + 44), .min_tick = acpi_get16(bytes + 53), .number = bytes[52]};
    return 0;
}

int acpi_mcfg_parse(const void *table, uint32_t len_bytes, struct acpi_mcfg_entry *entries,
                    unsigned max, unsigned *ret_count)
{
    const uint8_t *bytes = table;
    uint32_t end = acpi_table_extent(table, len_bytes, "MCFG", MCFG_MIN_BYTES);
    unsigned count = 0;

    if (end == 0) {
        return -EINVAL;
    }
    for (uint32_t at = MCFG_MIN_BYTES; end - at >= MCFG_ENTRY_BYTES && count < max;
         at += MCFG_ENTRY_BYTES) {
        const uint8_t *entry = bytes + at;
        if (acpi_get64(entry) == 0 || entry[10] > entry[11]) {
            return -EINVAL;
        }
        entries[count++] = (struct acpi_mcfg_entry){
            .pa = acpi_get64(entry),
            .segment = acpi_get16(entry + 8),
            .bus_start = entry[10],
            .bus_end = entry[11],
        };
    }
    *ret_count = count;
    return 0;
}
