/*
 * Any bytes as ACPI tables: as physical memory with an RSDP at address 16, and as each single table.
 */
#include "hal/acpi/acpi.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/mm/node.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define RSDP_AT 16

/* The decoders say what is damaged; nobody reads it here. */
void log_write(enum log_level level, const char *fmt, ...)
{
    (void)level;
    (void)fmt;
}

struct bytes {
    const uint8_t *data;
    size_t size;
};

static const void *bytes_map(void *arg, paddr_t pa, uint64_t len_bytes)
{
    const struct bytes *bytes = arg;

    return pa < bytes->size && len_bytes <= bytes->size - pa ? bytes->data + pa : NULL;
}

static uint8_t sum(const uint8_t *bytes, size_t len_bytes)
{
    uint8_t total = 0;

    for (size_t i = 0; i < len_bytes; i++) {
        total = (uint8_t)(total + bytes[i]);
    }
    return total;
}

static void load(const uint8_t *data, size_t size)
{
    struct bytes bytes = {.data = data, .size = size};
    const struct acpi_memory memory = {.map = bytes_map, .arg = &bytes};
    struct acpi_tables tables;

    if (acpi_tables_load(&tables, &memory, RSDP_AT) < 0) {
        return;
    }
    for (unsigned i = 0; i < tables.count; i++) {
        const struct acpi_table_ref *ref = &tables.table[i];
        if (bytes_map(&bytes, ref->pa, ref->len_bytes) == NULL ||
            sum(data + ref->pa, ref->len_bytes) != 0) {
            __builtin_trap(); /* a table that is not in memory, or is damaged, was let in */
        }
    }
}

/* As they are, and with checksums that no fuzzer guesses put right: of the RSDP, the roots at 128 and 256, and a table at 512. */
static void feed_memory(const uint8_t *data, size_t size)
{
    static const uint16_t tables_at[] = {128, 256, 512};
    static uint8_t memory[1024];

    load(data, size);
    memset(memory, 0, sizeof(memory));
    memcpy(memory, data, MIN(size, sizeof(memory)));
    memcpy(memory + RSDP_AT, "RSD PTR ", 8);
    memory[RSDP_AT + 8] = (uint8_t)(memory[RSDP_AT + 8] - sum(memory + RSDP_AT, 20));
    memory[RSDP_AT + 32] = (uint8_t)(memory[RSDP_AT + 32] - sum(memory + RSDP_AT, 36));
    for (unsigned i = 0; i < ARRAY_SIZE(tables_at); i++) {
        uint8_t *table = memory + tables_at[i];
        size_t len_bytes = MIN((size_t)(table[4] | table[5] << 8), sizeof(memory) - tables_at[i]);
        table[9] = (uint8_t)(table[9] - sum(table, len_bytes));
    }
    load(memory, sizeof(memory));
}

static void feed_madt(const uint8_t *data, uint32_t len_bytes)
{
    static struct acpi_madt madt;

    if (acpi_madt_parse(data, len_bytes, &madt) == 0) {
        for (unsigned i = 0; i < madt.noverrides; i++) {
            if (madt.override[i].source >= 16) {
                __builtin_trap(); /* it is an index */
            }
        }
    }
}

/* What comes out is a map that the kernel believes without a further look. */
static void feed_nodes(const struct acpi_srat *srat, const uint8_t *slit, unsigned n)
{
    static struct numa_map map;

    if (acpi_numa_map(srat, slit, n, &map) < 0) {
        return;
    }
    for (unsigned i = 0; i < map.nranges; i++) {
        if (map.range[i].node >= map.nnodes || map.range[i].base >= map.range[i].end ||
            (i > 0 && map.range[i].base < map.range[i - 1].end)) {
            __builtin_trap();
        }
    }
    for (unsigned i = 0; i < map.nnodes * map.nnodes; i++) {
        uint8_t distance = map.distance[i / map.nnodes][i % map.nnodes];
        if ((distance == DISTANCE_LOCAL) != (i / map.nnodes == i % map.nnodes) ||
            distance < DISTANCE_LOCAL) {
            __builtin_trap();
        }
    }
    for (unsigned i = 0; i < srat->ncpus; i++) {
        if (acpi_srat_cpu_node(srat, srat->cpu[i].apic_id) < 0) {
            __builtin_trap();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct acpi_srat srat;
    static uint8_t distance[64 * 64];
    struct acpi_mcfg_entry mcfg[4];
    struct acpi_fadt fadt;
    struct acpi_hpet hpet;
    struct acpi_dmar dmar;
    uint32_t len_bytes = (uint32_t)size;
    uint8_t a, b;
    unsigned n;

    feed_memory(data, size);
    feed_madt(data, len_bytes);
    (void)acpi_fadt_parse(data, len_bytes, &fadt);
    (void)acpi_hpet_parse(data, len_bytes, &hpet);
    (void)acpi_dmar_parse(data, len_bytes, &dmar);
    (void)acpi_mcfg_parse(data, len_bytes, mcfg, ARRAY_SIZE(mcfg), &n);
    if (acpi_srat_parse(data, len_bytes, &srat) == 0) {
        feed_nodes(&srat, distance, 0);
        /* A matrix behind the table's own end. */
        uint32_t own = MIN((uint32_t)(data[4] | data[5] << 8), len_bytes);
        if (acpi_slit_parse(data + own, len_bytes - own, distance, 64, &n) == 0) {
            feed_nodes(&srat, distance, n);
        }
    }
    (void)acpi_slit_parse(data, len_bytes, distance, 64, &n);
    (void)acpi_find_s5(data, len_bytes, &a, &b);
    return 0;
}
