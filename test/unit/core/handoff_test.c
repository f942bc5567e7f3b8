/*
 * Tests of kernel/core/handoff.h against the loaders' seal.
 */
#define TEST_SUITE "core"
#include "test/unit/test.h"

#include "kernel/core/handoff.h"
#include "loader/core/handoff.h"

static struct boot_handoff handoff;

static void make_good(void)
{
    memset(&handoff, 0, sizeof(handoff));
    handoff.kernel_virt = BOOT_IMAGE;
    handoff_seal(&handoff);
}

TEST(handoff, what_a_loader_sealed_is_good)
{
    make_good();
    EXPECT(handoff_fault(&handoff) == NULL);
}

TEST(handoff, each_fault_has_its_sentence)
{
    make_good();
    handoff.magic++;
    EXPECT(strstr(handoff_fault(&handoff), "magic") != NULL);
    make_good();
    handoff.version++;
    EXPECT(strstr(handoff_fault(&handoff), "version") != NULL);
    make_good();
    handoff.size_bytes--;
    EXPECT(strstr(handoff_fault(&handoff), "size") != NULL);
    make_good();
    handoff.nmem = 1;
    EXPECT(strstr(handoff_fault(&handoff), "checksum") != NULL);
}

TEST(handoff, every_bit_is_covered_by_the_seal)
{
    for (size_t bit = 0; bit < sizeof(handoff) * 8; bit++) {
        make_good();
        ((uint8_t *)&handoff)[bit / 8] ^= (uint8_t)(1u << bit % 8);
        EXPECT(handoff_fault(&handoff) != NULL);
    }
}

TEST(handoff, every_memory_type_has_a_name)
{
    for (uint32_t type = 1; type < BOOT_MEM_NTYPES; type++) {
        EXPECT(strcmp(boot_mem_type_text(type), "unknown") != 0);
    }
    EXPECT_STR_EQ(boot_mem_type_text(0), "unknown");
    EXPECT_STR_EQ(boot_mem_type_text(BOOT_MEM_NTYPES), "unknown");
}
