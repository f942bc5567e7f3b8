/*
 * The memory map of the handoff, made from whatever firmware and loader claim.
 *
 * Interface: memmap_init(), any number of memmap_add() and memmap_add_efi() in any order,
 * overlapping as they please, then memmap_resolve() writes the map as kernel/abi/boot.h promises
 * it: sorted, page aligned, without overlaps, neighbours merged. No allocation: the caller brings
 * the arrays. No locks: one CPU boots.
 */
#pragma once

#include "kernel/abi/boot.h"
#include "kernel/base/types.h"

#define MEMMAP_NO_EFI_TYPE 0xffffffffu

/* One end of a claim. */
struct memmap_event {
    uint64_t addr;
    uint32_t efi_type;
    uint16_t type; /* enum boot_mem_type */
    uint16_t is_start;
};

struct memmap {
    struct memmap_event *events;
    size_t nevents;
    size_t max_events;
};

/* Events needed for n claims; memmap_resolve() gives at most that many entries. */
#define MEMMAP_EVENTS(nclaims) (2 * (size_t)(nclaims))

void memmap_init(struct memmap *map, struct memmap_event *events, size_t max_events);

/*
 * Claim [base, base + length_bytes) for `type`. Usable memory shrinks to whole pages, everything
 * else grows to them. A claim without a whole page, or beyond the direct map, is dropped silently
 * (0). -EINVAL: unknown type. -ENOSPC: too many events.
 */
int memmap_add(struct memmap *map, uint64_t base, uint64_t length_bytes, uint32_t type,
               uint32_t efi_type);

/*
 * Claim what GetMemoryMap() returned (UEFI 2.10, 7.2.3). `descriptors` is hostile. -EINVAL:
 * descriptors too small or not whole; -ENOSPC.
 */
int memmap_add_efi(struct memmap *map, const void *descriptors, size_t size_bytes,
                   size_t descriptor_size_bytes);

/*
 * Write the final map. Where claims overlap the more careful one wins: bad, reserved, runtime, NVS,
 * MMIO, persistent, kernel, initramfs, loader, ACPI tables, usable. Sorts map->events. -ENOSPC:
 * more than `max` entries.
 */
int memmap_resolve(struct memmap *map, struct boot_mem *entries, size_t max, size_t *ret_count);

/*
 * Bytes of the entries that are RAM of any kind (not reserved, MMIO, bad), and of type `type`
 * alone.
 */
uint64_t memmap_ram_bytes(const struct boot_mem *entries, size_t count);
uint64_t memmap_type_bytes(const struct boot_mem *entries, size_t count, uint32_t type);
