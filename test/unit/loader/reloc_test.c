/*
 * Relocation of images made by hand.
 */
#define TEST_SUITE "loader"
#include "loader/core/reloc.h"

#include <linux/elf.h>

#include "kernel/base/errno.h"
#include "test/unit/test.h"

#define LINK_BASE  0xffffffff80000000ull
#define SLIDE      0x1200000ull
#define WORDS      512
#define DYNAMIC_AT 64 /* words */
#define TABLE_AT   128
#define DT_RELRSZ_ 35
#define DT_RELR_   36

static uint64_t words[WORDS];

static struct reloc_image image_start(void)
{
    memset(words, 0, sizeof(words));
    return (struct reloc_image){.base = (uint8_t *)words,
                                .size_bytes = sizeof(words),
                                .link_base = LINK_BASE,
                                .dynamic_offset = DYNAMIC_AT * 8,
                                .dynamic_size_bytes = 16 * 8};
}

static void dynamic_put(unsigned index, uint64_t tag, uint64_t value)
{
    words[DYNAMIC_AT + 2 * index] = tag;
    words[DYNAMIC_AT + 2 * index + 1] = value;
}

static void rela_put(unsigned index, uint64_t where, uint64_t type, uint64_t addend)
{
    words[TABLE_AT + 3 * index] = where;
    words[TABLE_AT + 3 * index + 1] = type;
    words[TABLE_AT + 3 * index + 2] = addend;
}

TEST(reloc, applies_rela_entries)
{
    struct reloc_image image = image_start();
    const char *reason = NULL;

    dynamic_put(0, DT_RELA, LINK_BASE + TABLE_AT * 8);
    dynamic_put(1, DT_RELASZ, 2 * 24);
    rela_put(0, LINK_BASE + 8, 8, LINK_BASE + 0x100);
    rela_put(1, LINK_BASE + 20, 8, LINK_BASE + 0x200); /* not aligned */
    EXPECT_EQ(reloc_apply(&image, SLIDE, &reason), 0);
    EXPECT_EQ(words[1], LINK_BASE + 0x100 + SLIDE);
    uint64_t value;
    memcpy(&value, (uint8_t *)words + 20, 8);
    EXPECT_EQ(value, LINK_BASE + 0x200 + SLIDE);
}

TEST(reloc, applies_relr_addresses_and_bitmaps)
{
    struct reloc_image image = image_start();
    const char *reason = NULL;

    dynamic_put(0, DT_RELR_, LINK_BASE + TABLE_AT * 8);
    dynamic_put(1, DT_RELRSZ_, 3 * 8);
    words[TABLE_AT] = LINK_BASE + 16;                 /* word 2 */
    words[TABLE_AT + 1] = 1 | 1ull << 1 | 1ull << 63; /* words 3 and 65 */
    words[TABLE_AT + 2] = 1 | 1ull << 2;              /* word 3 + 63 + 1 = 67 */
    image.dynamic_offset = 100 * 8;
    memcpy(&words[100], &words[DYNAMIC_AT], 64);
    memset(&words[DYNAMIC_AT], 0, 64);
    EXPECT_EQ(reloc_apply(&image, SLIDE, &reason), 0);
    for (unsigned i = 0; i < 100; i++) {
        EXPECT_EQ(words[i], i == 2 || i == 3 || i == 65 || i == 67 ? SLIDE : 0);
    }
}

TEST(reloc, does_nothing_without_a_dynamic_section)
{
    struct reloc_image image = image_start();
    const char *reason = NULL;

    image.dynamic_size_bytes = 0;
    dynamic_put(0, DT_RELA, 5);
    EXPECT_EQ(reloc_apply(&image, SLIDE, &reason), 0);
}

TEST(reloc, refuses_a_bad_image_and_leaves_it_alone)
{
    struct reloc_image image = image_start();
    const char *reason = NULL;
    uint64_t before[WORDS];

    dynamic_put(0, DT_RELA, LINK_BASE + TABLE_AT * 8);
    dynamic_put(1, DT_RELASZ, 2 * 24);
    rela_put(0, LINK_BASE + 8, 8, 1);
    rela_put(1, LINK_BASE + sizeof(words) - 7, 8, 1);
    memcpy(before, words, sizeof(before));
    EXPECT_EQ(reloc_apply(&image, SLIDE, &reason), -ENOEXEC);
    EXPECT_STR_EQ(reason, "relocation outside the image");
    EXPECT_MEM_EQ(before, words, sizeof(before));

    rela_put(1, LINK_BASE + 8, 1, 1); /* R_X86_64_64 */
    EXPECT_EQ(reloc_apply(&image, SLIDE, &reason), -ENOEXEC);
    dynamic_put(1, DT_RELASZ, UINT64_MAX);
    EXPECT_EQ(reloc_apply(&image, SLIDE, &reason), -ENOEXEC);
    dynamic_put(0, DT_RELA, LINK_BASE - 24);
    dynamic_put(1, DT_RELASZ, 24);
    EXPECT_EQ(reloc_apply(&image, SLIDE, &reason), -ENOEXEC);
}

TEST(reloc, refuses_relr_outside_the_image)
{
    struct reloc_image image = image_start();
    const char *reason = NULL;

    dynamic_put(0, DT_RELR_, LINK_BASE + TABLE_AT * 8);
    dynamic_put(1, DT_RELRSZ_, 2 * 8);
    words[TABLE_AT] = LINK_BASE + sizeof(words) - 8;
    words[TABLE_AT + 1] = 3;
    EXPECT_EQ(reloc_apply(&image, SLIDE, &reason), -ENOEXEC);
    words[TABLE_AT] = 3; /* a bitmap before any address */
    EXPECT_EQ(reloc_apply(&image, SLIDE, &reason), -ENOEXEC);
    image.dynamic_offset = sizeof(words) - 8;
    EXPECT_EQ(reloc_apply(&image, SLIDE, &reason), -ENOEXEC);
}
