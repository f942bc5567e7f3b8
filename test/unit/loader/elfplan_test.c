/*
 * Tests of loader/core/elfplan.h, on a small kernel that is damaged in one way after another.
 */
#define TEST_SUITE "loader"
#include "test/unit/test.h"

#include <linux/elf.h>

#include "kernel/abi/boot.h"
#include "kernel/base/errno.h"
#include "loader/core/elfplan.h"

#define FILE_BYTES 0x4000

/*
 * Text at +0, read-only data at +0x1000, data with zeroes behind it at +0x2000, and the dynamic
 * section inside the read-only data.
 */
static struct {
    Elf64_Ehdr header;
    Elf64_Phdr ph[4];
    char rest[FILE_BYTES - sizeof(Elf64_Ehdr) - 4 * sizeof(Elf64_Phdr)];
} file;

static struct elfplan plan;
static char reason[160];

static void segment(unsigned number, uint32_t type, uint32_t flags, uint64_t offset, uint64_t memsz)
{
    file.ph[number] = (Elf64_Phdr){.p_type = type,
                                   .p_flags = flags,
                                   .p_offset = 0x1000 + offset,
                                   .p_vaddr = BOOT_IMAGE + offset,
                                   .p_filesz = 0x800,
                                   .p_memsz = memsz,
                                   .p_align = type == PT_LOAD ? 0x1000 : 8};
}

static void make_good_file(void)
{
    memset(&file, 0, sizeof(file));
    file.header =
        (Elf64_Ehdr){.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                     .e_type = ET_DYN,
                     .e_machine = EM_X86_64,
                     .e_version = EV_CURRENT,
                     .e_entry = BOOT_IMAGE + 0x10,
                     .e_phoff = sizeof(Elf64_Ehdr),
                     .e_phentsize = sizeof(Elf64_Phdr),
                     .e_phnum = 4};
    segment(0, PT_LOAD, PF_R | PF_X, 0, 0x800);
    segment(1, PT_LOAD, PF_R, 0x1000, 0x800);
    segment(2, PT_LOAD, PF_R | PF_W, 0x2000, 0x5000);
    segment(3, PT_DYNAMIC, PF_R, 0x1100, 0x100);
    file.ph[3].p_filesz = 0x100;
    memset((char *)&file + 0x1000, 0xaa, 0x3000);
}

static int make(void)
{
    reason[0] = '\0';
    return elfplan_make(&file, sizeof(file), &plan, reason, sizeof(reason));
}

#define EXPECT_REFUSED(why)                                                                        \
    do {                                                                                           \
        EXPECT_EQ(make(), -ENOEXEC);                                                               \
        EXPECT_STR_EQ(reason, why);                                                                \
        make_good_file();                                                                          \
    } while (0)

TEST(elfplan, a_good_file_is_planned)
{
    make_good_file();
    EXPECT_EQ(make(), 0);
    EXPECT_EQ(plan.link_base, BOOT_IMAGE);
    EXPECT_EQ(plan.size_bytes, 0x7000);
    EXPECT_EQ(plan.entry_offset, 0x10);
    EXPECT_EQ(plan.dynamic_offset, 0x1100);
    EXPECT_EQ(plan.dynamic_size_bytes, 0x100);
    EXPECT_EQ(plan.nsegments, 3);
    EXPECT_EQ(plan.segments[0].flags, ELFPLAN_READ | ELFPLAN_EXEC);
    EXPECT_EQ(plan.segments[2].image_offset, 0x2000);
    EXPECT_EQ(plan.segments[2].size_bytes, 0x5000);
    EXPECT_EQ(plan.segments[2].file_size_bytes, 0x800);
}

TEST(elfplan, an_image_linked_higher_counts_from_its_own_start)
{
    make_good_file();
    for (unsigned i = 0; i < 4; i++) {
        file.ph[i].p_vaddr += MIB(16);
    }
    file.header.e_entry += MIB(16);
    EXPECT_EQ(make(), 0);
    EXPECT_EQ(plan.link_base, BOOT_IMAGE + MIB(16));
    EXPECT_EQ(plan.entry_offset, 0x10);
    EXPECT_EQ(plan.dynamic_offset, 0x1100);
    EXPECT_EQ(plan.segments[0].image_offset, 0);
}

TEST(elfplan, segments_are_sorted_by_address)
{
    Elf64_Phdr swap;

    make_good_file();
    swap = file.ph[0];
    file.ph[0] = file.ph[2];
    file.ph[2] = swap;
    EXPECT_EQ(make(), 0);
    EXPECT_EQ(plan.segments[0].image_offset, 0);
    EXPECT_EQ(plan.segments[1].image_offset, 0x1000);
    EXPECT_EQ(plan.segments[2].image_offset, 0x2000);
}

TEST(elfplan, loading_copies_segments_and_zeroes_the_rest)
{
    static uint8_t image[0x7000];

    make_good_file();
    EXPECT_EQ(make(), 0);
    memset(image, 0x55, sizeof(image));
    elfplan_load(&plan, &file, image);
    EXPECT_EQ(image[0], 0xaa);
    EXPECT_EQ(image[0x7ff], 0xaa);
    EXPECT_EQ(image[0x800], 0);
    EXPECT_EQ(image[0xfff], 0);
    EXPECT_EQ(image[0x1000], 0xaa);
    EXPECT_EQ(image[0x27ff], 0xaa);
    EXPECT_EQ(image[0x2800], 0);
    EXPECT_EQ(image[0x6fff], 0);
}

TEST(elfplan, a_damaged_header_is_refused)
{
    make_good_file();
    file.header.e_ident[0] = 'M';
    EXPECT_REFUSED("not an ELF file");
    file.header.e_ident[EI_CLASS] = ELFCLASS32;
    EXPECT_REFUSED("not an ELF file for x86-64");
    file.header.e_machine = EM_386;
    EXPECT_REFUSED("not an ELF file for x86-64");
    file.header.e_version = 2;
    EXPECT_REFUSED("unknown ELF version 2");
    file.header.e_type = ET_EXEC;
    EXPECT_REFUSED("not position-independent (ELF type 2)");
    file.header.e_phentsize = 32;
    EXPECT_REFUSED("program header table of 4 entries of 32 bytes");
    file.header.e_phnum = 0;
    EXPECT_REFUSED("program header table of 0 entries of 56 bytes");
    file.header.e_phoff = sizeof(file) - 8;
    EXPECT_REFUSED("program headers lie beyond the end of the file");
    file.header.e_phoff = UINT64_MAX - 8;
    EXPECT_REFUSED("program headers lie beyond the end of the file");
    file.header.e_entry = BOOT_IMAGE + 0x2000;
    EXPECT_REFUSED("the entry point 0xffffffff80002000 is not in an executable segment");
    file.header.e_entry = 0;
    EXPECT_REFUSED("the entry point 0 is not in an executable segment");
}

TEST(elfplan, a_damaged_segment_is_refused_by_its_number)
{
    make_good_file();
    file.ph[2].p_offset = sizeof(file) - 0x7ff;
    EXPECT_REFUSED("segment 2 lies beyond the end of the file (truncated?)");
    file.ph[2].p_offset = UINT64_MAX - 0x10;
    EXPECT_REFUSED("segment 2 lies beyond the end of the file (truncated?)");
    file.ph[1].p_filesz = 0x801;
    EXPECT_REFUSED("segment 1 is larger in the file than in memory");
    file.ph[0].p_vaddr = 0x1000;
    EXPECT_REFUSED("segment 0 (0x1000, 2048 bytes) is outside the kernel's address range");
    file.ph[2].p_memsz = BOOT_IMAGE_SIZE;
    EXPECT_REFUSED(
        "segment 2 (0xffffffff80002000, 1073741824 bytes) is outside the kernel's address range");
    file.ph[1].p_align = 3;
    EXPECT_REFUSED("segment 1 has the alignment 0x3");
    file.ph[1].p_offset += 8;
    EXPECT_REFUSED("segment 1 is not aligned as it says");
    file.ph[0].p_flags |= PF_W;
    EXPECT_REFUSED("segment 0 is writable and executable");
    file.ph[1].p_memsz = 0x1001;
    EXPECT_REFUSED("segment 2 overlaps segment 1");
    file.ph[2].p_vaddr = BOOT_IMAGE + 0x1000;
    EXPECT_REFUSED("segment 2 overlaps segment 1");
    file.ph[2].p_vaddr = BOOT_IMAGE + 0x1900;
    file.ph[2].p_align = 1;
    EXPECT_REFUSED("segment 2 shares a page with segment 1");
    file.ph[3].p_vaddr = BOOT_IMAGE + 0x1000 + 0x780;
    EXPECT_REFUSED("the dynamic section is not in a segment");
    file.ph[3].p_type = PT_INTERP;
    EXPECT_REFUSED("asks for a dynamic linker: a program, not a kernel");
    file.ph[0].p_type = file.ph[1].p_type = file.ph[2].p_type = PT_NULL;
    EXPECT_REFUSED("no segment to load");
}

TEST(elfplan, a_file_cut_short_anywhere_is_refused)
{
    make_good_file();
    for (size_t size = 0; size < 0x3800; size += 7) {
        EXPECT_EQ(elfplan_make(&file, size, &plan, reason, sizeof(reason)), -ENOEXEC);
    }
}
