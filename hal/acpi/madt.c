/*
 * MADT: processors, interrupt controllers, and how ISA interrupts are wired. ACPI 6.5, 5.2.12.
 *
 *   36 local APIC address  40 flags (bit 0: a PC/AT-compatible 8259 pair is there)  44 entries: type, length, body
 *
 *   type 0  processor      2 uid  3 APIC id  4 flags            type 5   APIC address   4 address (64 bit)
 *   type 1  I/O APIC       2 id  4 address  8 GSI base          type 9   x2APIC         4 id  8 flags  12 uid
 *   type 2  ISA override   2 bus  3 source  4 GSI  8 flags      type 10  x2APIC NMI     2 flags  4 uid  8 LINT#
 *   type 4  NMI            2 uid  3 flags  5 LINT#              type 16  wakeup mailbox 2 version  8 address (64 bit)
 *                                                               other types are skipped
 */
#include "hal/acpi/bytes.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"

enum madt_type {
    MADT_CPU = 0,
    MADT_IOAPIC = 1,
    MADT_OVERRIDE = 2,
    MADT_NMI = 4,
    MADT_LAPIC_ADDRESS = 5,
    MADT_X2APIC = 9,
    MADT_X2APIC_NMI = 10,
    MADT_WAKEUP = 16,
};

/* How long each entry that we read must be; 0: not read. */
static const uint8_t madt_entry_bytes[] = {
    [MADT_CPU] = 8,         [MADT_IOAPIC] = 12,        [MADT_OVERRIDE] = 10,
    [MADT_NMI] = 6,         [MADT_LAPIC_ADDRESS] = 12, [MADT_X2APIC] = 16,
    [MADT_X2APIC_NMI] = 12, [MADT_WAKEUP] = 16,
};

#define MADT_MIN_BYTES      44u
#define MADT_PCAT_COMPAT    0x1u
#define MADT_CPU_ENABLED    0x1u
#define MADT_CPU_CAN_ONLINE 0x2u
#define MPS_POLARITY(flags) ((flags)&3u)          /* 0 bus default, 1 high, 3 low */
#define MPS_TRIGGER(flags)  (((flags) >> 2) & 3u) /* 0 bus default, 1 edge, 3 level */
#define MPS_ACTIVE_LOW      3u
#define MPS_LEVEL           3u

static void madt_add_cpu(struct acpi_madt *madt, uint32_t apic_id, uint32_t uid, uint32_t flags,
                         bool x2apic)
{
    /* A processor may be listed both as APIC and as x2APIC; id 255 is the broadcast address of the former. */
    if (!x2apic && apic_id == 0xff) {
        return;
    }
    for (unsigned i = 0; i < madt->ncpus; i++) {
        if (madt->cpu[i].apic_id == apic_id) {
            return;
        }
    }
    if (madt->ncpus == ARRAY_SIZE(madt->cpu)) {
        log_once(LOG_WARNING, "acpi: MADT lists more than %zu processors", ARRAY_SIZE(madt->cpu));
        return;
    }
    madt->cpu[madt->ncpus++] = (struct acpi_cpu){
        .apic_id = apic_id,
        .uid = uid,
        .enabled = (flags & MADT_CPU_ENABLED) != 0,
        .online_capable = (flags & MADT_CPU_CAN_ONLINE) != 0,
        .x2apic = x2apic,
    };
}

static void madt_add_ioapic(struct acpi_madt *madt, const uint8_t *entry)
{
    if (madt->nioapics == ARRAY_SIZE(madt->ioapic)) {
        log_once(LOG_WARNING, "acpi: MADT lists more than %zu I/O APICs", ARRAY_SIZE(madt->ioapic));
        return;
    }
    madt->ioapic[madt->nioapics++] = (struct acpi_ioapic){
        .id = entry[2], .pa = acpi_get32(entry + 4), .gsi_base = acpi_get32(entry + 8)};
}

static void madt_add_override(struct acpi_madt *madt, const uint8_t *entry)
{
    uint16_t flags = acpi_get16(entry + 8);

    /* The bus is always ISA (0), which has 16 interrupts, edge and active high by default. */
    if (entry[2] != 0 || entry[3] >= 16 || madt->noverrides == ARRAY_SIZE(madt->override)) {
        log_warn("acpi: MADT override of bus %u interrupt %u ignored", entry[2], entry[3]);
        return;
    }
    madt->override[madt->noverrides++] = (struct acpi_override){
        .source = entry[3],
        .gsi = acpi_get32(entry + 4),
        .active_low = MPS_POLARITY(flags) == MPS_ACTIVE_LOW,
        .level = MPS_TRIGGER(flags) == MPS_LEVEL,
    };
}

static void madt_add_nmi(struct acpi_madt *madt, uint8_t lint)
{
    if (lint <= 1) {
        madt->nmi_lint = lint;
    }
}

static void madt_add_entry(struct acpi_madt *madt, const uint8_t *entry)
{
    switch ((enum madt_type)entry[0]) {
    case MADT_CPU:
        madt_add_cpu(madt, entry[3], entry[2], acpi_get32(entry + 4), false);
        break;
    case MADT_IOAPIC:
        madt_add_ioapic(madt, entry);
        break;
    case MADT_OVERRIDE:
        madt_add_override(madt, entry);
        break;
    case MADT_NMI:
        madt_add_nmi(madt, entry[5]);
        break;
    case MADT_LAPIC_ADDRESS:
        madt->lapic_pa = acpi_get64(entry + 4);
        break;
    case MADT_X2APIC:
        madt_add_cpu(madt, acpi_get32(entry + 4), acpi_get32(entry + 12), acpi_get32(entry + 8),
                     true);
        break;
    case MADT_X2APIC_NMI:
        madt_add_nmi(madt, entry[8]);
        break;
    case MADT_WAKEUP:
        madt->mailbox_pa = acpi_get64(entry + 8);
        break;
    }
}

int acpi_madt_parse(const void *table, uint32_t len_bytes, struct acpi_madt *ret_madt)
{
    const uint8_t *bytes = table;
    uint32_t end = acpi_table_extent(table, len_bytes, "APIC", MADT_MIN_BYTES);
    if (end == 0) {
        return -EINVAL;
    }
    /* First walk: is every entry whole? Then the second cannot fail half-way. */
    for (uint32_t at = MADT_MIN_BYTES; at < end; at += bytes[at + 1]) {
        if (end - at < 2 || bytes[at + 1] < 2 || bytes[at + 1] > end - at) {
            return -EINVAL;
        }
        uint8_t type = bytes[at];
        if (type < ARRAY_SIZE(madt_entry_bytes) && bytes[at + 1] < madt_entry_bytes[type]) {
            return -EINVAL;
        }
    }
    memset(ret_madt, 0, sizeof(*ret_madt));
    ret_madt->lapic_pa = acpi_get32(bytes + 36);
    ret_madt->has_pic = (acpi_get32(bytes + 40) & MADT_PCAT_COMPAT) != 0;
    ret_madt->nmi_lint = 0xff;
    for (uint32_t at = MADT_MIN_BYTES; at < end; at += bytes[at + 1]) {
        madt_add_entry(ret_madt, bytes + at);
    }
    return 0;
}
