/*
 * The memory map: claims become events (a type starts, a type ends), events are sorted by address,
 * and one sweep with a counter per type says which type is the most careful one in force between
 * two addresses. O(n log n), and no special case for any way in which two claims can overlap.
 *
 * EFI memory types (UEFI 2.10, table 7.6) and what the kernel may do with them after
 * ExitBootServices (table 7.10):
 *
 *    0 reserved            reserved          8 unusable          bad
 *    1 loader code         loader            9 ACPI reclaim      ACPI reclaim
 *    2 loader data         loader           10 ACPI NVS          ACPI NVS
 *    3 boot services code  usable           11 MMIO              MMIO
 *    4 boot services data  usable           12 MMIO port space   MMIO
 *    5 runtime code        EFI runtime      13 PAL code          reserved
 *    6 runtime data        EFI runtime      14 persistent        persistent
 *    7 conventional        usable           15 unaccepted        reserved
 */
#include "loader/core/memmap.h"

#include "kernel/base/errno.h"
#include "kernel/base/sort.h"
#include "kernel/base/string.h"

#define MAP_PAGE_SIZE 4096ull

/*
 * EFI_MEMORY_DESCRIPTOR (UEFI 2.10, 7.2.3). Firmware may append members: step by its descriptor
 * size.
 */
struct efi_descriptor {
    uint32_t type;
    uint32_t pad;
    uint64_t physical_start;
    uint64_t virtual_start;
    uint64_t number_of_pages;
    uint64_t attribute;
};
_Static_assert(sizeof(struct efi_descriptor) == 40, "UEFI 2.10, 7.2.3");

#define EFI_ATTRIBUTE_WB 0x8ull     /* can be cached write-back */
#define EFI_ATTRIBUTE_SP 0x40000ull /* specific-purpose memory: for a driver, not for everybody */

static const uint8_t efi_to_boot[] = {
    BOOT_MEM_RESERVED, BOOT_MEM_LOADER,       BOOT_MEM_LOADER,      BOOT_MEM_USABLE,
    BOOT_MEM_USABLE,   BOOT_MEM_EFI_RUNTIME,  BOOT_MEM_EFI_RUNTIME, BOOT_MEM_USABLE,
    BOOT_MEM_BAD,      BOOT_MEM_ACPI_RECLAIM, BOOT_MEM_ACPI_NVS,    BOOT_MEM_MMIO,
    BOOT_MEM_MMIO,     BOOT_MEM_RESERVED,     BOOT_MEM_PERSISTENT,  BOOT_MEM_RESERVED,
};

/* Types from the most to the least careful. */
static const uint8_t precedence[] = {
    BOOT_MEM_BAD,    BOOT_MEM_RESERVED,     BOOT_MEM_EFI_RUNTIME, BOOT_MEM_ACPI_NVS,
    BOOT_MEM_MMIO,   BOOT_MEM_PERSISTENT,   BOOT_MEM_KERNEL,      BOOT_MEM_INITRAMFS,
    BOOT_MEM_LOADER, BOOT_MEM_ACPI_RECLAIM, BOOT_MEM_USABLE,
};
_Static_assert(ARRAY_SIZE(precedence) == BOOT_MEM_NTYPES - 1, "every type has its place");

void memmap_init(struct memmap *map, struct memmap_event *events, size_t max_events)
{
    map->events = events;
    map->nevents = 0;
    map->max_events = max_events;
}

int memmap_add(struct memmap *map, uint64_t base, uint64_t length_bytes, uint32_t type,
               uint32_t efi_type)
{
    uint64_t end;

    if (type == 0 || type >= BOOT_MEM_NTYPES) {
        return -EINVAL;
    }
    if (base >= BOOT_DIRECT_MAP_SIZE || length_bytes == 0) {
        return 0;
    }
    end = length_bytes > BOOT_DIRECT_MAP_SIZE - base ? BOOT_DIRECT_MAP_SIZE : base + length_bytes;
    if (type == BOOT_MEM_USABLE) {
        base = ALIGN_UP(base, MAP_PAGE_SIZE);
        end = ALIGN_DOWN(end, MAP_PAGE_SIZE);
    } else {
        base = ALIGN_DOWN(base, MAP_PAGE_SIZE);
        end = ALIGN_UP(end, MAP_PAGE_SIZE);
    }
    if (base >= end) {
        return 0;
    }
    if (map->max_events - map->nevents < 2) {
        return -ENOSPC;
    }
    map->events[map->nevents++] = (struct memmap_event){
        .addr = base, .efi_type = efi_type, .type = (uint16_t)type, .is_start = 1};
    map->events[map->nevents++] = (struct memmap_event){
        .addr = end, .efi_type = efi_type, .type = (uint16_t)type, .is_start = 0};
    return 0;
}

static uint32_t efi_boot_type(const struct efi_descriptor *desc)
{
    uint32_t type =
        desc->type < ARRAY_SIZE(efi_to_boot) ? efi_to_boot[desc->type] : BOOT_MEM_RESERVED;

    /* RAM that cannot be cached, or is meant for one device, is not for the allocator. */
    if (type == BOOT_MEM_USABLE &&
        ((desc->attribute & EFI_ATTRIBUTE_WB) == 0 || (desc->attribute & EFI_ATTRIBUTE_SP) != 0)) {
        type = BOOT_MEM_RESERVED;
    }
    return type;
}

int memmap_add_efi(struct memmap *map, const void *descriptors, size_t size_bytes,
                   size_t descriptor_size_bytes)
{
    struct efi_descriptor desc;
    int err;

    if (descriptor_size_bytes < sizeof(desc) || size_bytes % descriptor_size_bytes != 0) {
        return -EINVAL;
    }
    for (size_t at = 0; at < size_bytes; at += descriptor_size_bytes) {
        memcpy(&desc, (const char *)descriptors + at, sizeof(desc));
        if (desc.number_of_pages > BOOT_DIRECT_MAP_SIZE / MAP_PAGE_SIZE) {
            desc.number_of_pages = BOOT_DIRECT_MAP_SIZE / MAP_PAGE_SIZE;
        }
        err = memmap_add(map, desc.physical_start, desc.number_of_pages * MAP_PAGE_SIZE,
                         efi_boot_type(&desc), desc.type);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

static int event_compare(const void *left, const void *right)
{
    const struct memmap_event *a = left;
    const struct memmap_event *b = right;

    return a->addr < b->addr ? -1 : a->addr > b->addr;
}

/* Append [base, end) or let the last entry grow. */
static int entry_append(struct boot_mem *entries, size_t max, size_t *count, uint64_t base,
                        uint64_t end, uint32_t type, uint32_t efi_type)
{
    struct boot_mem *last = *count == 0 ? NULL : &entries[*count - 1];

    if (last != NULL && last->type == type && last->base + last->length_bytes == base) {
        last->length_bytes += end - base;
        if (last->efi_type != efi_type) {
            last->efi_type = MEMMAP_NO_EFI_TYPE;
        }
        return 0;
    }
    if (*count == max) {
        return -ENOSPC;
    }
    entries[(*count)++] = (struct boot_mem){
        .base = base, .length_bytes = end - base, .type = type, .efi_type = efi_type};
    return 0;
}

int memmap_resolve(struct memmap *map, struct boot_mem *entries, size_t max, size_t *ret_count)
{
    uint32_t active[BOOT_MEM_NTYPES] = {0};
    uint32_t efi_type[BOOT_MEM_NTYPES] = {0};
    uint64_t from = 0;
    size_t count = 0;

    sort_array(map->events, map->nevents, sizeof(map->events[0]), event_compare);
    for (size_t i = 0; i < map->nevents; i++) {
        const struct memmap_event *event = &map->events[i];
        for (size_t p = 0; event->addr > from && p < ARRAY_SIZE(precedence); p++) {
            uint32_t type = precedence[p];
            if (active[type] != 0) {
                int err =
                    entry_append(entries, max, &count, from, event->addr, type, efi_type[type]);
                if (err < 0) {
                    return err;
                }
                break;
            }
        }
        from = event->addr;
        /* Ends and starts at one address may come in any order: nothing is written between them. */
        active[event->type] += event->is_start ? 1u : -1u;
        if (event->is_start) {
            efi_type[event->type] = event->efi_type;
        }
    }
    *ret_count = count;
    return 0;
}

uint64_t memmap_type_bytes(const struct boot_mem *entries, size_t count, uint32_t type)
{
    uint64_t total = 0;

    for (size_t i = 0; i < count; i++) {
        if (entries[i].type == type) {
            total += entries[i].length_bytes;
        }
    }
    return total;
}

uint64_t memmap_ram_bytes(const struct boot_mem *entries, size_t count)
{
    return memmap_type_bytes(entries, count, BOOT_MEM_USABLE) +
           memmap_type_bytes(entries, count, BOOT_MEM_ACPI_RECLAIM) +
           memmap_type_bytes(entries, count, BOOT_MEM_ACPI_NVS) +
           memmap_type_bytes(entries, count, BOOT_MEM_LOADER) +
           memmap_type_bytes(entries, count, BOOT_MEM_KERNEL) +
           memmap_type_bytes(entries, count, BOOT_MEM_INITRAMFS) +
           memmap_type_bytes(entries, count, BOOT_MEM_EFI_RUNTIME);
}
