/*
 * The second front door: a virtual machine monitor put the kernel image at its physical address and entered at the PVH note's
 * address (entry.S). This builds the same handoff and the same address space as the UEFI loader, and goes on to kernel_entry.
 *
 * Runs at the image's physical address on an identity map of the first 4 GiB; interrupts off, nothing can fault on purpose. Until
 * image_relocate() addresses stored in data are wrong, so there are none.
 * Source: Xen public headers, arch-x86/hvm/start_info.h (struct hvm_start_info, "PVH direct boot ABI").
 */
#include "loader/pvh/pvh.h"
#include "kernel/abi/boot.h"
#include "kernel/base/string.h"
#include "loader/core/bootparam.h"
#include "loader/core/handoff.h"
#include "loader/core/memmap.h"
#include "loader/core/ptplan.h"
#include "loader/core/reloc.h"

#define PVH_MAGIC       0x336ec578u
#define PVH_MAX_ENTRIES 128u
#define MAX_CLAIMS      (PVH_MAX_ENTRIES + 8)
#define CMDLINE_MAX     4096u
#define BOOT_STACK_SIZE 16384ull
#define PAGE_BYTES      4096ull
#define SLIDE_STEP      0x200000ull
#define IMAGE_PHYS      0x200000ull
#define LOADER_NAME     "linnet-pvh 1"

struct pvh_start_info {
    uint32_t magic;
    uint32_t version;
    uint32_t flags;
    uint32_t nmodules;
    uint64_t modules;
    uint64_t cmdline;
    uint64_t rsdp;
    uint64_t memmap; /* version 1 */
    uint32_t nmemmap;
    uint32_t reserved;
};

struct pvh_module {
    uint64_t base;
    uint64_t size_bytes;
    uint64_t cmdline;
    uint64_t reserved;
};

struct pvh_memmap {
    uint64_t base;
    uint64_t size_bytes;
    uint32_t type; /* ACPI 6.4, table 15.3 (address range types) */
    uint32_t reserved;
};

/* What entry.S loads at the jump. */
struct pvh_jump_args {
    uint64_t root;
    uint64_t entry;
    uint64_t handoff;
    uint64_t stack_top;
    uint64_t la57;
};
void pvh_main(const struct pvh_start_info *info) __noreturn;

/* entry.S and kernel.lds. Hidden, so that no address of theirs comes from a table. */
#pragma GCC visibility push(hidden)
extern struct pvh_jump_args pvh_jump_args;
void pvh_jump(void) __noreturn;
extern uint8_t __image_start[], __image_end[], __dynamic_start[], __dynamic_end[];
extern uint8_t __text_start[], __rodata_start[], __data_start[], __init_text_start[];
extern uint8_t __init_data_start[], __ksyms_start[];
extern const uint8_t kernel_entry[];
#pragma GCC visibility pop

/* The block of memory that outlives this door: handoff, map, command line, stack, page tables. */
static struct {
    uint64_t base, next, end;
} block __section(".init.data") = {0};

static struct memmap_event events[MEMMAP_EVENTS(MAX_CLAIMS)] __section(".init.bss");
static struct boot_mem mem[MEMMAP_EVENTS(MAX_CLAIMS)] __section(".init.bss");

static void *at(uint64_t phys)
{
    return (void *)(uintptr_t)phys;
}

static uint64_t block_take(uint64_t size_bytes)
{
    uint64_t phys = block.next;

    size_bytes = ALIGN_UP(size_bytes, PAGE_BYTES);
    if (size_bytes > block.end - phys) {
        return 0;
    }
    block.next += size_bytes;
    memset(at(phys), 0, size_bytes);
    return phys;
}

static uint64_t table_page(void *ctx)
{
    (void)ctx;
    return block_take(PAGE_BYTES);
}

static void *table_pointer(void *ctx, uint64_t phys)
{
    (void)ctx;
    return at(phys);
}

static uint32_t boot_mem_type(uint32_t type)
{
    switch (type) {
    case 1:
        return BOOT_MEM_USABLE;
    case 3:
        return BOOT_MEM_ACPI_RECLAIM;
    case 4:
        return BOOT_MEM_ACPI_NVS;
    case 5:
        return BOOT_MEM_BAD;
    case 7:
        return BOOT_MEM_PERSISTENT;
    default:
        return BOOT_MEM_RESERVED;
    }
}

static void claim(struct memmap *map, uint64_t base, uint64_t size_bytes, uint32_t type)
{
    if (memmap_add(map, base, size_bytes, type, MEMMAP_NO_EFI_TYPE) < 0) {
        pvh_fail("too many memory ranges");
    }
}

/* All claims but that of our own block; returns the number of entries in mem[]. */
static size_t map_build(const struct pvh_start_info *info)
{
    const struct pvh_memmap *ranges = at(info->memmap);
    const struct pvh_module *initramfs = at(info->modules);
    struct memmap map;
    size_t nmem;

    memmap_init(&map, events, ARRAY_SIZE(events));
    for (uint32_t i = 0; i < MIN(info->nmemmap, PVH_MAX_ENTRIES); i++) {
        claim(&map, ranges[i].base, ranges[i].size_bytes, boot_mem_type(ranges[i].type));
    }
    /* Frame 0 is never given out: physical address 0 means "none" in many a structure. */
    claim(&map, 0, PAGE_BYTES, BOOT_MEM_RESERVED);
    claim(&map, (uintptr_t)__image_start, (uint64_t)(__image_end - __image_start), BOOT_MEM_KERNEL);
    if (info->nmodules > 0) {
        claim(&map, initramfs->base, initramfs->size_bytes, BOOT_MEM_INITRAMFS);
    }
    if (block.end != 0) {
        claim(&map, block.base, block.end - block.base, BOOT_MEM_LOADER);
    }
    if (memmap_resolve(&map, mem, ARRAY_SIZE(mem), &nmem) < 0) {
        pvh_fail("the memory map makes no sense");
    }
    return nmem;
}

/* Where nothing of the monitor's own may lie: it is read until the jump. */
static bool overlaps_inputs(const struct pvh_start_info *info, uint64_t base, uint64_t end)
{
    uint64_t parts[][2] = {
        {(uintptr_t)info, sizeof(*info)},
        {info->modules, info->nmodules * sizeof(struct pvh_module)},
        {info->cmdline, CMDLINE_MAX},
        {info->memmap, info->nmemmap * sizeof(struct pvh_memmap)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(parts); i++) {
        if (parts[i][0] < end && parts[i][0] + parts[i][1] > base) {
            return true;
        }
    }
    return false;
}

/* Room for the handoff and the page tables, in usable memory above the image and below 4 GiB. */
static void block_choose(const struct pvh_start_info *info, size_t nmem)
{
    uint64_t top = mem[nmem - 1].base + mem[nmem - 1].length_bytes;
    uint64_t ngib = DIV_ROUND_UP(MAX(MIN(top, BOOT_DIRECT_MAP_SIZE), GIB(4)), GIB(1));
    bool gigabyte_pages = (pvh_cpuid(0x80000001).edx & BIT(26)) != 0;
    uint64_t size =
        MIB(1) + BOOT_STACK_SIZE +
        PAGE_BYTES * (gigabyte_pages ? 3 * nmem + ngib / 512 : ngib + ngib / 512 + 2 * nmem);

    size = ALIGN_UP(size, PAGE_BYTES);
    for (size_t i = 0; i < nmem; i++) {
        uint64_t base = MAX(mem[i].base, MIB(1));
        uint64_t end = MIN(mem[i].base + mem[i].length_bytes, GIB(4));

        for (; mem[i].type == BOOT_MEM_USABLE && base < end && end - base >= size; base += size) {
            if (!overlaps_inputs(info, base, base + size)) {
                block.base = block.next = base;
                block.end = base + size;
                return;
            }
        }
    }
    pvh_fail("no memory for page tables");
}

static uint64_t choose_slide(const char *cmdline, uint64_t image_size)
{
    uint64_t random, steps = (BOOT_IMAGE_SIZE - ALIGN_UP(image_size, SLIDE_STEP)) / SLIDE_STEP + 1;
    char value[8];

    if (bootparam_find(cmdline, "nokaslr", value, sizeof(value))) {
        return 0;
    }
    (void)pvh_random_fill(&random, sizeof(random));
    return random % steps * SLIDE_STEP;
}

static void image_relocate(uint64_t slide)
{
    struct reloc_image image = {
        .base = __image_start,
        .size_bytes = (uint64_t)(__image_end - __image_start),
        .link_base = BOOT_IMAGE,
        .dynamic_offset = (uint64_t)(__dynamic_start - __image_start),
        .dynamic_size_bytes = (uint64_t)(__dynamic_end - __dynamic_start),
    };
    const char *reason;

    if (reloc_apply(&image, slide, &reason) < 0) {
        pvh_fail(reason);
    }
}

static void map_segment(struct ptplan *plan, uint64_t virt, const uint8_t *start,
                        const uint8_t *end, unsigned flags)
{
    uint64_t size = ALIGN_UP((uint64_t)(end - start), PAGE_BYTES);

    if (size != 0 && ptplan_map(plan, virt + (uint64_t)(start - __image_start), (uintptr_t)start,
                                size, flags | PTPLAN_GLOBAL) < 0) {
        pvh_fail("cannot map the image");
    }
}

static uint64_t tables_build(size_t nmem, uint64_t virt, bool la57)
{
    const struct boot_framebuffer no_framebuffer = {0};
    struct ptplan plan = {
        .levels = la57 ? 5 : 4,
        .gigabyte_pages = (pvh_cpuid(0x80000001).edx & BIT(26)) != 0,
        .nx = (pvh_cpuid(0x80000001).edx & BIT(20)) != 0,
        .alloc_page = table_page,
        .phys_to_pointer = table_pointer,
    };

    if (ptplan_init(&plan) < 0 || ptplan_direct_map(&plan, mem, nmem, &no_framebuffer) < 0) {
        pvh_fail("cannot build the direct map");
    }
    map_segment(&plan, virt, __text_start, __rodata_start, PTPLAN_EXEC);
    map_segment(&plan, virt, __rodata_start, __data_start, 0);
    map_segment(&plan, virt, __data_start, __init_text_start, PTPLAN_WRITE);
    map_segment(&plan, virt, __init_text_start, __init_data_start, PTPLAN_EXEC);
    map_segment(&plan, virt, __init_data_start, __ksyms_start, PTPLAN_WRITE);
    map_segment(&plan, virt, __ksyms_start, __image_end, 0);
    /* The page that changes CR3. */
    if (ptplan_map(&plan, ALIGN_DOWN((uintptr_t)&pvh_jump, PAGE_BYTES),
                   ALIGN_DOWN((uintptr_t)&pvh_jump, PAGE_BYTES), PAGE_BYTES, PTPLAN_EXEC) < 0) {
        pvh_fail("cannot map the jump");
    }
    return plan.root;
}

static void handoff_fill(struct boot_handoff *handoff, const struct pvh_start_info *info,
                         size_t nmem, const char *cmdline)
{
    const struct pvh_module *initramfs = at(info->modules);
    size_t len = strnlen(cmdline, CMDLINE_MAX - 1);
    char *line = at(block_take(CMDLINE_MAX));

    handoff->mem = block_take(nmem * sizeof(mem[0]));
    memcpy(at(handoff->mem), mem, nmem * sizeof(mem[0]));
    handoff->nmem = nmem;
    memcpy(line, cmdline, len);
    handoff->cmdline = (uintptr_t)line;
    handoff->cmdline_size_bytes = len + 1;
    handoff->rsdp = info->rsdp;
    if (info->nmodules > 0) {
        handoff->initramfs = initramfs->base;
        handoff->initramfs_size_bytes = initramfs->size_bytes;
    }
    if (pvh_random_fill(handoff->seed, sizeof(handoff->seed))) {
        handoff->flags |= BOOT_FLAG_SEED_GOOD;
    }
    (void)str_copy(handoff->loader_name, LOADER_NAME, sizeof(handoff->loader_name));
}

void pvh_main(const struct pvh_start_info *info)
{
    uint64_t tsc = pvh_tsc();
    const char *cmdline = info->cmdline == 0 ? "" : at(info->cmdline);
    uint64_t image_size = (uint64_t)(__image_end - __image_start);
    char value[8];

    if (info->magic != PVH_MAGIC || info->version < 1) {
        pvh_fail("the monitor gave no memory map (PVH version 1)");
    }
    if ((uintptr_t)__image_start != IMAGE_PHYS) {
        pvh_fail("the image is not where it was linked to be");
    }
    block_choose(info, map_build(info));
    size_t nmem = map_build(info);
    struct boot_handoff *handoff = at(block_take(sizeof(*handoff)));
    uint64_t stack = block_take(BOOT_STACK_SIZE);
    uint64_t slide = choose_slide(cmdline, image_size);
    bool la57 = bootparam_find(cmdline, "la57", value, sizeof(value)) && pvh_cpuid(0).eax >= 7 &&
                (pvh_cpuid(7).ecx & BIT(16)) != 0;

    handoff_fill(handoff, info, nmem, cmdline);
    handoff->flags |= la57 ? BOOT_FLAG_LA57 : 0;
    handoff->kernel_phys = IMAGE_PHYS;
    handoff->kernel_virt = BOOT_IMAGE + slide;
    handoff->kernel_size_bytes = image_size;
    handoff->kernel_slide = slide;
    image_relocate(slide);
    handoff->page_table_root = tables_build(nmem, handoff->kernel_virt, la57);
    handoff->tsc_loader = tsc;
    handoff->tsc_handoff = pvh_tsc();
    handoff_seal(handoff);
    pvh_jump_args = (struct pvh_jump_args){
        .root = handoff->page_table_root,
        .entry = handoff->kernel_virt + (uint64_t)(kernel_entry - __image_start),
        .handoff = BOOT_DIRECT_MAP + (uintptr_t)handoff,
        .stack_top = BOOT_DIRECT_MAP + stack + BOOT_STACK_SIZE,
        .la57 = la57,
    };
    pvh_jump();
}
