/*
 * The kernel's image: from its file to its place in memory.
 */
#pragma once

#include "loader/core/elfplan.h"
#include "loader/efi/firmware.h"

struct image {
    struct elfplan plan;
    paddr_t phys;
    vaddr_t virt;   /* where it will run */
    uint64_t slide; /* virt - plan.link_base */
};

/*
 * Read, judge, load and relocate the kernel. `random` chooses the slide; `slide` false: as linked
 * (parameter nokaslr).
 */
EFI_STATUS image_load(const char *path, bool slide, uint64_t random, struct image *ret_image);
