/*
 * How to load the kernel: its ELF file checked, and what goes where.
 *
 * Interface: elfplan_make() judges the file, elfplan_load() copies its segments into place. Nothing
 * in the file is believed: after elfplan_make() every offset of the plan lies inside the file and
 * inside the image.
 */
#pragma once

#include "kernel/base/types.h"

#define ELFPLAN_MAX_SEGMENTS 16

#define ELFPLAN_EXEC  0x1u /* PF_X, PF_W, PF_R of the ELF specification */
#define ELFPLAN_WRITE 0x2u
#define ELFPLAN_READ  0x4u

struct elfplan_segment {
    uint64_t image_offset; /* of the first byte, from the image's start */
    uint64_t size_bytes;   /* in memory */
    uint64_t file_offset;
    uint64_t file_size_bytes; /* the rest is zero */
    uint32_t flags;           /* ELFPLAN_* */
};

struct elfplan {
    uint64_t link_base;      /* virtual address of the image's first byte as linked, page aligned */
    uint64_t size_bytes;     /* image with all holes, whole pages */
    uint64_t align_bytes;    /* that the image's address needs */
    uint64_t entry_offset;   /* of the entry point, from the image's start */
    uint64_t dynamic_offset; /* of the dynamic section, from the image's start */
    uint64_t dynamic_size_bytes; /* 0: none */
    unsigned nsegments;
    struct elfplan_segment
        segments[ELFPLAN_MAX_SEGMENTS]; /* in ascending order, on pages of their own */
};

/*
 * Judge an ELF file: x86-64, position independent, every segment inside the file and inside
 * BOOT_IMAGE's range, none that overlaps another or shares a page with it, none writable and
 * executable, the entry point in an executable one. Segments are called by their number in the
 * program header table. -ENOEXEC: `reason` has the sentence: segment 2 overlaps segment 1.
 */
int elfplan_make(const void *file, size_t size_bytes, struct elfplan *ret_plan, char *reason,
                 size_t reason_size);

/* Copy the segments to `image` (plan->size_bytes, page aligned) and zero everything else. */
void elfplan_load(const struct elfplan *plan, const void *file, void *image);
