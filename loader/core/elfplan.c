/*
 * The kernel's ELF file (System V ABI, chapters 4 and 5; AMD64 supplement 4.1). Headers are copied
 * out before they are read, so the file may lie at any alignment.
 */
#include "loader/core/elfplan.h"

#include <linux/elf.h>

#include "kernel/abi/boot.h"
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"

#define IMAGE_PAGE_SIZE 4096ull
#define MAX_HEADERS     64
#define MAX_ALIGN       MIB(2)

struct judge {
    const char *file;
    uint64_t size_bytes;
    Elf64_Ehdr header;
    struct elfplan *plan;
    unsigned number[ELFPLAN_MAX_SEGMENTS]; /* of each segment, in the program header table */
    char *reason;
    size_t reason_size;
};

static int __printf(2, 3) refuse(struct judge *judge, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    (void)kvsnprintf(judge->reason, judge->reason_size, fmt, args);
    va_end(args);
    return -ENOEXEC;
}

static int judge_header(struct judge *judge)
{
    const Elf64_Ehdr *header = &judge->header;

    if (judge->size_bytes < sizeof(*header)) {
        return refuse(judge, "only %llu bytes long, too short for an ELF file",
                      (unsigned long long)judge->size_bytes);
    }
    memcpy(&judge->header, judge->file, sizeof(*header));
    if (memcmp(header->e_ident, ELFMAG, SELFMAG) != 0) {
        return refuse(judge, "not an ELF file");
    }
    if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_ident[EI_DATA] != ELFDATA2LSB ||
        header->e_machine != EM_X86_64) {
        return refuse(judge, "not an ELF file for x86-64");
    }
    if (header->e_ident[EI_VERSION] != EV_CURRENT || header->e_version != EV_CURRENT) {
        return refuse(judge, "unknown ELF version %u", header->e_version);
    }
    if (header->e_type != ET_DYN) {
        return refuse(judge, "not position-independent (ELF type %u)", header->e_type);
    }
    if (header->e_phentsize != sizeof(Elf64_Phdr) || header->e_phnum == 0 ||
        header->e_phnum > MAX_HEADERS) {
        return refuse(judge, "program header table of %u entries of %u bytes", header->e_phnum,
                      header->e_phentsize);
    }
    if (header->e_phoff > judge->size_bytes ||
        header->e_phnum * sizeof(Elf64_Phdr) > judge->size_bytes - header->e_phoff) {
        return refuse(judge, "program headers lie beyond the end of the file");
    }
    return 0;
}

static void program_header(const struct judge *judge, unsigned number, Elf64_Phdr *ret_header)
{
    memcpy(ret_header, judge->file + judge->header.e_phoff + number * sizeof(*ret_header),
           sizeof(*ret_header));
}

/* One PT_LOAD by itself. */
static int judge_segment(struct judge *judge, unsigned number, const Elf64_Phdr *ph)
{
    if (ph->p_offset > judge->size_bytes || ph->p_filesz > judge->size_bytes - ph->p_offset) {
        return refuse(judge, "segment %u lies beyond the end of the file (truncated?)", number);
    }
    if (ph->p_filesz > ph->p_memsz) {
        return refuse(judge, "segment %u is larger in the file than in memory", number);
    }
    if (ph->p_vaddr < BOOT_IMAGE || ph->p_vaddr - BOOT_IMAGE > BOOT_IMAGE_SIZE ||
        ph->p_memsz > BOOT_IMAGE_SIZE - (ph->p_vaddr - BOOT_IMAGE)) {
        return refuse(judge, "segment %u (%#llx, %llu bytes) is outside the kernel's address range",
                      number, (unsigned long long)ph->p_vaddr, (unsigned long long)ph->p_memsz);
    }
    if (ph->p_align > MAX_ALIGN || (ph->p_align & (ph->p_align - 1)) != 0) {
        return refuse(judge, "segment %u has the alignment %#llx", number,
                      (unsigned long long)ph->p_align);
    }
    if (ph->p_align > 1 && ((ph->p_vaddr - ph->p_offset) & (ph->p_align - 1)) != 0) {
        return refuse(judge, "segment %u is not aligned as it says", number);
    }
    if ((ph->p_flags & PF_W) != 0 && (ph->p_flags & PF_X) != 0) {
        return refuse(judge, "segment %u is writable and executable", number);
    }
    if (judge->plan->nsegments == ELFPLAN_MAX_SEGMENTS) {
        return refuse(judge, "more than %u segments", ELFPLAN_MAX_SEGMENTS);
    }
    return 0;
}

/*
 * One PT_LOAD against those before it; then it joins them, at its place in the order of addresses.
 */
static int add_segment(struct judge *judge, unsigned number, const Elf64_Phdr *ph)
{
    struct elfplan *plan = judge->plan;
    uint64_t start = ph->p_vaddr - BOOT_IMAGE;
    uint64_t end = start + ph->p_memsz;
    unsigned at = 0;

    for (unsigned i = 0; i < plan->nsegments; i++) {
        const struct elfplan_segment *other = &plan->segments[i];
        uint64_t other_end = other->image_offset + other->size_bytes;

        if (start < other_end && other->image_offset < end) {
            return refuse(judge, "segment %u overlaps segment %u", number, judge->number[i]);
        }
        if (ALIGN_DOWN(start, IMAGE_PAGE_SIZE) < ALIGN_UP(other_end, IMAGE_PAGE_SIZE) &&
            ALIGN_DOWN(other->image_offset, IMAGE_PAGE_SIZE) < ALIGN_UP(end, IMAGE_PAGE_SIZE)) {
            return refuse(judge, "segment %u shares a page with segment %u", number,
                          judge->number[i]);
        }
        at += other->image_offset < start;
    }
    for (unsigned i = plan->nsegments; i > at; i--) {
        plan->segments[i] = plan->segments[i - 1];
        judge->number[i] = judge->number[i - 1];
    }
    plan->segments[at] = (struct elfplan_segment){.image_offset = start,
                                                  .size_bytes = ph->p_memsz,
                                                  .file_offset = ph->p_offset,
                                                  .file_size_bytes = ph->p_filesz,
                                                  .flags = ph->p_flags & (PF_R | PF_W | PF_X)};
    judge->number[at] = number;
    plan->nsegments++;
    plan->align_bytes = MAX(plan->align_bytes, (uint64_t)ph->p_align);
    return 0;
}

/*
 * The segment that holds [vaddr, vaddr + len) in its bytes from the file; NULL: none. Before
 * make_relative().
 */
static const struct elfplan_segment *segment_holding(const struct elfplan *plan, uint64_t vaddr,
                                                     uint64_t len)
{
    uint64_t offset = vaddr - BOOT_IMAGE;

    for (unsigned i = 0; i < plan->nsegments; i++) {
        const struct elfplan_segment *segment = &plan->segments[i];
        if (vaddr >= BOOT_IMAGE && offset >= segment->image_offset &&
            offset - segment->image_offset < segment->file_size_bytes &&
            len <= segment->file_size_bytes - (offset - segment->image_offset)) {
            return segment;
        }
    }
    return NULL;
}

static int judge_special(struct judge *judge)
{
    struct elfplan *plan = judge->plan;
    const struct elfplan_segment *segment = segment_holding(plan, judge->header.e_entry, 1);

    if (segment == NULL || (segment->flags & ELFPLAN_EXEC) == 0) {
        return refuse(judge, "the entry point %#llx is not in an executable segment",
                      (unsigned long long)judge->header.e_entry);
    }
    plan->entry_offset = judge->header.e_entry - BOOT_IMAGE;
    for (unsigned number = 0; number < judge->header.e_phnum; number++) {
        Elf64_Phdr ph;

        program_header(judge, number, &ph);
        if (ph.p_type == PT_INTERP) {
            return refuse(judge, "asks for a dynamic linker: a program, not a kernel");
        }
        if (ph.p_type == PT_DYNAMIC) {
            if (segment_holding(plan, ph.p_vaddr, ph.p_filesz) == NULL) {
                return refuse(judge, "the dynamic section is not in a segment");
            }
            plan->dynamic_offset = ph.p_vaddr - BOOT_IMAGE;
            plan->dynamic_size_bytes = ph.p_filesz;
        }
    }
    return 0;
}

/* Offsets were taken from BOOT_IMAGE; from now on they count from the first segment's page. */
static void make_relative(struct elfplan *plan)
{
    const struct elfplan_segment *last = &plan->segments[plan->nsegments - 1];
    uint64_t first = ALIGN_DOWN(plan->segments[0].image_offset, IMAGE_PAGE_SIZE);

    plan->link_base = BOOT_IMAGE + first;
    plan->size_bytes = ALIGN_UP(last->image_offset + last->size_bytes, IMAGE_PAGE_SIZE) - first;
    plan->entry_offset -= first;
    plan->dynamic_offset -= plan->dynamic_size_bytes == 0 ? 0 : first;
    for (unsigned i = 0; i < plan->nsegments; i++) {
        plan->segments[i].image_offset -= first;
    }
}

int elfplan_make(const void *file, size_t size_bytes, struct elfplan *ret_plan, char *reason,
                 size_t reason_size)
{
    struct elfplan plan = {.align_bytes = IMAGE_PAGE_SIZE};
    struct judge judge = {.file = file,
                          .size_bytes = size_bytes,
                          .plan = &plan,
                          .reason = reason,
                          .reason_size = reason_size};
    int err = judge_header(&judge);

    for (unsigned number = 0; err == 0 && number < judge.header.e_phnum; number++) {
        Elf64_Phdr ph;

        program_header(&judge, number, &ph);
        if (ph.p_type == PT_LOAD && ph.p_memsz > 0) {
            err = judge_segment(&judge, number, &ph);
            err = err < 0 ? err : add_segment(&judge, number, &ph);
        }
    }
    if (err == 0 && plan.nsegments == 0) {
        err = refuse(&judge, "no segment to load");
    }
    err = err < 0 ? err : judge_special(&judge);
    if (err < 0) {
        return err;
    }
    make_relative(&plan);
    *ret_plan = plan;
    return 0;
}

void elfplan_load(const struct elfplan *plan, const void *file, void *image)
{
    char *dst = image;
    uint64_t done = 0;

    for (unsigned i = 0; i < plan->nsegments; i++) {
        const struct elfplan_segment *segment = &plan->segments[i];

        memset(dst + done, 0, segment->image_offset - done);
        memcpy(dst + segment->image_offset, (const char *)file + segment->file_offset,
               segment->file_size_bytes);
        done = segment->image_offset + segment->file_size_bytes;
    }
    memset(dst + done, 0, plan->size_bytes - done);
}
