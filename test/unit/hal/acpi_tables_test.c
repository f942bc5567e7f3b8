/*
 * Finding ACPI tables in a small make-believe memory, whole and damaged.
 */
#define TEST_SUITE "hal"
#include "hal/acpi/acpi.h"
#include "kernel/base/errno.h"
#include "test/unit/test.h"

#define MEMORY_BYTES 4096u
#define RSDP_AT      0x100u
#define RSDT_AT      0x200u
#define XSDT_AT      0x300u
#define FADT_AT      0x400u
#define MADT_AT      0x600u

static uint8_t memory[MEMORY_BYTES];

static const void *memory_map(void *arg, paddr_t pa, uint64_t len_bytes)
{
    (void)arg;
    return pa < MEMORY_BYTES && len_bytes <= MEMORY_BYTES - pa ? memory + pa : NULL;
}

static const struct acpi_memory test_memory = {.map = memory_map};

static void put32(uint32_t at, uint64_t value)
{
    for (unsigned i = 0; i < 4; i++) {
        memory[at + i] = (uint8_t)(value >> (8 * i));
    }
}

/* Make the bytes [from, from + len) sum up to 0 by the one at `at`. */
static void seal(uint32_t from, uint32_t len, uint32_t at)
{
    uint8_t sum = 0;

    memory[at] = 0;
    for (uint32_t i = 0; i < len; i++) {
        sum = (uint8_t)(sum + memory[from + i]);
    }
    memory[at] = (uint8_t)-sum;
}

static void put_table(uint32_t at, const char *signature, uint32_t len)
{
    memcpy(memory + at, signature, 4);
    put32(at + 4, len);
    seal(at, len, at + 9);
}

static void put_roots(void)
{
    put32(RSDT_AT + 36, FADT_AT);
    put_table(RSDT_AT, "RSDT", 40);
    put32(XSDT_AT + 36, FADT_AT);
    put32(XSDT_AT + 44, MADT_AT);
    put_table(XSDT_AT, "XSDT", 52);
}

/* A machine with two tables, of which the RSDT names only the first. */
static void machine_build(unsigned revision)
{
    memset(memory, 0, sizeof(memory));
    memcpy(memory + RSDP_AT, "RSD PTR ", 8);
    memory[RSDP_AT + 15] = (uint8_t)revision;
    put32(RSDP_AT + 16, RSDT_AT);
    put32(RSDP_AT + 20, 36);
    put32(RSDP_AT + 24, XSDT_AT);
    seal(RSDP_AT, 20, RSDP_AT + 8);
    seal(RSDP_AT, 36, RSDP_AT + 32);
    put_table(FADT_AT, "FACP", 116);
    put_table(MADT_AT, "APIC", 44);
    put_roots();
}

static int load(struct acpi_tables *tables)
{
    return acpi_tables_load(tables, &test_memory, RSDP_AT);
}

TEST(acpi_tables, xsdt_is_read_in_revision_2)
{
    struct acpi_tables tables;

    machine_build(2);
    EXPECT_EQ(load(&tables), 0);
    EXPECT_EQ(tables.revision, 2);
    EXPECT_EQ(tables.count, 2);
    EXPECT_STR_EQ(tables.table[1].signature, "APIC");
    EXPECT_EQ(tables.table[1].pa, MADT_AT);
    EXPECT_EQ(tables.table[1].len_bytes, 44);
    EXPECT_PTR_EQ(acpi_table_find(&tables, "APIC"), &tables.table[1]);
    EXPECT_PTR_EQ(acpi_table_find(&tables, "HPET"), NULL);
}

TEST(acpi_tables, rsdt_is_read_in_revision_0)
{
    struct acpi_tables tables;

    machine_build(0);
    EXPECT_EQ(load(&tables), 0);
    EXPECT_EQ(tables.count, 1);
    EXPECT_STR_EQ(tables.table[0].signature, "FACP");
}

TEST(acpi_tables, damaged_rsdp_extension_falls_back_to_the_rsdt)
{
    struct acpi_tables tables;

    machine_build(2);
    memory[RSDP_AT + 32]++;
    EXPECT_EQ(load(&tables), 0);
    EXPECT_EQ(tables.count, 1);
}

TEST(acpi_tables, damaged_xsdt_falls_back_to_the_rsdt)
{
    struct acpi_tables tables;

    machine_build(2);
    memory[XSDT_AT + 9]++;
    EXPECT_EQ(load(&tables), 0);
    EXPECT_EQ(tables.count, 1);
}

TEST(acpi_tables, damaged_table_is_left_out_and_the_others_stay)
{
    struct acpi_tables tables;

    machine_build(2);
    memory[FADT_AT + 50]++;
    EXPECT_EQ(load(&tables), 0);
    EXPECT_EQ(tables.count, 1);
    EXPECT_STR_EQ(tables.table[0].signature, "APIC");
}

TEST(acpi_tables, table_longer_than_memory_is_left_out)
{
    struct acpi_tables tables;

    machine_build(2);
    put32(FADT_AT + 4, 0xffffffff);
    EXPECT_EQ(load(&tables), 0);
    EXPECT_EQ(tables.count, 1);
    put32(FADT_AT + 4, 35);
    EXPECT_EQ(load(&tables), 0);
    EXPECT_EQ(tables.count, 1);
}

TEST(acpi_tables, pointer_to_nowhere_is_left_out)
{
    struct acpi_tables tables;

    machine_build(2);
    memset(memory + XSDT_AT + 36, 0xff, 8);
    put_table(XSDT_AT, "XSDT", 52);
    EXPECT_EQ(load(&tables), 0);
    EXPECT_EQ(tables.count, 1);
}

TEST(acpi_tables, damaged_rsdp_means_no_tables)
{
    struct acpi_tables tables;

    machine_build(2);
    memory[RSDP_AT + 17]++;
    EXPECT_EQ(load(&tables), -ENODEV);
    EXPECT_EQ(acpi_tables_load(&tables, &test_memory, MEMORY_BYTES + 1), -ENODEV);
    EXPECT_EQ(acpi_tables_load(&tables, &test_memory, 0), -ENODEV);
}

TEST(acpi_tables, both_roots_damaged_means_no_tables)
{
    struct acpi_tables tables;

    machine_build(2);
    memory[XSDT_AT + 9]++;
    memory[RSDT_AT + 9]++;
    EXPECT_EQ(load(&tables), -ENODEV);
}
