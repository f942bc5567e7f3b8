/*
 * A core dump as a file: ELF of type ET_CORE (System V ABI, "Object Files"; core(5)).
 *
 *     ELF header | program headers: PT_NOTE, then one PT_LOAD for each region | notes | to a page boundary | memory, region by region
 *
 * With PN_XNUM or more program headers their number is in the first section header, which comes right behind them (gABI, "Number of
 * program headers"). It is written from front to back; a page that was never touched is skipped, and reads as zeros.
 */
#include <linux/elf.h>

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/coredump.h"

#define NOTES_AT_FIRST 4096u
#define NOTE_ALIGN     4u

struct layout {
    uint64_t nphdrs;
    uint64_t notes_at, memory_at;
    bool extended; /* there is a section header */
};

static struct layout layout_of(const struct coredump_image *image)
{
    struct layout layout = {.nphdrs = image->nsegments + 1};
    uint64_t at = sizeof(Elf64_Ehdr) + layout.nphdrs * sizeof(Elf64_Phdr);

    layout.extended = layout.nphdrs >= PN_XNUM;
    layout.notes_at = at + (layout.extended ? sizeof(Elf64_Shdr) : 0);
    layout.memory_at = ALIGN_UP(layout.notes_at + image->notes_bytes, PAGE_SIZE);
    return layout;
}

static int write_header(const struct layout *layout, struct coredump_sink *sink)
{
    Elf64_Ehdr header = {
        .e_ident = {ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, EV_CURRENT,
                    ELFOSABI_NONE},
        .e_type = ET_CORE,
        .e_machine = EM_X86_64,
        .e_version = EV_CURRENT,
        .e_phoff = sizeof(Elf64_Ehdr),
        .e_ehsize = sizeof(Elf64_Ehdr),
        .e_phentsize = sizeof(Elf64_Phdr),
        .e_phnum = (uint16_t)(layout->extended ? PN_XNUM : layout->nphdrs),
    };

    if (layout->extended) {
        header.e_shoff = layout->notes_at - sizeof(Elf64_Shdr);
        header.e_shentsize = sizeof(Elf64_Shdr);
        header.e_shnum = 1;
    }
    return sink->write(sink, &header, sizeof(header));
}

static int write_program_headers(const struct coredump_image *image, const struct layout *layout,
                                 struct coredump_sink *sink)
{
    uint64_t at = layout->memory_at;
    Elf64_Phdr phdr = {
        .p_type = PT_NOTE, .p_offset = layout->notes_at, .p_filesz = image->notes_bytes};
    int err = sink->write(sink, &phdr, sizeof(phdr));

    for (size_t i = 0; err == 0 && i < image->nsegments; i++) {
        const struct coredump_segment *segment = &image->segments[i];
        phdr = (Elf64_Phdr){.p_type = PT_LOAD,
                            .p_flags = segment->flags,
                            .p_offset = at,
                            .p_vaddr = segment->start,
                            .p_filesz = segment->dump_bytes,
                            .p_memsz = segment->end - segment->start,
                            .p_align = PAGE_SIZE};
        at += segment->dump_bytes;
        err = sink->write(sink, &phdr, sizeof(phdr));
    }
    if (err == 0 && layout->extended) {
        const Elf64_Shdr section = {.sh_info = (uint32_t)layout->nphdrs};
        err = sink->write(sink, &section, sizeof(section));
    }
    return err;
}

static int write_memory(const struct coredump_image *image, struct coredump_sink *sink)
{
    void *page = kmalloc(PAGE_SIZE);
    int err = page == NULL ? -ENOMEM : 0;

    for (size_t i = 0; err == 0 && i < image->nsegments; i++) {
        const struct coredump_segment *segment = &image->segments[i];
        if (segment->empty) {
            err = segment->dump_bytes > 0 ? sink->skip(sink, segment->dump_bytes) : 0;
            continue;
        }
        for (uint64_t done = 0; err == 0 && done < segment->dump_bytes; done += PAGE_SIZE) {
            if (image->interrupted(image->context)) {
                err = -EINTR;
            } else if (image->page(image->context, segment, segment->start + done, page)) {
                err = sink->write(sink, page, PAGE_SIZE);
            } else {
                err = sink->skip(sink, PAGE_SIZE);
            }
        }
    }
    kfree(page);
    return err;
}

int coredump_write(const struct coredump_image *image, struct coredump_sink *sink)
{
    const struct layout layout = layout_of(image);
    uint64_t gap = layout.memory_at - layout.notes_at - image->notes_bytes;
    int err = write_header(&layout, sink);

    if (err == 0) {
        err = write_program_headers(image, &layout, sink);
    }
    if (err == 0) {
        err = sink->write(sink, image->notes, image->notes_bytes);
    }
    if (err == 0 && gap > 0) {
        err = sink->skip(sink, gap);
    }
    return err < 0 ? err : write_memory(image, sink);
}

/* ---- notes ---- */

static bool notes_grow(struct coredump_notes *notes, size_t len)
{
    size_t size = MAX(notes->size * 2, (size_t)NOTES_AT_FIRST);

    while (size - notes->len < len) {
        size *= 2;
    }
    uint8_t *data = vmalloc(size);
    if (data == NULL) {
        notes->err = -ENOMEM;
        return false;
    }
    if (notes->len > 0) {
        memcpy(data, notes->data, notes->len);
    }
    vfree(notes->data);
    notes->data = data;
    notes->size = size;
    return true;
}

void *coredump_note(struct coredump_notes *notes, const char *name, uint32_t type,
                    size_t desc_bytes)
{
    size_t name_bytes = strlen(name) + 1;
    size_t len =
        sizeof(Elf64_Nhdr) + ALIGN_UP(name_bytes, NOTE_ALIGN) + ALIGN_UP(desc_bytes, NOTE_ALIGN);
    const Elf64_Nhdr header = {
        .n_namesz = (uint32_t)name_bytes, .n_descsz = (uint32_t)desc_bytes, .n_type = type};

    if (notes->err < 0 || (notes->size - notes->len < len && !notes_grow(notes, len))) {
        return NULL;
    }
    uint8_t *at = notes->data + notes->len;
    memset(at, 0, len);
    memcpy(at, &header, sizeof(header));
    memcpy(at + sizeof(header), name, name_bytes);
    notes->len += len;
    return at + sizeof(header) + ALIGN_UP(name_bytes, NOTE_ALIGN);
}
