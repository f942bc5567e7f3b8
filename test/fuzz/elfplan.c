/*
 * A hostile kernel file: judged, and when accepted loaded and relocated, as the loader does it.
 * With an even first byte the rest is the file; with an odd one it is a list of patches (offset
 * low, offset high, value) to a small good file, which come past the first checks.
 */
#include "loader/core/elfplan.h"

#include <linux/elf.h>

#include "kernel/abi/boot.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "loader/core/reloc.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_plan(const struct elfplan *plan, size_t size)
{
    uint64_t end = 0;
    bool entry_found = false;

    for (unsigned i = 0; i < plan->nsegments; i++) {
        const struct elfplan_segment *segment = &plan->segments[i];

        if (segment->image_offset / 4096 < DIV_ROUND_UP(end, 4096) ||
            segment->file_size_bytes > segment->size_bytes || segment->file_offset > size ||
            segment->file_size_bytes > size - segment->file_offset ||
            (segment->flags & (ELFPLAN_WRITE | ELFPLAN_EXEC)) == (ELFPLAN_WRITE | ELFPLAN_EXEC)) {
            __builtin_trap();
        }
        end = segment->image_offset + segment->size_bytes;
        entry_found |= plan->entry_offset >= segment->image_offset && plan->entry_offset < end &&
                       (segment->flags & ELFPLAN_EXEC) != 0;
    }
    if (end > plan->size_bytes || plan->size_bytes > BOOT_IMAGE_SIZE || !entry_found ||
        plan->link_base < BOOT_IMAGE || plan->link_base % 4096 != 0) {
        __builtin_trap();
    }
}

/* Text, read-only data with a dynamic section (DT_RELR and DT_RELA tables behind it), data. */
struct small_file {
    Elf64_Ehdr header;
    Elf64_Phdr ph[4];
    uint8_t pad[4096 - sizeof(Elf64_Ehdr) - 4 * sizeof(Elf64_Phdr)];
    uint8_t text[4096];
    Elf64_Dyn dynamic[16];
    Elf64_Rela rela[2];
    uint64_t relr[4];
    uint8_t rodata[4096 - 16 * sizeof(Elf64_Dyn) - 2 * sizeof(Elf64_Rela) - 4 * sizeof(uint64_t)];
    uint8_t data[4096];
};

static Elf64_Phdr segment(uint32_t type, uint32_t flags, uint64_t offset, uint64_t size)
{
    return (Elf64_Phdr){.p_type = type,
                        .p_flags = flags,
                        .p_offset = offset,
                        .p_vaddr = BOOT_IMAGE + offset - 4096,
                        .p_filesz = size,
                        .p_memsz = size,
                        .p_align = type == PT_LOAD ? 4096 : 8};
}

static Elf64_Dyn dynamic_entry(int64_t tag, uint64_t value)
{
    return (Elf64_Dyn){.d_tag = tag, .d_un.d_val = value};
}

#define DT_RELRSZ_  35 /* System V gABI, figure 5-10; not in linux/elf.h */
#define DT_RELR_    36
#define DT_RELRENT_ 37

static void make_small_file(struct small_file *file)
{
    uint64_t link = BOOT_IMAGE - 4096;

    memset(file, 0, sizeof(*file));
    file->header =
        (Elf64_Ehdr){.e_ident = {0x7f, 'E', 'L', 'F', ELFCLASS64, ELFDATA2LSB, EV_CURRENT},
                     .e_type = ET_DYN,
                     .e_machine = EM_X86_64,
                     .e_version = EV_CURRENT,
                     .e_entry = BOOT_IMAGE,
                     .e_phoff = sizeof(Elf64_Ehdr),
                     .e_phentsize = sizeof(Elf64_Phdr),
                     .e_phnum = 4};
    file->ph[0] = segment(PT_LOAD, PF_R | PF_X, offsetof(struct small_file, text), 4096);
    file->ph[1] = segment(PT_LOAD, PF_R, offsetof(struct small_file, dynamic), 4096);
    file->ph[2] = segment(PT_LOAD, PF_R | PF_W, offsetof(struct small_file, data), 4096);
    file->ph[3] =
        segment(PT_DYNAMIC, PF_R, offsetof(struct small_file, dynamic), sizeof(file->dynamic));
    file->dynamic[0] = dynamic_entry(DT_RELA, link + offsetof(struct small_file, rela));
    file->dynamic[1] = dynamic_entry(DT_RELASZ, sizeof(file->rela));
    file->dynamic[2] = dynamic_entry(DT_RELAENT, sizeof(file->rela[0]));
    file->dynamic[3] = dynamic_entry(DT_RELR_, link + offsetof(struct small_file, relr));
    file->dynamic[4] = dynamic_entry(DT_RELRSZ_, sizeof(file->relr));
    file->dynamic[5] = dynamic_entry(DT_RELRENT_, sizeof(file->relr[0]));
    file->rela[0] = (Elf64_Rela){link + offsetof(struct small_file, data), 8, BOOT_IMAGE};
    file->rela[1] = (Elf64_Rela){link + offsetof(struct small_file, data) + 8, 8, BOOT_IMAGE + 8};
    file->relr[0] = link + offsetof(struct small_file, data) + 64;
    file->relr[1] = 0x55;
    file->relr[2] = link + offsetof(struct small_file, data) + 1024;
    file->relr[3] = UINT64_MAX;
}

static void feed(const void *file, size_t size)
{
    static uint8_t image[1 << 20] __aligned(4096);
    struct elfplan plan;
    char reason[160] = "";
    const char *phrase = NULL;

    if (elfplan_make(file, size, &plan, reason, sizeof(reason)) < 0) {
        if (reason[0] == '\0') {
            __builtin_trap();
        }
        return;
    }
    check_plan(&plan, size);
    if (plan.size_bytes <= sizeof(image)) {
        struct reloc_image reloc = {.base = image,
                                    .size_bytes = plan.size_bytes,
                                    .link_base = plan.link_base,
                                    .dynamic_offset = plan.dynamic_offset,
                                    .dynamic_size_bytes = plan.dynamic_size_bytes};
        elfplan_load(&plan, file, image);
        if (reloc_apply(&reloc, MIB(2), &phrase) < 0 && phrase == NULL) {
            __builtin_trap();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct small_file file;

    if (size == 0 || (data[0] & 1) == 0) {
        feed(data + (size > 0), size - (size > 0));
        return 0;
    }
    make_small_file(&file);
    for (size_t at = 1; at + 3 <= size; at += 3) {
        ((uint8_t *)&file)[(data[at] | (size_t)data[at + 1] << 8) % sizeof(file)] = data[at + 2];
    }
    feed(&file, sizeof(file));
    return 0;
}
