/*
 * The kernel's address space, built while the firmware still gives memory.
 */
#pragma once

#include "loader/efi/block.h"
#include "loader/efi/image.h"

/*
 * Build the tables that kernel/abi/boot.h promises: the direct map after block->handoff's memory
 * map, the image's segments with their rights, and `jump_page` at its physical address. *ret_root
 * lies below 4 GiB.
 */
EFI_STATUS paging_build(const struct block *block, const struct image *image,
                        const struct boot_framebuffer *framebuffer, paddr_t jump_page, bool la57,
                        paddr_t *ret_root);
