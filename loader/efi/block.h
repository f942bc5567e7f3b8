/*
 * The block that the kernel is handed: the handoff struct and everything it points at that is not a
 * file, in one piece of memory.
 */
#pragma once

#include "kernel/abi/boot.h"
#include "loader/core/memmap.h"
#include "loader/efi/image.h"
#include "loader/efi/memory.h"

#define BLOCK_STACK_BYTES 32768

struct block {
    struct boot_handoff *handoff;
    char *cmdline;
    struct boot_mem *mem;
    size_t max_mem;
    struct memmap_event *events; /* scratch of block_map() */
    size_t max_events;
    struct memory_raw_map raw;
    paddr_t stack_top;
};

/*
 * Large enough for the firmware's memory map as it is now and some more. The handoff is all zero
 * but for the command line.
 */
EFI_STATUS block_create(const char *cmdline, struct block *ret_block);

/*
 * Turn block->raw into block->mem and the handoff's map, with the claims of the image and the
 * initramfs (0 bytes: none). Silent; negative errno when the firmware's map makes no sense. Calls
 * no firmware.
 */
int block_map(struct block *block, const struct image *image, paddr_t initramfs,
              uint64_t initramfs_size_bytes);
