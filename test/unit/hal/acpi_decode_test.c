/*
 * The decoders of single ACPI tables, on hand-made bytes.
 */
#define TEST_SUITE "hal"
#include "hal/acpi/acpi.h"
#include "kernel/base/errno.h"
#include "kernel/mm/node.h"
#include "test/unit/test.h"

static uint8_t table[1024];

static void put(uint32_t at, unsigned nbytes, uint64_t value)
{
    for (unsigned i = 0; i < nbytes; i++) {
        table[at + i] = (uint8_t)(value >> (8 * i));
    }
}

static void begin(const char *signature, uint32_t len)
{
    memset(table, 0, sizeof(table));
    memcpy(table, signature, 4);
    put(4, 4, len);
}

/* ---- MADT ---- */

static uint32_t madt_end;
static struct acpi_madt madt;

static void madt_begin(void)
{
    begin("APIC", 44);
    put(36, 4, 0xfee00000);
    put(40, 4, 1);
    madt_end = 44;
}

static void madt_entry(const uint8_t *bytes, unsigned len)
{
    memcpy(table + madt_end, bytes, len);
    madt_end += len;
    put(4, 4, madt_end);
}

#define MADT_ENTRY(...)                                                                            \
    madt_entry((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

TEST(acpi_madt, decodes_processors_controllers_and_overrides)
{
    madt_begin();
    MADT_ENTRY(0, 8, 5, 7, 1, 0, 0, 0);                     /* processor uid 5, APIC 7, enabled */
    MADT_ENTRY(0, 8, 6, 8, 2, 0, 0, 0);                     /* can be brought online later */
    MADT_ENTRY(1, 12, 2, 0, 0, 0, 0xc0, 0xfe, 24, 0, 0, 0); /* I/O APIC 2, GSI 24 */
    MADT_ENTRY(2, 10, 0, 0, 2, 0, 0, 0, 0, 0);              /* interrupt 0 is GSI 2 */
    MADT_ENTRY(2, 10, 0, 9, 9, 0, 0, 0, 0x0f, 0);           /* 9: level, active low */
    MADT_ENTRY(4, 6, 0xff, 0, 0, 1);                        /* NMI on LINT1 */
    MADT_ENTRY(0x7f, 4, 1, 2);                              /* unknown */
    EXPECT_EQ(acpi_madt_parse(table, madt_end, &madt), 0);
    EXPECT_EQ(madt.lapic_pa, 0xfee00000);
    EXPECT(madt.has_pic);
    EXPECT_EQ(madt.ncpus, 2);
    EXPECT_EQ(madt.cpu[0].apic_id, 7);
    EXPECT_EQ(madt.cpu[0].uid, 5);
    EXPECT(madt.cpu[0].enabled && !madt.cpu[0].online_capable && !madt.cpu[0].x2apic);
    EXPECT(!madt.cpu[1].enabled && madt.cpu[1].online_capable);
    EXPECT_EQ(madt.nioapics, 1);
    EXPECT_EQ(madt.ioapic[0].pa, 0xfec00000);
    EXPECT_EQ(madt.ioapic[0].gsi_base, 24);
    EXPECT_EQ(madt.noverrides, 2);
    EXPECT_EQ(madt.override[0].gsi, 2);
    EXPECT(!madt.override[0].level && !madt.override[0].active_low);
    EXPECT(madt.override[1].level && madt.override[1].active_low);
    EXPECT_EQ(madt.nmi_lint, 1);
}

TEST(acpi_madt, lists_a_processor_once_that_is_there_twice)
{
    madt_begin();
    MADT_ENTRY(0, 8, 1, 3, 1, 0, 0, 0);
    MADT_ENTRY(9, 16, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0);
    MADT_ENTRY(9, 16, 0, 0, 0, 2, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0);
    MADT_ENTRY(0, 8, 1, 255, 1, 0, 0, 0);
    EXPECT_EQ(acpi_madt_parse(table, madt_end, &madt), 0);
    EXPECT_EQ(madt.ncpus, 2);
    EXPECT_EQ(madt.cpu[1].apic_id, 512);
    EXPECT(madt.cpu[1].x2apic);
    EXPECT_EQ(madt.nmi_lint, 0xff);
}

TEST(acpi_madt, finds_the_mailbox_for_waking_processors)
{
    madt_begin();
    MADT_ENTRY(16, 16, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x20, 0x30, 4, 0, 0, 0);
    EXPECT_EQ(acpi_madt_parse(table, madt_end, &madt), 0);
    EXPECT_EQ(madt.mailbox_pa, 0x430201000);
    madt_begin();
    MADT_ENTRY(16, 12, 0, 0, 0, 0, 0, 0, 0, 0x10, 0x20, 0x30);
    EXPECT_EQ(acpi_madt_parse(table, madt_end, &madt), -EINVAL);
}

TEST(acpi_madt, refuses_damage_and_leaves_the_result_alone)
{
    madt_begin();
    madt.ncpus = 77;
    MADT_ENTRY(0, 8, 1, 3, 1, 0, 0, 0);
    table[44 + 1] = 0; /* an entry of length 0 would never end */
    EXPECT_EQ(acpi_madt_parse(table, madt_end, &madt), -EINVAL);
    table[44 + 1] = 9; /* beyond the end */
    EXPECT_EQ(acpi_madt_parse(table, madt_end, &madt), -EINVAL);
    table[44 + 1] = 7; /* too short for its type, and a stray byte after it */
    EXPECT_EQ(acpi_madt_parse(table, madt_end, &madt), -EINVAL);
    table[44 + 1] = 8;
    EXPECT_EQ(acpi_madt_parse(table, 43, &madt), -EINVAL);
    EXPECT_EQ(acpi_madt_parse(table, madt_end - 1, &madt), -EINVAL);
    table[0] = 'X';
    EXPECT_EQ(acpi_madt_parse(table, madt_end, &madt), -EINVAL);
    EXPECT_EQ(madt.ncpus, 77);
}

TEST(acpi_madt, ignores_overrides_of_other_buses)
{
    madt_begin();
    MADT_ENTRY(2, 10, 1, 5, 9, 0, 0, 0, 0, 0);
    MADT_ENTRY(2, 10, 0, 16, 9, 0, 0, 0, 0, 0);
    EXPECT_EQ(acpi_madt_parse(table, madt_end, &madt), 0);
    EXPECT_EQ(madt.noverrides, 0);
}

/* ---- FADT ---- */

static void fadt_begin(uint32_t len)
{
    begin("FACP", len);
    table[8] = 3;
    put(40, 4, 0x1000);
    put(64, 4, 0x604);
    put(76, 4, 0x608);
    table[89] = 2;
    table[91] = 4;
    table[108] = 0x32;
    put(112, 4, ACPI_FADT_RESET_REG_SUP);
}

TEST(acpi_fadt, revision_1_has_ports_only)
{
    struct acpi_fadt fadt;

    fadt_begin(116);
    EXPECT_EQ(acpi_fadt_parse(table, 116, &fadt), 0);
    EXPECT_EQ(fadt.dsdt, 0x1000);
    EXPECT_EQ(fadt.pm1a_cnt.address, 0x604);
    EXPECT_EQ(fadt.pm1a_cnt.space, ACPI_GAS_IO);
    EXPECT_EQ(fadt.pm_timer.address, 0x608);
    EXPECT_EQ(fadt.pm1b_cnt.address, 0);
    EXPECT_EQ(fadt.reset_reg.address, 0);
    EXPECT_EQ(fadt.sleep_control.address, 0);
    EXPECT_EQ(fadt.century, 0x32);
}

TEST(acpi_fadt, extended_fields_win_when_they_are_there)
{
    struct acpi_fadt fadt;

    fadt_begin(276);
    put(116, 1, ACPI_GAS_IO);
    put(120, 8, 0xcf9);
    table[128] = 0x0f;
    put(140, 8, 0x123456789abull);
    put(208, 1, ACPI_GAS_MEMORY);
    put(212, 8, 0xfed08000);
    put(248, 8, 0x700);
    EXPECT_EQ(acpi_fadt_parse(table, 276, &fadt), 0);
    EXPECT_EQ(fadt.reset_reg.address, 0xcf9);
    EXPECT_EQ(fadt.reset_value, 0x0f);
    EXPECT_EQ(fadt.dsdt, 0x123456789abll);
    EXPECT_EQ(fadt.pm_timer.space, ACPI_GAS_MEMORY);
    EXPECT_EQ(fadt.pm_timer.address, 0xfed08000);
    EXPECT_EQ(fadt.pm1a_cnt.address, 0x604);
    EXPECT_EQ(fadt.sleep_control.address, 0x700);
    EXPECT_EQ(acpi_fadt_parse(table, 115, &fadt), -EINVAL);
}

/* ---- the others ---- */

TEST(acpi_hpet, wants_a_memory_address)
{
    struct acpi_hpet hpet;

    begin("HPET", 56);
    put(44, 8, 0xfed00000);
    table[52] = 1;
    put(53, 2, 100);
    EXPECT_EQ(acpi_hpet_parse(table, 56, &hpet), 0);
    EXPECT_EQ(hpet.pa, 0xfed00000);
    EXPECT_EQ(hpet.min_tick, 100);
    EXPECT_EQ(hpet.number, 1);
    table[40] = ACPI_GAS_IO;
    EXPECT_EQ(acpi_hpet_parse(table, 56, &hpet), -EINVAL);
    table[40] = ACPI_GAS_MEMORY;
    EXPECT_EQ(acpi_hpet_parse(table, 55, &hpet), -EINVAL);
}

TEST(acpi_dmar, says_no_to_x2apic_only_where_interrupts_are_remapped)
{
    struct acpi_dmar dmar;

    begin("DMAR", 48);
    for (uint8_t flags = 0; flags < 8; flags++) {
        table[37] = flags;
        EXPECT_EQ(acpi_dmar_parse(table, 48, &dmar), 0);
        EXPECT_EQ(dmar.interrupts, (flags & 1) != 0);
        EXPECT_EQ(dmar.no_x2apic, (flags & 3) == 3);
    }
    EXPECT_EQ(acpi_dmar_parse(table, 47, &dmar), -EINVAL);
}

TEST(acpi_mcfg, lists_whole_entries)
{
    struct acpi_mcfg_entry entries[2];
    unsigned count = 99;

    begin("MCFG", 44 + 2 * 16 + 5);
    put(44, 8, 0xb0000000);
    table[44 + 11] = 0xff;
    put(60, 8, 0xc0000000);
    put(68, 2, 1);
    table[60 + 11] = 3;
    EXPECT_EQ(acpi_mcfg_parse(table, 81, entries, 2, &count), 0);
    EXPECT_EQ(count, 2);
    EXPECT_EQ(entries[0].bus_end, 255);
    EXPECT_EQ(entries[1].segment, 1);
    EXPECT_EQ(acpi_mcfg_parse(table, 81, entries, 1, &count), 0);
    EXPECT_EQ(count, 1);
    table[44 + 10] = 1;
    table[44 + 11] = 0;
    EXPECT_EQ(acpi_mcfg_parse(table, 81, entries, 2, &count), -EINVAL);
}

TEST(acpi_srat, tells_enabled_processors_and_memory)
{
    static struct acpi_srat srat;

    begin("SRAT", 48 + 16 + 40 + 24);
    table[48] = 0, table[49] = 16, table[50] = 2, table[51] = 9, table[52] = 1;
    table[64] = 1, table[65] = 40, table[66] = 1;
    put(72, 8, 0x100000);
    put(80, 8, 0x200000);
    put(92, 4, 3);
    table[104] = 2, table[105] = 24, table[108] = 3;
    put(112, 4, 300);
    EXPECT_EQ(acpi_srat_parse(table, 128, &srat), 0);
    EXPECT_EQ(srat.ncpus, 1);
    EXPECT_EQ(srat.cpu[0].apic_id, 9);
    EXPECT_EQ(srat.cpu[0].domain, 2);
    EXPECT_EQ(srat.nmems, 1);
    EXPECT_EQ(srat.mem[0].length_bytes, 0x200000);
    EXPECT(srat.mem[0].hotplug);
    put(116, 4, 1);
    EXPECT_EQ(acpi_srat_parse(table, 128, &srat), 0);
    EXPECT_EQ(srat.ncpus, 2);
    EXPECT_EQ(srat.cpu[1].apic_id, 300);
    table[105] = 25;
    EXPECT_EQ(acpi_srat_parse(table, 128, &srat), -EINVAL);
}

TEST(acpi_numa, domains_become_nodes_in_ascending_order)
{
    static struct numa_map map;
    static uint8_t slit[8 * 8];
    struct acpi_srat srat = {
        .ncpus = 1,
        .nmems = 3,
        .cpu = {{.apic_id = 4, .domain = 7}},
        .mem = {{.base = GIB(2), .length_bytes = GIB(1), .domain = 7},
                {.base = 0, .length_bytes = GIB(1), .domain = 3},
                {.base = GIB(1), .length_bytes = GIB(1), .domain = 3}},
    };

    EXPECT_EQ(acpi_numa_map(&srat, slit, 0, &map), 0);
    EXPECT_EQ(map.nnodes, 2);
    EXPECT_EQ(map.nranges, 3);
    EXPECT_EQ(map.range[0].base, 0);
    EXPECT_EQ(map.range[0].node, 0);
    EXPECT_EQ(map.range[2].end, GIB(3));
    EXPECT_EQ(map.range[2].node, 1);
    EXPECT_EQ(map.distance[0][1], DISTANCE_REMOTE);
    EXPECT_EQ(acpi_srat_cpu_node(&srat, 4), 1);
    EXPECT_EQ(acpi_srat_cpu_node(&srat, 5), -ENOENT);
    memset(slit, 31, sizeof(slit));
    for (unsigned i = 0; i < 8; i++) {
        slit[i * 9] = 10;
    }
    EXPECT_EQ(acpi_numa_map(&srat, slit, 8, &map), 0);
    EXPECT_EQ(map.distance[0][1], 31);
    EXPECT_EQ(map.distance[1][1], 10);
}

TEST(acpi_numa, contradictions_are_refused)
{
    static struct numa_map map;
    static uint8_t slit[4] = {10, 10, 20, 10};
    struct acpi_srat srat = {
        .nmems = 2,
        .mem = {{.base = 0, .length_bytes = GIB(2), .domain = 0},
                {.base = GIB(1), .length_bytes = GIB(1), .domain = 1}},
    };

    EXPECT_EQ(acpi_numa_map(&srat, slit, 2, &map), -EINVAL); /* overlap */
    srat.mem[0].length_bytes = GIB(1);
    EXPECT_EQ(acpi_numa_map(&srat, slit, 2, &map), 1); /* two nodes at distance 10 */
    EXPECT_EQ(map.distance[0][1], DISTANCE_REMOTE);
    srat.mem[1].domain = 2;
    EXPECT_EQ(acpi_numa_map(&srat, slit, 2, &map), 1); /* no line for domain 2 */
    srat.ncpus = ARRAY_SIZE(srat.cpu);
    for (unsigned i = 0; i < srat.ncpus; i++) {
        srat.cpu[i].domain = i * 3 + 5;
    }
    EXPECT_EQ(acpi_numa_map(&srat, slit, 2, &map), -E2BIG);
    srat.ncpus = srat.nmems = 0;
    EXPECT_EQ(acpi_numa_map(&srat, slit, 2, &map), -ENOENT);
}

TEST(acpi_slit, wants_a_whole_matrix_with_local_distance_10)
{
    uint8_t distance[16];
    unsigned n = 0;

    begin("SLIT", 44 + 4);
    put(36, 8, 2);
    put(44, 4, 0x0a14140a);
    EXPECT_EQ(acpi_slit_parse(table, 48, distance, 4, &n), 0);
    EXPECT_EQ(n, 2);
    EXPECT_EQ(distance[1], 20);
    put(44, 4, 0x0a14140b);
    EXPECT_EQ(acpi_slit_parse(table, 48, distance, 4, &n), -EINVAL);
    put(44, 4, 0x0a14140a);
    put(36, 8, 3);
    EXPECT_EQ(acpi_slit_parse(table, 48, distance, 4, &n), -EINVAL);
    put(36, 8, 0x100000001ull); /* its square wraps */
    EXPECT_EQ(acpi_slit_parse(table, 48, distance, ~0u, &n), -EINVAL);
}

/* ---- \_S5 ---- */

static uint32_t dsdt_build(const uint8_t *aml, unsigned len)
{
    begin("DSDT", 36 + len);
    memcpy(table + 36, aml, len);
    return 36 + len;
}

#define DSDT(...) dsdt_build((const uint8_t[]){__VA_ARGS__}, sizeof((const uint8_t[]){__VA_ARGS__}))

TEST(acpi_s5, finds_the_package_with_and_without_root_prefix)
{
    uint8_t a = 99, b = 99;
    uint32_t len = DSDT(0xa0, 0x08, '_', 'S', '5', '_', 0x12, 0x06, 4, 0x0a, 5, 0x01, 0, 0);

    EXPECT_EQ(acpi_find_s5(table, len, &a, &b), 0);
    EXPECT_EQ(a, 5);
    EXPECT_EQ(b, 1);
    len = DSDT(0x08, '\\', '_', 'S', '5', '_', 0x12, 0x46, 0x00, 2, 0x00, 0x0b, 7, 0);
    EXPECT_EQ(acpi_find_s5(table, len, &a, &b), 0);
    EXPECT_EQ(a, 0);
    EXPECT_EQ(b, 7);
}

TEST(acpi_s5, a_mention_that_is_no_definition_is_passed_over)
{
    uint8_t a = 99, b = 99;
    uint32_t len = DSDT('_', 'S', '5', '_', 0x12, 0x06, 4, 0, 0, 0x08, '_', 'S', '5', '_', 0x12, 6,
                        4, 0x0a, 3, 0x0a, 4, 0, 0);

    EXPECT_EQ(acpi_find_s5(table, len, &a, &b), 0);
    EXPECT_EQ(a, 3);
    EXPECT_EQ(b, 4);
}

TEST(acpi_s5, cut_off_or_absurd_packages_are_not_found)
{
    uint8_t a = 99, b = 99;
    uint32_t len = DSDT(0x00, 0x08, '_', 'S', '5', '_', 0x12, 0x06, 4, 0x0a, 5, 0x0a, 5, 0);

    for (uint32_t cut = 0; cut < len - 1; cut++) {
        EXPECT_EQ(acpi_find_s5(table, cut, &a, &b), -ENOENT);
    }
    table[36 + 10] = 8; /* three bits */
    EXPECT_EQ(acpi_find_s5(table, len, &a, &b), -ENOENT);
    EXPECT_EQ(a, 99);
}
