/*
 * Relocation of the kernel image: adds the slide to every address that the linker left in it.
 *
 * The image is linked -pie with only relative relocations: DT_RELR (System V gABI, "Relative Relocation Table") and DT_RELA with
 * R_X86_64_RELATIVE (x86-64 psABI 4.4). Anything else is refused. Runs before the image is relocated, so nothing here may use an
 * address that is stored in data.
 */
#pragma once

#include "kernel/base/types.h"

struct reloc_image {
    uint8_t *base; /* the image's first byte in memory */
    uint64_t size_bytes;
    uint64_t link_base;          /* its virtual address as linked */
    uint64_t dynamic_offset;     /* of the dynamic section, from the image's start */
    uint64_t dynamic_size_bytes; /* 0: no relocations */
};

/*
 * Check all relocations, then apply them. The tables are hostile (they come from a file). On -ENOEXEC nothing has been changed
 * and *ret_reason is a static phrase: "relocation outside the image".
 */
int reloc_apply(const struct reloc_image *image, uint64_t slide, const char **ret_reason);
