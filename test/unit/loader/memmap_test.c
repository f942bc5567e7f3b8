/*
 * Tests of loader/core/memmap.h.
 */
#define TEST_SUITE "loader"
#include "test/unit/test.h"

#include "kernel/base/errno.h"
#include "loader/core/memmap.h"

#define MAX_CLAIMS 64

static struct memmap_event events[MEMMAP_EVENTS(MAX_CLAIMS)];
static struct boot_mem out[MEMMAP_EVENTS(MAX_CLAIMS)];
static struct memmap map;
static size_t count;

static void start(void)
{
    memmap_init(&map, events, ARRAY_SIZE(events));
}

static void claim(uint64_t base, uint64_t length, uint32_t type)
{
    EXPECT_EQ(memmap_add(&map, base, length, type, 7), 0);
}

static void resolve(void)
{
    EXPECT_EQ(memmap_resolve(&map, out, ARRAY_SIZE(out), &count), 0);
}

static void expect_entry(size_t i, uint64_t base, uint64_t length, uint32_t type)
{
    EXPECT_LT(i, count);
    EXPECT_EQ(out[i].base, base);
    EXPECT_EQ(out[i].length_bytes, length);
    EXPECT_EQ(out[i].type, type);
}

TEST(memmap, nothing_gives_nothing)
{
    start();
    resolve();
    EXPECT_EQ(count, 0);
}

TEST(memmap, entries_are_sorted_and_neighbours_merged)
{
    start();
    claim(0x3000, 0x1000, BOOT_MEM_USABLE);
    claim(0x1000, 0x1000, BOOT_MEM_USABLE);
    claim(0x2000, 0x1000, BOOT_MEM_USABLE);
    claim(0x9000, 0x1000, BOOT_MEM_RESERVED);
    resolve();
    EXPECT_EQ(count, 2);
    expect_entry(0, 0x1000, 0x3000, BOOT_MEM_USABLE);
    expect_entry(1, 0x9000, 0x1000, BOOT_MEM_RESERVED);
}

TEST(memmap, merged_neighbours_keep_their_efi_type_only_when_it_is_the_same)
{
    start();
    EXPECT_EQ(memmap_add(&map, 0, 0x1000, BOOT_MEM_USABLE, 7), 0);
    EXPECT_EQ(memmap_add(&map, 0x1000, 0x1000, BOOT_MEM_USABLE, 7), 0);
    EXPECT_EQ(memmap_add(&map, 0x4000, 0x1000, BOOT_MEM_USABLE, 7), 0);
    EXPECT_EQ(memmap_add(&map, 0x5000, 0x1000, BOOT_MEM_USABLE, 4), 0);
    resolve();
    EXPECT_EQ(count, 2);
    EXPECT_EQ(out[0].efi_type, 7);
    EXPECT_EQ(out[1].efi_type, MEMMAP_NO_EFI_TYPE);
}

TEST(memmap, usable_memory_shrinks_to_pages_and_the_rest_grows)
{
    start();
    claim(0x1001, 0x2fff, BOOT_MEM_USABLE);
    claim(0x8001, 0x10, BOOT_MEM_RESERVED);
    claim(0xa001, 0x1000, BOOT_MEM_USABLE);
    resolve();
    EXPECT_EQ(count, 2);
    expect_entry(0, 0x2000, 0x2000, BOOT_MEM_USABLE);
    expect_entry(1, 0x8000, 0x1000, BOOT_MEM_RESERVED);
}

TEST(memmap, the_more_careful_claim_wins_and_splits_the_other)
{
    start();
    claim(0x1000, 0x9000, BOOT_MEM_USABLE);
    claim(0x3000, 0x2000, BOOT_MEM_KERNEL);
    claim(0x4000, 0x3000, BOOT_MEM_RESERVED);
    resolve();
    EXPECT_EQ(count, 4);
    expect_entry(0, 0x1000, 0x2000, BOOT_MEM_USABLE);
    expect_entry(1, 0x3000, 0x1000, BOOT_MEM_KERNEL);
    expect_entry(2, 0x4000, 0x3000, BOOT_MEM_RESERVED);
    expect_entry(3, 0x7000, 0x3000, BOOT_MEM_USABLE);
}

TEST(memmap, one_claim_inside_another_of_its_type_changes_nothing)
{
    start();
    claim(0x1000, 0x9000, BOOT_MEM_USABLE);
    claim(0x3000, 0x1000, BOOT_MEM_USABLE);
    resolve();
    EXPECT_EQ(count, 1);
    expect_entry(0, 0x1000, 0x9000, BOOT_MEM_USABLE);
}

TEST(memmap, claims_beyond_the_direct_map_are_cut_or_dropped)
{
    start();
    claim(BOOT_DIRECT_MAP_SIZE - 0x1000, 0x5000, BOOT_MEM_USABLE);
    claim(UINT64_MAX - 0x1000, 0x1000, BOOT_MEM_USABLE);
    claim(0x1000, UINT64_MAX, BOOT_MEM_RESERVED);
    resolve();
    EXPECT_EQ(count, 1);
    expect_entry(0, 0x1000, BOOT_DIRECT_MAP_SIZE - 0x1000, BOOT_MEM_RESERVED);
}

TEST(memmap, wrong_types_and_full_arrays_are_refused)
{
    memmap_init(&map, events, 3);
    EXPECT_EQ(memmap_add(&map, 0, 0x1000, 0, 0), -EINVAL);
    EXPECT_EQ(memmap_add(&map, 0, 0x1000, BOOT_MEM_NTYPES, 0), -EINVAL);
    claim(0, 0x1000, BOOT_MEM_USABLE);
    EXPECT_EQ(memmap_add(&map, 0x4000, 0x1000, BOOT_MEM_USABLE, 0), -ENOSPC);
    start();
    claim(0, 0x1000, BOOT_MEM_USABLE);
    claim(0x4000, 0x1000, BOOT_MEM_USABLE);
    count = 99;
    EXPECT_EQ(memmap_resolve(&map, out, 1, &count), -ENOSPC);
    EXPECT_EQ(count, 99);
}

struct descriptor {
    uint32_t type, pad;
    uint64_t physical_start, virtual_start, number_of_pages, attribute, vendor;
};

TEST(memmap, efi_descriptors_become_types_by_what_the_kernel_may_do)
{
    static const struct descriptor descriptors[] = {
        {.type = 7, .physical_start = 0x100000, .number_of_pages = 16, .attribute = 0xf},
        {.type = 4, .physical_start = 0x110000, .number_of_pages = 16, .attribute = 0xf},
        {.type = 2, .physical_start = 0x120000, .number_of_pages = 16, .attribute = 0xf},
        {.type = 6,
         .physical_start = 0x130000,
         .number_of_pages = 16,
         .attribute = 0x800000000000000f},
        {.type = 9, .physical_start = 0x140000, .number_of_pages = 16, .attribute = 0xf},
        {.type = 7, .physical_start = 0x150000, .number_of_pages = 16, .attribute = 0x4000f},
        {.type = 7, .physical_start = 0x160000, .number_of_pages = 16, .attribute = 1},
        {.type = 77, .physical_start = 0x170000, .number_of_pages = UINT64_MAX, .attribute = 0xf},
    };

    start();
    EXPECT_EQ(memmap_add_efi(&map, descriptors, sizeof(descriptors), sizeof(descriptors[0])), 0);
    resolve();
    EXPECT_EQ(count, 5);
    expect_entry(0, 0x100000, 0x20000, BOOT_MEM_USABLE);
    expect_entry(1, 0x120000, 0x10000, BOOT_MEM_LOADER);
    expect_entry(2, 0x130000, 0x10000, BOOT_MEM_EFI_RUNTIME);
    expect_entry(3, 0x140000, 0x10000, BOOT_MEM_ACPI_RECLAIM);
    expect_entry(4, 0x150000, BOOT_DIRECT_MAP_SIZE - 0x150000, BOOT_MEM_RESERVED);
    EXPECT_EQ(memmap_type_bytes(out, count, BOOT_MEM_USABLE), 0x20000);
    EXPECT_EQ(memmap_ram_bytes(out, count), 0x50000);
}

TEST(memmap, efi_descriptors_of_impossible_size_are_refused)
{
    static const struct descriptor descriptors[2];

    start();
    EXPECT_EQ(memmap_add_efi(&map, descriptors, sizeof(descriptors), 24), -EINVAL);
    EXPECT_EQ(memmap_add_efi(&map, descriptors, sizeof(descriptors) - 8, 48), -EINVAL);
}

/* A page-by-page model with the same rules. */
TEST(memmap, random_claims_agree_with_a_page_by_page_model)
{
    static const uint8_t order[] = {BOOT_MEM_USABLE,    BOOT_MEM_ACPI_RECLAIM, BOOT_MEM_LOADER,
                                    BOOT_MEM_INITRAMFS, BOOT_MEM_KERNEL,       BOOT_MEM_PERSISTENT,
                                    BOOT_MEM_MMIO,      BOOT_MEM_ACPI_NVS,     BOOT_MEM_EFI_RUNTIME,
                                    BOOT_MEM_RESERVED,  BOOT_MEM_BAD};
    uint64_t random = 42;

    for (unsigned round = 0; round < 500; round++) {
        uint8_t model[64] = {0};

        start();
        for (unsigned i = 0; i < 12; i++) {
            random = random * 6364136223846793005ull + 1442695040888963407ull;
            unsigned page = (random >> 33) % 60;
            unsigned npages = 1 + (random >> 40) % (64 - page);
            unsigned rank = (random >> 50) % ARRAY_SIZE(order);
            claim(page * 0x1000ull, npages * 0x1000ull, order[rank]);
            for (unsigned p = page; p < page + npages; p++) {
                model[p] = MAX(model[p], (uint8_t)(rank + 1));
            }
        }
        resolve();
        for (size_t i = 0; i < count; i++) {
            EXPECT(i == 0 || out[i - 1].base + out[i - 1].length_bytes < out[i].base ||
                   (out[i - 1].base + out[i - 1].length_bytes == out[i].base &&
                    out[i - 1].type != out[i].type));
            for (uint64_t p = out[i].base / 0x1000;
                 p < (out[i].base + out[i].length_bytes) / 0x1000; p++) {
                EXPECT_EQ(order[model[p] - 1], out[i].type);
                model[p] = 0;
            }
        }
        for (unsigned p = 0; p < ARRAY_SIZE(model); p++) {
            EXPECT_EQ(model[p], 0);
        }
    }
}
