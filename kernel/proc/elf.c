/*
 * The ELF program parser.
 *
 * Every sum of values from the file is checked before it is made; `user_top` bounds all addresses, so later arithmetic with a load
 * bias below it cannot wrap. Segments must ascend (System V ABI, "Program Header": PT_LOAD entries are sorted by p_vaddr) and may
 * share a page but no byte.
 */
#include "kernel/proc/elf.h"

#include <arch/page.h>

#include "kernel/base/errno.h"
#include "kernel/base/string.h"

int elf_check_header(const void *bytes, size_t len_bytes, uint64_t *ret_offset, size_t *ret_size)
{
    Elf64_Ehdr header;

    if (len_bytes < sizeof(header)) {
        return -ENOEXEC;
    }
    memcpy(&header, bytes, sizeof(header));
    if (memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
        header.e_ident[EI_DATA] != ELFDATA2LSB || header.e_machine != EM_X86_64 ||
        (header.e_type != ET_EXEC && header.e_type != ET_DYN)) {
        return -ENOEXEC;
    }
    if (header.e_phentsize != sizeof(Elf64_Phdr) || header.e_phnum == 0 ||
        header.e_phnum > ELF_MAX_PHDRS || header.e_phoff > INT64_MAX - 65536) {
        return -ENOEXEC;
    }
    *ret_offset = header.e_phoff;
    *ret_size = header.e_phnum * sizeof(Elf64_Phdr);
    return 0;
}

/* The segment's file bytes and addresses make sense by themselves. */
static bool load_is_sane(const Elf64_Phdr *phdr, uint64_t user_top)
{
    return phdr->p_filesz <= phdr->p_memsz && phdr->p_memsz <= user_top &&
           phdr->p_vaddr <= user_top - phdr->p_memsz &&
           phdr->p_offset <= (uint64_t)INT64_MAX - phdr->p_filesz - PAGE_SIZE &&
           (phdr->p_filesz == 0 || (phdr->p_vaddr - phdr->p_offset) % PAGE_SIZE == 0);
}

static int add_load(struct elf_program *program, const Elf64_Phdr *phdr, uint64_t user_top)
{
    if (phdr->p_memsz == 0) {
        return phdr->p_filesz == 0 ? 0 : -ENOEXEC;
    }
    if (!load_is_sane(phdr, user_top) || program->nsegments == ELF_MAX_SEGMENTS) {
        return -ENOEXEC;
    }
    if (program->nsegments > 0) {
        const struct elf_segment *last = &program->segments[program->nsegments - 1];
        if (phdr->p_vaddr < last->vaddr + last->mem_bytes) {
            return -ENOEXEC;
        }
    }
    program->segments[program->nsegments++] = (struct elf_segment){
        .vaddr = phdr->p_vaddr,
        .mem_bytes = phdr->p_memsz,
        .file_bytes = phdr->p_filesz,
        .offset = phdr->p_offset,
        .read = (phdr->p_flags & PF_R) != 0,
        .write = (phdr->p_flags & PF_W) != 0,
        .exec = (phdr->p_flags & PF_X) != 0,
    };
    if (phdr->p_align > program->align && phdr->p_align <= ELF_ALIGN_MAX &&
        (phdr->p_align & (phdr->p_align - 1)) == 0) {
        program->align = phdr->p_align;
    }
    return 0;
}

static int add_interp(struct elf_program *program, const Elf64_Phdr *phdr)
{
    if (program->interp_bytes != 0) {
        return 0; /* the first one counts */
    }
    if (phdr->p_filesz < 2 || phdr->p_filesz > ELF_INTERP_MAX ||
        phdr->p_offset > (uint64_t)INT64_MAX - phdr->p_filesz) {
        return -ENOEXEC;
    }
    program->interp_offset = phdr->p_offset;
    program->interp_bytes = phdr->p_filesz;
    return 0;
}

/* AT_PHDR: the address at which some segment carries the headers' bytes of the file. */
static uint64_t find_phdrs(const struct elf_program *program, uint64_t offset, uint64_t size)
{
    for (unsigned i = 0; i < program->nsegments; i++) {
        const struct elf_segment *segment = &program->segments[i];
        if (offset >= segment->offset && offset - segment->offset <= segment->file_bytes &&
            size <= segment->file_bytes - (offset - segment->offset)) {
            return segment->vaddr + (offset - segment->offset);
        }
    }
    return 0;
}

int elf_parse(const Elf64_Ehdr *header, const void *phdrs, size_t size, uint64_t user_top,
              struct elf_program *ret_program)
{
    const Elf64_Phdr *phdr = phdrs;
    unsigned n = (unsigned)(size / sizeof(*phdr));
    int err = 0;

    /* The segment array is written as far as it is used. */
    memset(ret_program, 0, offsetof(struct elf_program, segments));
    ret_program->relocatable = header->e_type == ET_DYN;
    ret_program->exec_stack = true;
    ret_program->entry = header->e_entry;
    ret_program->align = PAGE_SIZE;
    ret_program->nphdrs = n;
    for (unsigned i = 0; i < n && err == 0; i++) {
        switch (phdr[i].p_type) {
        case PT_LOAD:
            err = add_load(ret_program, &phdr[i], user_top);
            break;
        case PT_INTERP:
            err = add_interp(ret_program, &phdr[i]);
            break;
        case PT_GNU_STACK:
            ret_program->exec_stack = (phdr[i].p_flags & PF_X) != 0;
            break;
        default:
            break;
        }
    }
    if (err < 0 || ret_program->nsegments == 0 || header->e_entry >= user_top) {
        return -ENOEXEC;
    }
    const struct elf_segment *last = &ret_program->segments[ret_program->nsegments - 1];
    ret_program->start = ALIGN_DOWN(ret_program->segments[0].vaddr, PAGE_SIZE);
    ret_program->end = ALIGN_UP(last->vaddr + last->mem_bytes, PAGE_SIZE);
    ret_program->phdr_vaddr = find_phdrs(ret_program, header->e_phoff, size);
    return 0;
}
