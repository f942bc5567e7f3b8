/*
 * From the boot memory map to the frame allocator: the map itself, the early allocator, and the order of steps. What becomes of the page array
 * is in section.c.
 *
 * Early on, memory for the tables of the allocator itself and for page tables comes from the largest usable range, from its top downwards;
 * frame_alloc() hands out the same early frames until frames_ready. They stay PAGE_RESERVED and are never freed. Of a large
 * range only the end is set aside for it, at least 1 GiB.
 */
#include <arch/page.h>

#include "kernel/abi/boot.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/section.h"
#include "kernel/mm/zone.h"

#define LOW_PAGE_LIMIT 0xa0000u /* where the PC's conventional memory ends */
#define EARLY_AREA     GIB(1)   /* of a larger range; enough for the page array of 100 GiB */

bool frames_ready;

static struct boot_mem *boot_map; /* [I] after frames_init() */
static unsigned boot_nmap;        /* [I] */
static uint64_t ram_frames;       /* [I] frames of all RAM in the map */
static pfn_t ram_end;             /* [I] past the last of them */
struct ram_range ram_longest;     /* [I] */

static unsigned early_index; /* which range of the map it works in */
static paddr_t early_area;   /* and from where on */
/* What is left of the early allocator's range, and of the gap that its first aligned request left above. */
static paddr_t early_base, early_end;
static paddr_t early_gap_base, early_gap_end;
static paddr_t low_page; /* [I] after frames_init() */

bool boot_mem_is_ram(uint32_t type)
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
            early_index = i;
        }
    }
    if (early_end - early_base > 2 * EARLY_AREA) {
        early_base = ALIGN_DOWN(early_end - EARLY_AREA, GIB(1));
    }
    early_area = early_base;
}

/* Physical memory of `size` bytes (whole pages), aligned; not cleared. 0: none left. */
static paddr_t early_try(uint64_t size, uint64_t align)
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

paddr_t early_alloc(uint64_t size, uint64_t align)
{
    paddr_t pa = early_try(size, align);

    if (pa == 0) {
        panic("mm: no early memory (%llu bytes)", (unsigned long long)size);
    }
    return pa;
}

struct page *early_frame_alloc(unsigned order, unsigned flags)
{
    paddr_t pa = early_try(PAGE_SIZE << order, PAGE_SIZE << order);

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

unsigned boot_index_at(pfn_t pfn)
{
    unsigned low = 0;
    unsigned high = boot_nmap;

    while (low < high) {
        unsigned middle = (low + high) / 2;
        const struct boot_mem *mem = &boot_map[middle];
        if (ALIGN_UP((mem->base + mem->length_bytes) >> PAGE_SHIFT, FRAME_MAX_BLOCK) <= pfn) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

bool boot_usable_next(pfn_t from, pfn_t *ret_start, pfn_t *ret_end)
{
    for (unsigned i = boot_index_at(from); i < boot_nmap; i++) {
        const struct boot_mem *mem = &boot_map[i];
        paddr_t limit = i == early_index ? early_area : mem->base + mem->length_bytes;
        /* Frame 0 stays out: physical address 0 means "none" in too many places. */
        pfn_t first = mem->base == 0 ? 1 : mem->base >> PAGE_SHIFT;
        pfn_t start = MAX(first, from);
        if (mem->type == BOOT_MEM_USABLE && start < limit >> PAGE_SHIFT) {
            *ret_start = start;
            *ret_end = limit >> PAGE_SHIFT;
            return true;
        }
    }
    return false;
}

/* ---- boot ---- */

/* Set the last usable page below `limit` aside: the map gets one range more. */
static void low_page_reserve(paddr_t limit)
{
    for (unsigned i = boot_nmap; i-- > 0;) {
        struct boot_mem *mem = &boot_map[i];
        paddr_t end = mem->base + mem->length_bytes;

        if (mem->type != BOOT_MEM_USABLE || end > limit || mem->length_bytes < 2 * PAGE_SIZE ||
            i == early_index) {
            continue;
        }
        memmove(mem + 2, mem + 1, (boot_nmap - i - 1) * sizeof(*mem));
        boot_nmap++;
        early_index += early_index > i ? 1 : 0;
        low_page = end - PAGE_SIZE;
        mem->length_bytes -= PAGE_SIZE;
        mem[1] = (struct boot_mem){.base = low_page,
                                   .length_bytes = PAGE_SIZE,
                                   .type = BOOT_MEM_KERNEL,
                                   .efi_type = mem->efi_type};
        return;
    }
}

paddr_t boot_low_page(void)
{
    return low_page;
}

static void boot_map_copy(const struct boot_handoff *handoff)
{
    const struct boot_mem *map = phys_to_virt(handoff->mem);

    boot_nmap = (unsigned)handoff->nmem;
    early_init(map, boot_nmap);
    paddr_t copy = early_alloc(ALIGN_UP((boot_nmap + 1) * sizeof(map[0]), PAGE_SIZE), PAGE_SIZE);
    boot_map = phys_to_virt(copy);
    memcpy(boot_map, map, boot_nmap * sizeof(map[0]));
    low_page_reserve(LOW_PAGE_LIMIT);
    for (unsigned i = 0; i < boot_nmap; i++) {
        if (boot_mem_is_ram(boot_map[i].type)) {
            ram_frames += boot_map[i].length_bytes >> PAGE_SHIFT;
            ram_end = (boot_map[i].base + boot_map[i].length_bytes) >> PAGE_SHIFT;
            if (boot_map[i].length_bytes > ram_longest.length_bytes) {
                ram_longest = (struct ram_range){boot_map[i].base, boot_map[i].length_bytes};
            }
        }
    }
}

void frames_init(const struct boot_handoff *handoff)
{
    boot_map_copy(handoff);
    sections_init(ram_end);
    nodes_create();
    sections_populate();
    sections_release();
    early_range_add(early_area, early_end);
    early_range_add(early_gap_base, early_gap_end);
    nodes_order();
    zones_update_watermarks();
    frame_init_on_alloc = param_bool("init_on_alloc", false);
    frame_init_on_free = param_bool("init_on_free", false);
    frames_ready = true;
    frames_set_cpu_node(this_cpu->id, 0);

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

    for (unsigned node = 0; node < nodes_count(); node++) {
        for (unsigned id = 0; id < ZONE_COUNT; id++) {
            managed += READ_ONCE(nodes[node]->zones[id].managed);
        }
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

bool boot_map_is_ram(pfn_t pfn)
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
            return boot_mem_is_ram(mem->type);
        }
    }
    return false;
}

bool pfn_valid(pfn_t pfn)
{
    return pfn_is_ram(pfn) && section_present(pfn);
}
