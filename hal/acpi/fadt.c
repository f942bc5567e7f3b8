/*
 * FADT: the fixed hardware of ACPI: PM timer, power-management control, reset register. ACPI 6.5, 5.2.9, table 5.9.
 *
 * The table grew over time: 116 bytes in revision 1, 244 in revision 3 and 4, 268 in 5, 276 in 6. Newer fields hold 64-bit
 * copies (X_...) of the old ones; a copy that is there and not zero wins.
 *
 *   40 DSDT  46 SCI_INT  48 SMI_CMD  52 ACPI_ENABLE  53 ACPI_DISABLE  56 PM1a_EVT  60 PM1b_EVT  64 PM1a_CNT  68 PM1b_CNT
 *   76 PM_TMR  88 PM1_EVT_LEN  89 PM1_CNT_LEN  91 PM_TMR_LEN  108 CENTURY  109 IAPC_BOOT_ARCH  112 flags  116 RESET_REG
 *   128 RESET_VALUE  140 X_DSDT  148 X_PM1a_EVT  160 X_PM1b_EVT  172 X_PM1a_CNT  184 X_PM1b_CNT  208 X_PM_TMR
 *   244 SLEEP_CONTROL  256 SLEEP_STATUS
 */
#include "hal/acpi/bytes.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"

#define FADT_V1_BYTES 116u
#define GAS_BYTES     12u

static struct acpi_gas gas_read(const uint8_t *p)
{
    return (struct acpi_gas){
        .space = p[0],
        .bit_width = p[1],
        .bit_offset = p[2],
        .access_size = p[3],
        .address = acpi_get64(p + 4),
    };
}

/* A generic address at offset `at` when the table is long enough to have it; address 0 otherwise. */
static struct acpi_gas gas_at(const uint8_t *bytes, uint32_t end, uint32_t at)
{
    return at + GAS_BYTES <= end ? gas_read(bytes + at) : (struct acpi_gas){.address = 0};
}

/* The 64-bit form of a register block at `xat` when it is usable, else the 32-bit port number at `at`. */
static struct acpi_gas block_at(const uint8_t *bytes, uint32_t end, uint32_t at, uint32_t xat,
                                uint8_t len_bytes)
{
    struct acpi_gas gas = gas_at(bytes, end, xat);

    if (gas.address != 0 && gas.space <= ACPI_GAS_IO) {
        return gas;
    }
    return (struct acpi_gas){.space = ACPI_GAS_IO,
                             .bit_width = (uint8_t)(len_bytes * 8),
                             .address = acpi_get32(bytes + at)};
}

int acpi_fadt_parse(const void *table, uint32_t len_bytes, struct acpi_fadt *ret_fadt)
{
    const uint8_t *bytes = table;
    uint32_t end = acpi_table_extent(table, len_bytes, "FACP", FADT_V1_BYTES);
    if (end == 0) {
        return -EINVAL;
    }
    uint8_t cnt_len_bytes = MIN(bytes[89], (uint8_t)4);
    *ret_fadt = (struct acpi_fadt){
        .revision = bytes[8],
        .flags = acpi_get32(bytes + 112),
        .sci_int = acpi_get16(bytes + 46),
        .boot_arch_flags = acpi_get16(bytes + 109),
        .smi_cmd = acpi_get32(bytes + 48),
        .acpi_enable = bytes[52],
        .acpi_disable = bytes[53],
        .pm1a_evt = block_at(bytes, end, 56, 148, MIN(bytes[88], (uint8_t)8)),
        .pm1b_evt = block_at(bytes, end, 60, 160, MIN(bytes[88], (uint8_t)8)),
        .pm1a_cnt = block_at(bytes, end, 64, 172, cnt_len_bytes),
        .pm1b_cnt = block_at(bytes, end, 68, 184, cnt_len_bytes),
        .pm_timer = block_at(bytes, end, 76, 208, MIN(bytes[91], (uint8_t)4)),
        .reset_reg = gas_at(bytes, end, 116),
        .sleep_control = gas_at(bytes, end, 244),
        .sleep_status = gas_at(bytes, end, 256),
        .pm1_evt_len = bytes[88],
        .pm_timer_len = bytes[91],
        .reset_value = end > 128 ? bytes[128] : 0,
        .century = bytes[108],
        .dsdt = acpi_get32(bytes + 40),
    };
    if (end >= 148 && acpi_get64(bytes + 140) != 0) {
        ret_fadt->dsdt = acpi_get64(bytes + 140);
    }
    return 0;
}
