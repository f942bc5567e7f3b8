/*
 * The handoff block: struct, command line, memory map, the firmware's own map, stack; each part
 * starts on a 16-byte boundary.
 */
#include "loader/efi/block.h"

#include "kernel/base/string.h"
#include "loader/efi/console.h"

#define OWN_CLAIMS 2 /* image and initramfs */

/* Cut `size` bytes off the free part of the block. */
static void *cut(char **at, size_t size)
{
    void *part = *at;

    *at += ALIGN_UP(size, (size_t)16);
    return part;
}

EFI_STATUS block_create(const char *cmdline, struct block *ret_block)
{
    struct block block = {0};
    size_t cmdline_size = strlen(cmdline) + 1;
    size_t total;
    paddr_t addr;
    char *at;
    EFI_STATUS status =
        memory_map_capacity(&block.raw.capacity_bytes, &block.raw.descriptor_size_bytes);

    if (EFI_ERROR(status)) {
        return status;
    }
    block.max_events =
        MEMMAP_EVENTS(block.raw.capacity_bytes / block.raw.descriptor_size_bytes + OWN_CLAIMS);
    block.max_mem = block.max_events;
    total = BLOCK_STACK_BYTES + sizeof(*block.handoff) + cmdline_size +
            block.max_mem * sizeof(*block.mem) + block.max_events * sizeof(*block.events) +
            block.raw.capacity_bytes + 6 * 16;
    status = memory_alloc("boot handoff", total, 1, MEMORY_ANYWHERE, &addr);
    if (EFI_ERROR(status)) {
        return status;
    }
    at = (char *)(uintptr_t)addr;
    memset(at, 0, total);
    (void)cut(&at,
              BLOCK_STACK_BYTES); /* lowest: an overflow leaves the block instead of eating it */
    block.stack_top = (paddr_t)(uintptr_t)at;
    block.handoff = cut(&at, sizeof(*block.handoff));
    block.cmdline = cut(&at, cmdline_size);
    block.mem = cut(&at, block.max_mem * sizeof(*block.mem));
    block.events = cut(&at, block.max_events * sizeof(*block.events));
    block.raw.descriptors = cut(&at, block.raw.capacity_bytes);
    memcpy(block.cmdline, cmdline, cmdline_size);
    block.handoff->cmdline = (paddr_t)(uintptr_t)block.cmdline;
    block.handoff->cmdline_size_bytes = cmdline_size;
    *ret_block = block;
    return EFI_SUCCESS;
}

int block_map(struct block *block, const struct image *image, paddr_t initramfs,
              uint64_t initramfs_size_bytes)
{
    struct boot_handoff *handoff = block->handoff;
    struct memmap map;
    size_t nmem;
    int err;

    memmap_init(&map, block->events, block->max_events);
    err = memmap_add_efi(&map, block->raw.descriptors, block->raw.size_bytes,
                         block->raw.descriptor_size_bytes);
    if (err == 0) {
        err = memmap_add(&map, image->phys, image->plan.size_bytes, BOOT_MEM_KERNEL,
                         MEMMAP_NO_EFI_TYPE);
    }
    if (err == 0) {
        err = memmap_add(&map, initramfs, initramfs_size_bytes, BOOT_MEM_INITRAMFS,
                         MEMMAP_NO_EFI_TYPE);
    }
    if (err == 0) {
        err = memmap_resolve(&map, block->mem, block->max_mem, &nmem);
    }
    if (err < 0) {
        return err;
    }
    handoff->mem = (paddr_t)(uintptr_t)block->mem;
    handoff->nmem = nmem;
    handoff->efi_memory_map = (paddr_t)(uintptr_t)block->raw.descriptors;
    handoff->efi_memory_map_size_bytes = block->raw.size_bytes;
    handoff->efi_descriptor_size_bytes = block->raw.descriptor_size_bytes;
    return 0;
}
