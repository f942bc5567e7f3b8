/*
 * Memory from the firmware (UEFI 2.10, 7.2), and ExitBootServices (7.4.6).
 */
#include "loader/efi/memory.h"

#include "loader/efi/console.h"

#define MAX_ALLOCATIONS   32
#define SPARE_DESCRIPTORS 64
#define EXIT_ATTEMPTS     16

static struct {
    paddr_t addr;
    uint64_t npages;
} allocations[MAX_ALLOCATIONS];
static unsigned nallocations;

static EFI_STATUS alloc_pages(const char *what, EFI_MEMORY_TYPE type, uint64_t size_bytes,
                              uint64_t align_bytes, paddr_t below, paddr_t *ret_addr)
{
    uint64_t npages = DIV_ROUND_UP(size_bytes, MEMORY_PAGE_SIZE);
    uint64_t extra = align_bytes <= MEMORY_PAGE_SIZE ? 0 : align_bytes / MEMORY_PAGE_SIZE - 1;
    EFI_PHYSICAL_ADDRESS raw = below - 1;
    EFI_STATUS status = EFI_OUT_OF_RESOURCES;
    paddr_t addr;
    uint64_t head;

    if (nallocations < MAX_ALLOCATIONS) {
        status = firmware_boot->AllocatePages(below == MEMORY_ANYWHERE ? AllocateAnyPages
                                                                       : AllocateMaxAddress,
                                              type, npages + extra, &raw);
    }
    if (EFI_ERROR(status)) {
        return console_fail(status, "%s: no memory for its %llu KiB", what,
                            (unsigned long long)(npages * MEMORY_PAGE_SIZE / 1024));
    }
    addr = ALIGN_UP(raw, MAX(align_bytes, MEMORY_PAGE_SIZE));
    head = (addr - raw) / MEMORY_PAGE_SIZE;
    if (head > 0) {
        (void)firmware_boot->FreePages(raw, head);
    }
    if (extra > head) {
        (void)firmware_boot->FreePages(addr + npages * MEMORY_PAGE_SIZE, extra - head);
    }
    allocations[nallocations].addr = addr;
    allocations[nallocations++].npages = npages;
    *ret_addr = addr;
    return EFI_SUCCESS;
}

EFI_STATUS memory_alloc(const char *what, uint64_t size_bytes, uint64_t align_bytes, paddr_t below,
                        paddr_t *ret_addr)
{
    return alloc_pages(what, EfiLoaderData, size_bytes, align_bytes, below, ret_addr);
}

/*
 * EFI_MEMORY_ATTRIBUTE_PROTOCOL (UEFI 2.10, 37.7), younger than the headers. Firmware that has it
 * may hand out even code pages as not executable; firmware that has it not makes them executable by
 * their type.
 */
struct attribute_protocol;
typedef EFI_STATUS(EFIAPI *attribute_change_fn)(struct attribute_protocol *protocol,
                                                EFI_PHYSICAL_ADDRESS base, UINT64 length_bytes,
                                                UINT64 attributes);
struct attribute_protocol {
    void *get;
    attribute_change_fn set;
    attribute_change_fn clear;
};

#define ATTRIBUTE_XP 0x4000ull /* not executable */

static const EFI_GUID attribute_guid = {
    0xf4560cf6, 0x40ec, 0x4b4a, {0xa1, 0x92, 0xbf, 0x1d, 0x57, 0xd0, 0xb1, 0x89}};

EFI_STATUS memory_alloc_code(const char *what, uint64_t size_bytes, paddr_t *ret_addr)
{
    struct attribute_protocol *protocol = firmware_locate(&attribute_guid);
    EFI_STATUS status =
        alloc_pages(what, EfiLoaderCode, size_bytes, 1, MEMORY_BELOW_4GIB, ret_addr);

    if (!EFI_ERROR(status) && protocol != NULL) {
        (void)protocol->clear(protocol, *ret_addr, ALIGN_UP(size_bytes, MEMORY_PAGE_SIZE),
                              ATTRIBUTE_XP); /* a refusal leaves things as they were */
    }
    return status;
}

void memory_free(paddr_t addr)
{
    for (unsigned i = 0; i < nallocations; i++) {
        if (allocations[i].addr == addr) {
            (void)firmware_boot->FreePages(addr, allocations[i].npages);
            allocations[i] = allocations[--nallocations];
            return;
        }
    }
}

void memory_free_all(void)
{
    while (nallocations > 0) {
        memory_free(allocations[nallocations - 1].addr);
    }
}

EFI_STATUS memory_map_read(struct memory_raw_map *map)
{
    UINT32 version;

    map->size_bytes = map->capacity_bytes;
    return firmware_boot->GetMemoryMap(&map->size_bytes, map->descriptors, &map->key,
                                       &map->descriptor_size_bytes, &version);
}

EFI_STATUS memory_map_capacity(UINTN *ret_capacity_bytes, UINTN *ret_descriptor_size_bytes)
{
    struct memory_raw_map probe = {0};
    EFI_STATUS status = memory_map_read(&probe);

    if (status != EFI_BUFFER_TOO_SMALL ||
        probe.descriptor_size_bytes < sizeof(EFI_MEMORY_DESCRIPTOR)) {
        return console_fail(EFI_UNSUPPORTED, "the firmware gives no memory map: %s",
                            firmware_status_text(status));
    }
    *ret_capacity_bytes = probe.size_bytes + SPARE_DESCRIPTORS * probe.descriptor_size_bytes;
    *ret_descriptor_size_bytes = probe.descriptor_size_bytes;
    return EFI_SUCCESS;
}

EFI_STATUS memory_exit_boot_services(struct memory_raw_map *map)
{
    EFI_STATUS status = EFI_ABORTED;

    for (unsigned i = 0; i < EXIT_ATTEMPTS; i++) {
        status = memory_map_read(map);
        if (EFI_ERROR(status)) {
            return status;
        }
        status = firmware_boot->ExitBootServices(firmware_image, map->key);
        if (status !=
            EFI_INVALID_PARAMETER) { /* success, or a failure that a new map does not mend */
            return status;
        }
    }
    return status;
}
