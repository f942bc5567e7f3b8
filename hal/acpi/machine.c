/*
 * ACPI of the machine we run on: read the tables once at boot, keep what is decoded, and turn the machine off or round.
 *
 * Memory below 4 GiB is read through the direct map; what lies above may not be RAM, so it is mapped for the time being.
 *
 * S5 without AML (ACPI 6.5, 4.8.3.2.1): write SLP_TYP and then SLP_EN to PM1a and PM1b control. Hardware-reduced machines
 * have a sleep control register instead (4.8.3.7). Neither `_PTS` nor `_GTS` is run.
 *
 * Locks: everything is written in acpi_init() on the boot CPU and only read afterwards.
 */
#include <arch/page.h>

#include "hal/acpi/acpi.h"
#include "kernel/abi/boot.h"
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/machine/clock.h"
#include "kernel/machine/io.h"
#include "kernel/mm/node.h"

#define PM1_SCI_EN       BIT(0)
#define PM1_SLP_TYP(t)   ((uint32_t)(t) << 10)
#define PM1_SLP_TYP_MASK PM1_SLP_TYP(7)
#define PM1_SLP_EN       BIT(13)
#define SLEEP_TYP(t)     ((uint8_t)((t) << 2))
#define SLEEP_EN         0x20u
#define SLEEP_WAK_STS    0x80u

/* Where a memory-mapped register of a generic address was mapped, so that it can be used from any context. */
struct acpi_register {
    struct acpi_gas gas;
    void *va; /* NULL: I/O port, or absent */
};

static struct acpi_tables tables;
static struct acpi_madt madt;
static struct acpi_fadt fadt;
static struct acpi_hpet hpet;
static struct acpi_dmar dmar;
static struct acpi_srat srat;
static bool srat_used;
static bool madt_valid, fadt_valid, hpet_valid, dmar_valid, s5_valid;
static uint8_t s5_typ_a, s5_typ_b;
static struct acpi_register pm1a_cnt, pm1b_cnt, sleep_control, sleep_status, reset_reg;

static const void *memory_map(void *arg, paddr_t pa, uint64_t len_bytes)
{
    (void)arg;
    if (pa + len_bytes <= GIB(4)) {
        return phys_to_virt(pa);
    }
    return mmio_map(pa, len_bytes, false);
}

static void memory_unmap(void *arg, const void *va, uint64_t len_bytes)
{
    (void)arg;
    if ((uintptr_t)va >= (uintptr_t)phys_to_virt(GIB(4))) {
        mmio_unmap((void *)(uintptr_t)va, len_bytes);
    }
}

static const struct acpi_memory machine_memory = {.map = memory_map, .unmap = memory_unmap};

static bool register_present(const struct acpi_register *reg)
{
    return reg->gas.address != 0 && (reg->gas.space == ACPI_GAS_IO || reg->va != NULL);
}

static void register_init(struct acpi_register *reg, const struct acpi_gas *gas)
{
    reg->gas = *gas;
    if (gas->address != 0 && gas->space == ACPI_GAS_MEMORY) {
        reg->va = mmio_map(gas->address, 8, false);
    }
}

static uint32_t register_read(const struct acpi_register *reg, unsigned bits)
{
    uint16_t port = (uint16_t)reg->gas.address;

    if (reg->va != NULL) {
        return bits == 8 ? mmio_read8(reg->va) : mmio_read16(reg->va);
    }
    return bits == 8 ? port_read8(port) : port_read16(port);
}

static void register_write(const struct acpi_register *reg, unsigned bits, uint32_t value)
{
    uint16_t port = (uint16_t)reg->gas.address;

    if (reg->va != NULL && bits == 8) {
        mmio_write8(reg->va, (uint8_t)value);
    } else if (reg->va != NULL) {
        mmio_write16(reg->va, (uint16_t)value);
    } else if (bits == 8) {
        port_write8(port, (uint8_t)value);
    } else {
        port_write16(port, (uint16_t)value);
    }
}

/* Hand the decoder the bytes of the table `signature`. -ENOENT: there is none. */
static int table_decode(const char *signature, int (*decode)(const void *, uint32_t))
{
    const struct acpi_table_ref *ref = acpi_table_find(&tables, signature);
    if (ref == NULL) {
        return -ENOENT;
    }
    const void *bytes = memory_map(NULL, ref->pa, ref->len_bytes);
    if (bytes == NULL) {
        return -ENOMEM;
    }
    int err = decode(bytes, ref->len_bytes);
    memory_unmap(NULL, bytes, ref->len_bytes);
    if (err < 0) {
        log_warn("acpi: table %s at %#llx: damaged, skipped", signature,
                 (unsigned long long)ref->pa);
    }
    return err;
}

static int decode_madt(const void *table, uint32_t len_bytes)
{
    return acpi_madt_parse(table, len_bytes, &madt);
}

static int decode_fadt(const void *table, uint32_t len_bytes)
{
    return acpi_fadt_parse(table, len_bytes, &fadt);
}

static int decode_hpet(const void *table, uint32_t len_bytes)
{
    return acpi_hpet_parse(table, len_bytes, &hpet);
}

static int decode_dmar(const void *table, uint32_t len_bytes)
{
    return acpi_dmar_parse(table, len_bytes, &dmar);
}

static void log_tables(void)
{
    char text[6 * ACPI_MAX_TABLES + 1] = "";
    size_t used = 0;

    for (unsigned i = 0; i < tables.count; i++) {
        used +=
            (size_t)kscnprintf(text + used, sizeof(text) - used, " %s", tables.table[i].signature);
    }
    log_info("acpi: revision %u, tables:%s", tables.revision, text);
}

/* The DSDT hangs on the FADT, so it is checked here as the others were in acpi_tables_load(). */
static void find_s5(void)
{
    const uint8_t *dsdt = fadt.dsdt == 0 ? NULL : memory_map(NULL, fadt.dsdt, 36);
    if (dsdt == NULL) {
        return;
    }
    uint32_t len_bytes = (uint32_t)dsdt[4] | (uint32_t)dsdt[5] << 8 | (uint32_t)dsdt[6] << 16 |
                         (uint32_t)dsdt[7] << 24;
    memory_unmap(NULL, dsdt, 36);
    if (len_bytes > MIB(16) || (dsdt = memory_map(NULL, fadt.dsdt, len_bytes)) == NULL) {
        log_warn("acpi: DSDT at %#llx: damaged, skipped", (unsigned long long)fadt.dsdt);
        return;
    }
    s5_valid = acpi_find_s5(dsdt, len_bytes, &s5_typ_a, &s5_typ_b) == 0;
    memory_unmap(NULL, dsdt, len_bytes);
    if (!s5_valid) {
        log_warn("acpi: no \\_S5 in the DSDT: cannot power off");
    }
}

/* ---- before memory management ---- */

/* The loader maps the first 4 GiB, and all memory that the map lists (kernel/abi/boot.h). */
static const void *__init early_map(void *arg, paddr_t pa, uint64_t len_bytes)
{
    const struct boot_handoff *handoff = arg;
    const struct boot_mem *mem = phys_to_virt(handoff->mem);

    if (pa + len_bytes <= GIB(4)) {
        return phys_to_virt(pa);
    }
    for (uint64_t i = 0; i < handoff->nmem; i++) {
        if ((mem[i].type == BOOT_MEM_ACPI_RECLAIM || mem[i].type == BOOT_MEM_ACPI_NVS) &&
            pa >= mem[i].base && pa + len_bytes <= mem[i].base + mem[i].length_bytes) {
            return phys_to_virt(pa);
        }
    }
    return NULL;
}

/* The table's bytes, which early_map() has seen whole already. NULL: there is none. */
static const void *__init early_table(const struct acpi_memory *memory, const char *signature,
                                      uint32_t *ret_len_bytes)
{
    const struct acpi_table_ref *ref = acpi_table_find(&tables, signature);

    *ret_len_bytes = ref == NULL ? 0 : ref->len_bytes;
    return ref == NULL ? NULL : memory->map(memory->arg, ref->pa, ref->len_bytes);
}

static void __init nodes_find(const struct acpi_memory *memory)
{
    static struct numa_map __initdata map;
    static uint8_t __initdata slit[MAX_NODES * MAX_NODES];
    uint32_t len_bytes;
    unsigned nslit = 0;
    const void *table = early_table(memory, "SRAT", &len_bytes);

    const char *wish = param_string("numa");
    if (table == NULL || (wish != NULL && strcmp(wish, "off") == 0)) {
        return;
    }
    if (acpi_srat_parse(table, len_bytes, &srat) < 0) {
        log_warn("acpi: table SRAT: damaged; one node");
        return;
    }
    table = early_table(memory, "SLIT", &len_bytes);
    if (table != NULL && acpi_slit_parse(table, len_bytes, slit, MAX_NODES, &nslit) < 0) {
        log_warn("acpi: table SLIT: damaged, skipped");
        nslit = 0;
    }
    int err = acpi_numa_map(&srat, slit, nslit, &map);
    if (err == 1) {
        log_warn("acpi: the SLIT does not fit the SRAT, skipped");
    }
    if (err < 0 || (err = nodes_set_map(&map)) < 0) {
        log_warn("acpi: the SRAT contradicts itself (error %d); one node", err);
        return;
    }
    srat_used = true;
}

void __init acpi_init_early(const struct boot_handoff *handoff)
{
    union {
        const struct boot_handoff *from;
        void *to;
    } arg = {handoff};
    const struct acpi_memory memory = {.map = early_map, .arg = arg.to};

    if (handoff->rsdp == 0 || acpi_tables_load(&tables, &memory, handoff->rsdp) < 0) {
        log_notice("acpi: no tables");
        tables.count = 0;
        return;
    }
    tables.memory = &machine_memory;
    log_tables();
    nodes_find(&memory);
}

int acpi_cpu_node(uint32_t apic_id)
{
    return srat_used ? acpi_srat_cpu_node(&srat, apic_id) : -ENOENT;
}

void acpi_init(void)
{
    madt_valid = table_decode("APIC", decode_madt) == 0;
    hpet_valid = table_decode("HPET", decode_hpet) == 0;
    dmar_valid = table_decode("DMAR", decode_dmar) == 0;
    fadt_valid = table_decode("FACP", decode_fadt) == 0;
    if (!fadt_valid) {
        return;
    }
    find_s5();
    register_init(&pm1a_cnt, &fadt.pm1a_cnt);
    register_init(&pm1b_cnt, &fadt.pm1b_cnt);
    register_init(&sleep_control, &fadt.sleep_control);
    register_init(&sleep_status, &fadt.sleep_status);
    register_init(&reset_reg, &fadt.reset_reg);
}

const struct acpi_madt *acpi_madt(void)
{
    return madt_valid ? &madt : NULL;
}

const struct acpi_fadt *acpi_fadt(void)
{
    return fadt_valid ? &fadt : NULL;
}

const struct acpi_hpet *acpi_hpet(void)
{
    return hpet_valid ? &hpet : NULL;
}

const struct acpi_dmar *acpi_dmar(void)
{
    return dmar_valid ? &dmar : NULL;
}

/* Firmware may still own the registers ("legacy mode"); ask it over. ACPI 6.5, 4.8.2.5. */
static void acpi_mode_enter(void)
{
    if ((register_read(&pm1a_cnt, 16) & PM1_SCI_EN) || fadt.smi_cmd == 0 || fadt.acpi_enable == 0) {
        return;
    }
    port_write8((uint16_t)fadt.smi_cmd, fadt.acpi_enable);
    for (unsigned ms = 0; ms < 300 && !(register_read(&pm1a_cnt, 16) & PM1_SCI_EN); ms++) {
        clock_delay_us(1000);
    }
}

static void pm1_sleep(const struct acpi_register *reg, uint8_t typ)
{
    uint32_t value =
        (register_read(reg, 16) & ~(PM1_SLP_TYP_MASK | (uint32_t)PM1_SLP_EN)) | PM1_SLP_TYP(typ);

    register_write(reg, 16, value);
    register_write(reg, 16, value | (uint32_t)PM1_SLP_EN);
}

void acpi_power_off(void)
{
    if (!fadt_valid || !s5_valid) {
        return;
    }
    if (fadt.flags & ACPI_FADT_HW_REDUCED) {
        if (register_present(&sleep_control)) {
            if (register_present(&sleep_status)) {
                register_write(&sleep_status, 8, SLEEP_WAK_STS);
            }
            register_write(&sleep_control, 8, SLEEP_TYP(s5_typ_a) | SLEEP_EN);
        }
    } else if (register_present(&pm1a_cnt)) {
        acpi_mode_enter();
        pm1_sleep(&pm1a_cnt, s5_typ_a);
        if (register_present(&pm1b_cnt)) {
            pm1_sleep(&pm1b_cnt, s5_typ_b);
        }
    }
    clock_delay_us(5000); /* the machine takes its time */
}

void acpi_reset(void)
{
    /* The register is one byte in I/O or memory space; PCI space would be for bus 0 and needs no support on PCs we know. */
    if (!fadt_valid || !(fadt.flags & ACPI_FADT_RESET_REG_SUP) || !register_present(&reset_reg)) {
        return;
    }
    register_write(&reset_reg, 8, fadt.reset_value);
    clock_delay_us(5000);
}
