/*
 * What execve needs to know of an ELF file, from its bytes alone (System V ABI, "Object Files"; x86-64 psABI 4.1).
 *
 * Pure: no memory is allocated, no file read. The bytes are hostile; what comes out is safe to add up and to map.
 */
#pragma once

#include <linux/elf.h>

#include "kernel/base/types.h"

#define ELF_MAX_SEGMENTS 24 /* PT_LOAD */
#define ELF_MAX_PHDRS    128
#define ELF_INTERP_MAX   4096 /* PATH_MAX */
#define ELF_ALIGN_MAX    (1ull << 30)

struct elf_segment {
    uint64_t vaddr;      /* in memory, before the load bias */
    uint64_t mem_bytes;  /* > 0 */
    uint64_t file_bytes; /* <= mem_bytes; the rest is zero */
    uint64_t offset;     /* in the file; congruent to vaddr modulo the page size */
    bool read, write, exec;
};

struct elf_program {
    bool relocatable; /* ET_DYN: add a load bias of the caller's choice */
    bool exec_stack;  /* PT_GNU_STACK asks for it, or is absent */
    uint64_t entry;
    uint64_t phdr_vaddr;    /* where the program headers are in memory, 0: nowhere */
    uint64_t interp_offset; /* PT_INTERP's string in the file */
    uint64_t interp_bytes;  /* with its NUL; 0: none */
    uint64_t start, end;    /* page aligned extent of all segments, before the bias */
    uint64_t align;         /* of the load bias: a power of two, at least a page */
    unsigned nphdrs;
    unsigned nsegments; /* >= 1, ascending, no two share a byte */
    struct elf_segment segments[ELF_MAX_SEGMENTS];
};

/*
 * The file header: is this a 64-bit x86-64 program? Says where the program headers are and how many bytes they take.
 * -ENOEXEC: not one that can be run.
 */
int elf_check_header(const void *bytes, size_t len_bytes, uint64_t *ret_offset, size_t *ret_size);
/* The program headers, `size` bytes as elf_check_header() said, aligned to 8. -ENOEXEC: nonsense, or nothing to load. */
int elf_parse(const Elf64_Ehdr *header, const void *phdrs, size_t size, uint64_t user_top,
              struct elf_program *ret_program);
