/*
 * From the boot memory map to the frame allocator.
 *
 * The page array lies at PAGE_ARRAY, one struct page per frame number, and is populated only where there is RAM, rounded to whole
 * largest blocks. Where 2 MiB of it (the frames of 205 MiB) are wanted to at least three quarters they are mapped as one huge
 * page, else 4 KiB pages are. Its memory and the page tables that map it come from the early allocator, which eats the largest usable
 * range from its top downwards; frame_alloc() hands out the same early frames until frames_ready. They stay PAGE_RESERVED and are never freed.
 *
 * Boot cost: the array is cleared, four instructions per frame, and free memory enters the zones in blocks of the largest size.
 */
#include <arch/page.h>

#include "kernel/abi/boot.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/zone.h"

#define ARRAY_CHUNK HUGE_PAGE_SIZE /* of the page array: the frames of some 200 MiB */

_Static_assert(FRAME_MAX_BLOCK * sizeof(struct page) % PAGE_SIZE == 0,
               "the array is populated by whole pages");

bool frames_ready;

static struct boot_mem *boot_map; /* [I] after frames_init() */
static unsigned boot_nmap;        /* [I] */
static uint64_t ram_frames;       /* [I] frames of all RAM in the map */

/* What is left of the early allocator's range, and of the gap that its first aligned request left above. */
static paddr_t early_base, early_end;
static paddr_t early_gap_base, early_gap_end;

static bool mem_is_ram(uint32_t type)
{
    switch (type) {
    case BOOT_MEM_USABLE:
    case BOOT_MEM_ACPI_RECLAIM:
    case BOOT_MEM_ACPI_NVS:
    case BOOT_MEM_LOADER:
    case BOOT_MEM_KERNEL:
    case BOOT_MEM_INITRAMFS:
    case BOOT_MEM_EFI_RUNTIME:
        return true;
    default:
        return false;
    }
}

/* ---- the early allocator ---- */

static void early_init(const struct boot_mem *map, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        if (map[i].type == BOOT_MEM_USABLE && map[i].length_bytes > early_end - early_base) {
            early_base = map[i].base;
            early_end = map[i].base + map[i].length_bytes;
        }
    }
}

/* Physical memory of `size` bytes (whole pages), aligned; not cleared. 0: none left. */
static paddr_t early_alloc(uint64_t size, uint64_t align)
{
    if (early_gap_end - early_gap_base >= size) {
        paddr_t pa = ALIGN_DOWN(early_gap_end - size, align);
        if (pa >= early_gap_base && pa + size == early_gap_end) {
            early_gap_end = pa;
            return pa;
        }
    }
    if (early_end - early_base < size + align) {
        return 0;
    }
    paddr_t pa = ALIGN_DOWN(early_end - size, align);
    if (pa + size < early_end && early_gap_base == early_gap_end) {
        early_gap_base = pa + size;
        early_gap_end = early_end;
    }
    early_end = pa;
    return pa;
}

struct page *early_frame_alloc(unsigned order, unsigned flags)
{
    paddr_t pa = early_alloc(PAGE_SIZE << order, PAGE_SIZE << order);

    if (pa == 0) {
        return NULL;
    }
    if ((flags & FRAME_ZERO) != 0) {
        memset(phys_to_virt(pa), 0, PAGE_SIZE << order);
    }
    return phys_to_page(pa); /* its struct page may not be there yet: nobody looks inside */
}

static void early_range_add(paddr_t base, paddr_t end)
{
    /* Frame 0 stays out: physical address 0 means "none" in too many places. */
    if (base == 0) {
        base = PAGE_SIZE;
    }
    if (base < end) {
        zones_add_range(base >> PAGE_SHIFT, end >> PAGE_SHIFT);
    }
}

/* ---- the page array ---- */

/* Bytes of the page array in [start, end) that RAM needs, in whole largest blocks; for each such piece `fn` when not NULL. */
typedef void array_piece_fn(uintptr_t start, uintptr_t end);

static uint64_t array_wanted(uintptr_t start, uintptr_t end, array_piece_fn *fn)
{
    uint64_t wanted = 0;
    uintptr_t done = start;

    for (unsigned i = 0; i < boot_nmap; i++) {
        if (!mem_is_ram(boot_map[i].type)) {
            continue;
        }
        pfn_t first = ALIGN_DOWN(boot_map[i].base >> PAGE_SHIFT, FRAME_MAX_BLOCK);
        pfn_t last =
            ALIGN_UP((boot_map[i].base + boot_map[i].length_bytes) >> PAGE_SHIFT, FRAME_MAX_BLOCK);
        uintptr_t from = MAX((uintptr_t)pfn_to_page(first), done);
        uintptr_t to = MIN((uintptr_t)pfn_to_page(last), end);
        if (from >= to) {
            continue;
        }
        wanted += to - from;
        done = to;
        if (fn != NULL) {
            fn(from, to);
        }
    }
    return wanted;
}

static void array_map(uintptr_t va, uint64_t size)
{
    paddr_t pa = early_alloc(size, size);

    if (pa == 0) {
        panic("mm: no memory for the page array");
    }
    memset(phys_to_virt(pa), 0, size);
    if (mmu_kernel_map(va, pa, size, MMU_READ | MMU_WRITE | MMU_GLOBAL) < 0) {
        panic("mm: cannot map the page array");
    }
}

static void array_map_piece(uintptr_t start, uintptr_t end)
{
    for (uintptr_t va = start; va < end; va += PAGE_SIZE) {
        array_map(va, PAGE_SIZE);
    }
}

/* Two passes: the huge pages first, so that the early allocator aligns but once. */
static void array_populate(bool huge)
{
    uintptr_t done = 0;

    for (unsigned i = 0; i < boot_nmap; i++) {
        if (!mem_is_ram(boot_map[i].type)) {
            continue;
        }
        pfn_t last =
            ALIGN_UP((boot_map[i].base + boot_map[i].length_bytes) >> PAGE_SHIFT, FRAME_MAX_BLOCK);
        uintptr_t chunk =
            ALIGN_DOWN((uintptr_t)pfn_to_page(boot_map[i].base >> PAGE_SHIFT), ARRAY_CHUNK);
        for (chunk = MAX(chunk, done); chunk < (uintptr_t)pfn_to_page(last); chunk += ARRAY_CHUNK) {
            bool dense = array_wanted(chunk, chunk + ARRAY_CHUNK, NULL) >= ARRAY_CHUNK / 4 * 3;
            if (dense && huge) {
                array_map(chunk, ARRAY_CHUNK);
            } else if (!dense && !huge) {
                (void)array_wanted(chunk, chunk + ARRAY_CHUNK, array_map_piece);
            }
            done = chunk + ARRAY_CHUNK;
        }
    }
}

/* ---- boot ---- */

static void boot_map_copy(const struct boot_handoff *handoff)
{
    const struct boot_mem *map = phys_to_virt(handoff->mem);

    boot_nmap = (unsigned)handoff->nmem;
    early_init(map, boot_nmap);
    paddr_t copy = early_alloc(ALIGN_UP(boot_nmap * sizeof(map[0]), PAGE_SIZE), PAGE_SIZE);
    if (copy == 0) {
        panic("mm: the memory map has no usable range (%u entries)", boot_nmap);
    }
    boot_map = phys_to_virt(copy);
    memcpy(boot_map, map, boot_nmap * sizeof(map[0]));
    for (unsigned i = 0; i < boot_nmap; i++) {
        if (mem_is_ram(boot_map[i].type)) {
            ram_frames += boot_map[i].length_bytes >> PAGE_SHIFT;
        }
    }
}

void frames_init(const struct boot_handoff *handoff)
{
    boot_map_copy(handoff);
    array_populate(true);
    array_populate(false);
    zones_init();
    for (unsigned i = 0; i < boot_nmap; i++) {
        const struct boot_mem *mem = &boot_map[i];
        if (mem->type != BOOT_MEM_USABLE) {
            continue;
        }
        paddr_t end = mem->base + mem->length_bytes;
        early_range_add(mem->base, mem->base == early_base ? early_end : end);
    }
    early_range_add(early_gap_base, early_gap_end);
    zones_update_watermarks();
    frames_ready = true;

    struct frame_stats stats;
    frame_stats(&stats);
    log_info("mm: %llu MiB of memory, %llu KiB free, %llu KiB in use by the boot",
             (unsigned long long)(ram_frames >> (20 - PAGE_SHIFT)),
             (unsigned long long)(stats.free << (PAGE_SHIFT - 10)),
             (unsigned long long)(stats.reserved << (PAGE_SHIFT - 10)));
}

void frames_release_boot(paddr_t base, uint64_t len_bytes)
{
    paddr_t start = ALIGN_UP(base, PAGE_SIZE);
    paddr_t end = ALIGN_DOWN(base + len_bytes, PAGE_SIZE);

    early_range_add(start, end);
    zones_update_watermarks();
}

#ifndef HOST_BUILD
extern char __init_start[], __init_end[];

/* The image's .init sections: out of the address space, into the allocator. */
static uint64_t release_init_sections(paddr_t kernel_phys, vaddr_t kernel_virt)
{
    uint64_t size = (uint64_t)(__init_end - __init_start);

    if (size != 0) {
        mmu_kernel_unmap((vaddr_t)__init_start, size);
        frames_release_boot(kernel_phys + ((vaddr_t)__init_start - kernel_virt), size);
    }
    return size;
}
#else
static uint64_t release_init_sections(paddr_t kernel_phys, vaddr_t kernel_virt)
{
    (void)kernel_phys, (void)kernel_virt;
    return 0;
}
#endif

void frames_release_boot_memory(const struct boot_handoff *handoff)
{
    uint64_t released = release_init_sections(handoff->kernel_phys, handoff->kernel_virt);

    for (unsigned i = 0; i < boot_nmap; i++) {
        const struct boot_mem *mem = &boot_map[i];
        if (mem->type == BOOT_MEM_LOADER || mem->type == BOOT_MEM_INITRAMFS) {
            frames_release_boot(mem->base, mem->length_bytes);
            released += mem->length_bytes;
        }
    }
    log_info("mm: %llu KiB of boot memory released", (unsigned long long)(released >> 10));
}

/* ---- questions ---- */

uint64_t frames_reserved(void)
{
    uint64_t managed = 0;

    for (unsigned id = 0; id < ZONE_COUNT; id++) {
        managed += READ_ONCE(zones[id].managed);
    }
    return ram_frames - managed;
}

bool boot_memory(unsigned index, struct boot_mem *ret_mem)
{
    if (index >= boot_nmap) {
        return false;
    }
    *ret_mem = boot_map[index];
    return true;
}

bool pfn_valid(pfn_t pfn)
{
    unsigned low = 0;
    unsigned high = boot_nmap;
    paddr_t pa = pfn << PAGE_SHIFT;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct boot_mem *mem = &boot_map[middle];
        if (pa < mem->base) {
            high = middle;
        } else if (pa - mem->base >= mem->length_bytes) {
            low = middle + 1;
        } else {
            return mem_is_ram(mem->type);
        }
    }
    return false;
}
