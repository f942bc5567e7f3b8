/*
 * The small tables: HPET (IA-PC HPET specification 1.0a, 3.2.4), MCFG (PCI Firmware Specification 3.3, 4.1.2) and what of DMAR is for all the
 * machine (Intel VT-d specification 4.1, 8.1).
 *
 *   HPET  36 event timer block id  40 base address (generic address)  52 number  53 minimum tick  55 page protection
 *   MCFG  36 reserved  44 entries of 16 bytes: 0 base address  8 segment  10 first bus  11 last bus
 *   DMAR  36 address width  37 flags  38 reserved  48 units and what they remap
 */
#include "hal/acpi/bytes.h"
#include "kernel/base/errno.h"

#define HPET_BYTES       56u
#define MCFG_MIN_BYTES   44u
#define DMAR_MIN_BYTES   48u
#define DMAR_INTR_REMAP  0x1u
#define DMAR_X2APIC_OUT  0x2u /* says something only beside the other */
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

int acpi_dmar_parse(const void *table, uint32_t len_bytes, struct acpi_dmar *ret_dmar)
{
    const uint8_t *bytes = table;

    if (acpi_table_extent(table, len_bytes, "DMAR", DMAR_MIN_BYTES) == 0) {
        return -EINVAL;
    }
    bool interrupts = (bytes[37] & DMAR_INTR_REMAP) != 0;
    *ret_dmar = (struct acpi_dmar){
        .interrupts = interrupts,
        .no_x2apic = interrupts && (bytes[37] & DMAR_X2APIC_OUT) != 0,
    };
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
