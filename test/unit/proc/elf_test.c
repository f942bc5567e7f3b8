/* The ELF program parser (kernel/proc/elf.h). */
#define TEST_SUITE "proc"
#include "kernel/proc/elf.h"

#include <arch/page.h>

#include "kernel/base/errno.h"
#include "test/unit/test.h"

#define NPHDRS 4

struct image {
    Elf64_Ehdr header;
    Elf64_Phdr phdrs[NPHDRS];
};

/* A static program: text, then data with a bss; a third header says that the stack is not executable. */
static struct image plain_image(void)
{
    struct image image = {
        .header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                   .e_type = ET_EXEC,
                   .e_machine = EM_X86_64,
                   .e_version = EV_CURRENT,
                   .e_entry = 0x401000,
                   .e_phoff = sizeof(Elf64_Ehdr),
                   .e_ehsize = sizeof(Elf64_Ehdr),
                   .e_phentsize = sizeof(Elf64_Phdr),
                   .e_phnum = 3},
        .phdrs = {{.p_type = PT_LOAD,
                   .p_flags = PF_R | PF_X,
                   .p_offset = 0,
                   .p_vaddr = 0x400000,
                   .p_filesz = 0x1800,
                   .p_memsz = 0x1800,
                   .p_align = 0x1000},
                  {.p_type = PT_LOAD,
                   .p_flags = PF_R | PF_W,
                   .p_offset = 0x1800,
                   .p_vaddr = 0x402800,
                   .p_filesz = 0x100,
                   .p_memsz = 0x3000,
                   .p_align = 0x1000},
                  {.p_type = PT_GNU_STACK, .p_flags = PF_R | PF_W}}};
    return image;
}

static int parse(const struct image *image, struct elf_program *ret_program)
{
    uint64_t offset;
    size_t size;
    int err = elf_check_header(image, sizeof(*image), &offset, &size);

    if (err < 0) {
        return err;
    }
    EXPECT_EQ(offset, sizeof(Elf64_Ehdr));
    return elf_parse(&image->header, image->phdrs, size, USER_TOP, ret_program);
}

TEST(elf, a_static_program_is_understood)
{
    struct image image = plain_image();
    struct elf_program program;

    EXPECT_EQ(parse(&image, &program), 0);
    EXPECT(!program.relocatable);
    EXPECT(!program.exec_stack);
    EXPECT_EQ(program.entry, 0x401000);
    EXPECT_EQ(program.start, 0x400000);
    EXPECT_EQ(program.end, 0x406000);
    EXPECT_EQ(program.phdr_vaddr, 0x400000 + sizeof(Elf64_Ehdr));
    EXPECT_EQ(program.nphdrs, 3);
    EXPECT_EQ(program.nsegments, 2);
    EXPECT(program.segments[0].exec && !program.segments[0].write);
    EXPECT(program.segments[1].write && !program.segments[1].exec);
    EXPECT_EQ(program.segments[1].mem_bytes - program.segments[1].file_bytes, 0x2f00);
    EXPECT_EQ(program.interp_bytes, 0);
    EXPECT_EQ(program.align, 0x1000);
}

TEST(elf, without_a_stack_header_the_stack_is_executable)
{
    struct image image = plain_image();
    struct elf_program program;

    image.header.e_phnum = 2;
    EXPECT_EQ(parse(&image, &program), 0);
    EXPECT(program.exec_stack);
}

TEST(elf, an_interpreter_and_a_large_alignment_are_told)
{
    struct image image = plain_image();
    struct elf_program program;

    image.header.e_type = ET_DYN;
    image.header.e_phnum = 4;
    image.phdrs[1].p_align = 0x200000;
    image.phdrs[3] = (Elf64_Phdr){.p_type = PT_INTERP, .p_offset = 0x300, .p_filesz = 28};
    EXPECT_EQ(parse(&image, &program), 0);
    EXPECT(program.relocatable);
    EXPECT_EQ(program.interp_offset, 0x300);
    EXPECT_EQ(program.interp_bytes, 28);
    EXPECT_EQ(program.align, 0x200000);
}

TEST(elf, other_machines_and_kinds_are_not_ours)
{
    struct elf_program program;
    struct image image = plain_image();

    image.header.e_machine = EM_AARCH64;
    EXPECT_EQ(parse(&image, &program), -ENOEXEC);
    image = plain_image();
    image.header.e_type = ET_REL;
    EXPECT_EQ(parse(&image, &program), -ENOEXEC);
    image = plain_image();
    image.header.e_ident[EI_CLASS] = ELFCLASS32;
    EXPECT_EQ(parse(&image, &program), -ENOEXEC);
    image = plain_image();
    image.header.e_ident[0] = 'x';
    EXPECT_EQ(parse(&image, &program), -ENOEXEC);
    image = plain_image();
    image.header.e_phentsize = 32;
    EXPECT_EQ(parse(&image, &program), -ENOEXEC);
    image = plain_image();
    image.header.e_phnum = 0;
    EXPECT_EQ(parse(&image, &program), -ENOEXEC);
}

TEST(elf, a_short_file_is_refused)
{
    struct image image = plain_image();
    uint64_t offset;
    size_t size;

    for (size_t len = 0; len < sizeof(Elf64_Ehdr); len++) {
        EXPECT_EQ(elf_check_header(&image, len, &offset, &size), -ENOEXEC);
    }
}

TEST(elf, hostile_segments_are_refused)
{
    static const Elf64_Phdr hostile[] = {
        /* more in the file than in memory */
        {.p_type = PT_LOAD, .p_vaddr = 0x500000, .p_filesz = 2, .p_memsz = 1},
        /* wraps around */
        {.p_type = PT_LOAD, .p_vaddr = ~0xfffull, .p_memsz = 0x2000},
        {.p_type = PT_LOAD, .p_vaddr = 0x500000, .p_memsz = ~0ull},
        /* reaches beyond user space */
        {.p_type = PT_LOAD, .p_vaddr = USER_WINDOW - 0x1000, .p_memsz = 0x1001},
        /* file offset and address disagree within the page */
        {.p_type = PT_LOAD, .p_vaddr = 0x500001, .p_offset = 0, .p_filesz = 1, .p_memsz = 1},
        /* file offset out of range */
        {.p_type = PT_LOAD,
         .p_vaddr = 0x500000,
         .p_offset = 0x7ffffffffffff000,
         .p_filesz = 0x1000,
         .p_memsz = 0x1000},
        /* descending, overlapping */
        {.p_type = PT_LOAD, .p_vaddr = 0x3ff000, .p_memsz = 0x1000},
        {.p_type = PT_LOAD, .p_vaddr = 0x4057ff, .p_memsz = 0x1000},
        /* nothing in memory, something in the file */
        {.p_type = PT_LOAD, .p_vaddr = 0x500000, .p_filesz = 1},
        /* interpreter names of no or too much length */
        {.p_type = PT_INTERP, .p_filesz = 1},
        {.p_type = PT_INTERP, .p_filesz = 0x100000},
        {.p_type = PT_INTERP, .p_offset = ~0ull, .p_filesz = 20},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(hostile); i++) {
        struct image image = plain_image();
        struct elf_program program;
        image.header.e_phnum = 4;
        image.phdrs[3] = hostile[i];
        EXPECT_EQ(parse(&image, &program), -ENOEXEC);
    }
}

TEST(elf, a_program_without_segments_or_with_a_kernel_entry_is_refused)
{
    struct image image = plain_image();
    struct elf_program program;

    image.phdrs[0].p_type = image.phdrs[1].p_type = PT_NULL;
    EXPECT_EQ(parse(&image, &program), -ENOEXEC);
    image = plain_image();
    image.header.e_entry = 0xffffffff80000000ull;
    EXPECT_EQ(parse(&image, &program), -ENOEXEC);
}

TEST(elf, segments_that_share_a_page_but_no_byte_are_fine)
{
    struct image image = plain_image();
    struct elf_program program;

    image.phdrs[1].p_vaddr = 0x401800;
    EXPECT_EQ(parse(&image, &program), 0);
    EXPECT_EQ(program.nsegments, 2);
}
