/*
 * The files that execve is given: ELF headers and "#!" lines (kernel/proc/elf.h, script.h). Whatever the bytes, what comes out
 * must be safe to map: inside user space, ascending, congruent to the file.
 */
#include <arch/page.h>

#include "kernel/base/string.h"
#include "kernel/proc/elf.h"
#include "kernel/proc/script.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

uint64_t machine_user_top = USER_WINDOW;

static void require(bool cond)
{
    if (!cond) {
        __builtin_trap();
    }
}

static void check_program(const struct elf_program *program)
{
    uint64_t last_end = 0;

    require(program->nsegments >= 1 && program->nsegments <= ELF_MAX_SEGMENTS);
    require(program->start < program->end && program->end <= ALIGN_UP(USER_TOP, PAGE_SIZE));
    require(program->entry < USER_TOP);
    require(program->align >= PAGE_SIZE && (program->align & (program->align - 1)) == 0);
    for (unsigned i = 0; i < program->nsegments; i++) {
        const struct elf_segment *segment = &program->segments[i];
        require(segment->vaddr >= last_end && segment->mem_bytes > 0);
        require(segment->mem_bytes <= USER_TOP && segment->vaddr <= USER_TOP - segment->mem_bytes);
        require(segment->file_bytes <= segment->mem_bytes);
        require(segment->file_bytes == 0 ||
                segment->vaddr % PAGE_SIZE == segment->offset % PAGE_SIZE);
        require(segment->offset + segment->file_bytes >= segment->offset);
        last_end = segment->vaddr + segment->mem_bytes;
    }
    require(program->phdr_vaddr < USER_TOP);
    require(program->interp_bytes <= ELF_INTERP_MAX);
}

static void try_elf(const uint8_t *data, size_t size)
{
    Elf64_Ehdr header;
    Elf64_Phdr phdrs[ELF_MAX_PHDRS];
    struct elf_program program;
    uint64_t offset;
    size_t bytes;

    if (elf_check_header(data, size, &offset, &bytes) < 0) {
        return;
    }
    require(bytes <= sizeof(phdrs) && bytes > 0);
    if (offset > size || bytes > size - offset) {
        return;
    }
    memcpy(&header, data, sizeof(header));
    memcpy(phdrs, data + offset, bytes);
    if (elf_parse(&header, phdrs, bytes, USER_TOP, &program) == 0) {
        check_program(&program);
    }
}

static void try_script(const uint8_t *data, size_t size)
{
    char line[SCRIPT_LINE_MAX + 1];
    const char *interpreter, *arg;

    if (script_parse(data, size, line, &interpreter, &arg) == 0) {
        require(interpreter[0] != '\0' && interpreter >= line && interpreter < line + sizeof(line));
        require(strlen(interpreter) < SCRIPT_LINE_MAX);
        require(arg == NULL || (arg[0] != '\0' && arg > interpreter && arg < line + sizeof(line)));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t headers[2048] = {0};

    try_elf(data, size);
    try_script(data, size);
    /* With a good file header the fuzzer reaches the program headers at once. */
    const Elf64_Ehdr header = {.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB},
                               .e_type = ET_DYN,
                               .e_machine = EM_X86_64,
                               .e_phoff = sizeof(Elf64_Ehdr),
                               .e_phentsize = sizeof(Elf64_Phdr),
                               .e_phnum = 6};
    memcpy(headers, &header, sizeof(header));
    memcpy(headers + sizeof(header), data, MIN(size, sizeof(headers) - sizeof(header)));
    try_elf(headers, sizeof(headers));
    return 0;
}
