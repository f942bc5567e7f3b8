/*
 * Memory from the firmware, and the end of its services.
 */
#pragma once

#include "loader/core/memmap.h"
#include "loader/efi/firmware.h"

#define MEMORY_PAGE_SIZE  4096ull
#define MEMORY_ANYWHERE   UINT64_MAX
#define MEMORY_BELOW_4GIB GIB(4)

/*
 * Whole pages of type EfiLoaderData for `what` (named in the sentence of a failure), aligned to
 * `align_bytes` (a power of two), ending at or below `below`. Kept in a list, so that a failed boot
 * gives everything back.
 */
EFI_STATUS memory_alloc(const char *what, uint64_t size_bytes, uint64_t align_bytes, paddr_t below,
                        paddr_t *ret_addr);
/* The same for code that will run: firmware may forbid to execute data. Below 4 GiB. */
EFI_STATUS memory_alloc_code(const char *what, uint64_t size_bytes, paddr_t *ret_addr);
/* Give one allocation back, or all. */
void memory_free(paddr_t addr);
void memory_free_all(void);

/* The firmware's memory map as it came from GetMemoryMap(). */
struct memory_raw_map {
    void *descriptors;
    UINTN capacity_bytes;
    UINTN size_bytes;
    UINTN descriptor_size_bytes;
    UINTN key;
};

/* Bytes that the map needs now, with room for what more allocations may add. */
EFI_STATUS memory_map_capacity(UINTN *ret_capacity_bytes, UINTN *ret_descriptor_size_bytes);
/* Read the map into map->descriptors. Silent. */
EFI_STATUS memory_map_read(struct memory_raw_map *map);

/*
 * Read the map a last time and leave boot services; afterwards only this loader's own memory and
 * code exist. A map that went stale between the two calls (UEFI 2.10, 7.4.6) is read again. On
 * failure boot services may be half gone: silent.
 */
EFI_STATUS memory_exit_boot_services(struct memory_raw_map *map);
