/*
 * ACPI static tables: found, checked (signature, length, checksum, bounds) and decoded. Damaged tables are reported and skipped.
 * The decoders work on bytes only and are a fuzz target. Source: ACPI Specification 6.5, chapter 5.
 */
#pragma once

#include "kernel/base/types.h"

/* How the parser reads physical memory: the kernel maps it, tests give a buffer. NULL: not readable. */
struct acpi_memory {
    const void *(*map)(void *arg, paddr_t pa, uint64_t len_bytes);
    void (*unmap)(void *arg, const void *va, uint64_t len_bytes);
    void *arg;
};

#define ACPI_MAX_TABLES 64
struct acpi_table_ref {
    char signature[5];
    paddr_t pa;
    uint32_t len_bytes;
};
struct acpi_tables {
    const struct acpi_memory *memory;
    unsigned revision; /* of the RSDP: 0 or 2 */
    unsigned count;
    struct acpi_table_ref table[ACPI_MAX_TABLES];
};

/* Read RSDP and XSDT or RSDT at `rsdp`. 0; -ENODEV: no valid root; damaged tables are left out and logged. */
int acpi_tables_load(struct acpi_tables *tables, const struct acpi_memory *memory, paddr_t rsdp);

struct acpi_cpu {
    uint32_t apic_id;
    uint32_t uid;
    bool enabled, online_capable, x2apic;
};
struct acpi_ioapic {
    uint32_t id, gsi_base;
    paddr_t pa;
};
struct acpi_override {
    uint8_t source;
    uint32_t gsi;
    bool active_low, level;
};
struct acpi_madt {
    paddr_t lapic_pa;
    bool has_pic;
    unsigned ncpus, nioapics, noverrides;
    struct acpi_cpu cpu[256];
    struct acpi_ioapic ioapic[16];
    struct acpi_override override[24];
    paddr_t
        mailbox_pa;   /* multiprocessor wakeup structure: firmware starts the processors; 0: none */
    uint8_t nmi_lint; /* LINT# for NMI on all CPUs, 0xff: none */
};
int acpi_madt_parse(const void *table, uint32_t len_bytes, struct acpi_madt *ret_madt);

#define ACPI_GAS_MEMORY 0
#define ACPI_GAS_IO     1
#define ACPI_GAS_PCI    2

struct acpi_gas { /* Generic Address Structure, 5.2.3.2 */
    uint8_t space, bit_width, bit_offset, access_size;
    uint64_t address;
};
/* FADT flags, table 5.10, and IA-PC boot architecture flags, table 5.11. */
#define ACPI_FADT_TMR_VAL_EXT    BIT(8)
#define ACPI_FADT_RESET_REG_SUP  BIT(10)
#define ACPI_FADT_HW_REDUCED     BIT(20)
#define ACPI_BOOT_LEGACY_DEVICES BIT(0)
#define ACPI_BOOT_8042           BIT(1)
#define ACPI_BOOT_NO_CMOS_RTC    BIT(5)

struct acpi_fadt {
    uint8_t revision; /* boot_arch_flags mean something from revision 2 on */
    uint32_t flags;
    uint16_t sci_int, boot_arch_flags;
    uint32_t smi_cmd;
    uint8_t acpi_enable, acpi_disable;
    struct acpi_gas pm1a_evt, pm1b_evt, pm1a_cnt, pm1b_cnt, pm_timer, reset_reg;
    struct acpi_gas sleep_control, sleep_status; /* hardware-reduced machines; address 0: none */
    uint8_t pm1_evt_len, pm_timer_len, reset_value, century;
    paddr_t dsdt;
};
int acpi_fadt_parse(const void *table, uint32_t len_bytes, struct acpi_fadt *ret_fadt);

struct acpi_hpet {
    paddr_t pa;
    uint16_t min_tick;
    uint8_t number;
};
int acpi_hpet_parse(const void *table, uint32_t len_bytes, struct acpi_hpet *ret_hpet);

struct acpi_dmar {
    bool interrupts; /* they can be remapped */
    bool no_x2apic;  /* the firmware cannot cope with x2APIC mode */
};
int acpi_dmar_parse(const void *table, uint32_t len_bytes, struct acpi_dmar *ret_dmar);

struct acpi_mcfg_entry {
    paddr_t pa;
    uint16_t segment;
    uint8_t bus_start, bus_end;
};
int acpi_mcfg_parse(const void *table, uint32_t len_bytes, struct acpi_mcfg_entry *entries,
                    unsigned max, unsigned *ret_count);

struct acpi_srat_cpu {
    uint32_t apic_id, domain;
};
struct acpi_srat_mem {
    uint64_t base, length_bytes;
    uint32_t domain;
    bool hotplug;
};
struct acpi_srat {
    unsigned ncpus, nmems;
    struct acpi_srat_cpu cpu[256];
    struct acpi_srat_mem mem[64];
};
int acpi_srat_parse(const void *table, uint32_t len_bytes, struct acpi_srat *ret_srat);
/* distance[i * n + j]; *ret_n localities, at most max. */
int acpi_slit_parse(const void *table, uint32_t len_bytes, uint8_t *distance, unsigned max,
                    unsigned *ret_n);

/*
 * The kernel's map of nodes from both; nslit 0: there is no SLIT. 0; 1: the SLIT does not fit and was left out; -ENOENT: nothing is said of any
 * node; -EINVAL: memory of two nodes overlaps; -E2BIG: more nodes than the kernel takes. *ret_map is undefined on failure.
 */
struct numa_map;
int acpi_numa_map(const struct acpi_srat *srat, const uint8_t *slit, unsigned nslit,
                  struct numa_map *ret_map);
/* The node in that map of the processor with this id. -ENOENT. */
int acpi_srat_cpu_node(const struct acpi_srat *srat, uint32_t apic_id);

/* Bounded scan of a DSDT's bytes for Name(\_S5, Package{a, b ...}): SLP_TYPa and SLP_TYPb. -ENOENT. */
int acpi_find_s5(const void *dsdt, uint32_t len_bytes, uint8_t *ret_slp_typ_a,
                 uint8_t *ret_slp_typ_b);

/* The first table with this signature; NULL: none. */
const struct acpi_table_ref *acpi_table_find(const struct acpi_tables *tables,
                                             const char *signature);

/*
 * Before there is memory management: find the tables, where they are in what the loader has mapped, and read of them which memory is of which node;
 * nodes_set_map() is called when they say so. handoff->rsdp 0: a machine without ACPI.
 */
struct boot_handoff;
void acpi_init_early(const struct boot_handoff *handoff);
/* The node of the processor, -ENOENT: not known. */
int acpi_cpu_node(uint32_t apic_id);
/* The other tables of the machine: NULL when absent, or before acpi_init(). */
void acpi_init(void);
const struct acpi_madt *acpi_madt(void);
const struct acpi_fadt *acpi_fadt(void);
const struct acpi_dmar *acpi_dmar(void);
const struct acpi_hpet *acpi_hpet(void);
/* Power off by S5, or reset by the FADT's register; they return when it did not work. Any context, interrupts off. */
void acpi_power_off(void);
void acpi_reset(void);
