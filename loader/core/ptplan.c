/*
 * Page-table plan: see ptplan.h.
 */
#include "loader/core/ptplan.h"

#include "kernel/base/errno.h"

#define PAGE_BYTES 4096ull

#define PTE_PRESENT  0x001ull
#define PTE_WRITE    0x002ull
#define PTE_ACCESSED 0x020ull
#define PTE_DIRTY    0x040ull
#define PTE_LARGE    0x080ull /* in tables above the last level */
#define PTE_PAT_4K   0x080ull /* in the last level: PAT index bit 2 */
#define PTE_GLOBAL   0x100ull
#define PTE_PAT_BIG  0x1000ull
#define PTE_NX       (1ull << 63)
#define PTE_ADDRESS  0x000ffffffffff000ull

#define FIRST_4GIB 0x100000000ull

/* Address bits below the index of level 1 (4 KiB leaves), 2, 3, 4, 5. */
static unsigned level_shift(unsigned level)
{
    return 12 + 9 * (level - 1);
}

static uint64_t *table_at(const struct ptplan *plan, uint64_t phys)
{
    return plan->phys_to_pointer(plan->ctx, phys & PTE_ADDRESS);
}

static uint64_t table_create(struct ptplan *plan)
{
    uint64_t phys = plan->alloc_page(plan->ctx);

    if (phys != 0) {
        plan->ntables++;
    }
    return phys;
}

int ptplan_init(struct ptplan *plan)
{
    plan->ntables = 0;
    plan->root = table_create(plan);
    return plan->root == 0 ? -ENOMEM : 0;
}

static uint64_t leaf_entry(const struct ptplan *plan, uint64_t pa, unsigned level, unsigned flags)
{
    uint64_t entry = pa | PTE_PRESENT | PTE_ACCESSED;

    if (flags & PTPLAN_WRITE) {
        entry |= PTE_WRITE | PTE_DIRTY;
    }
    if ((flags & PTPLAN_EXEC) == 0 && plan->nx) {
        entry |= PTE_NX;
    }
    if (flags & PTPLAN_GLOBAL) {
        entry |= PTE_GLOBAL;
    }
    if (flags & PTPLAN_WC) {
        entry |= level == 1 ? PTE_PAT_4K : PTE_PAT_BIG;
    }
    return level == 1 ? entry : entry | PTE_LARGE;
}

/* Put one leaf of the given level in place, making the tables above it. */
static int leaf_install(struct ptplan *plan, uint64_t va, uint64_t pa, unsigned level,
                        unsigned flags)
{
    uint64_t *table = table_at(plan, plan->root);

    for (unsigned at = plan->levels; at > level; at--) {
        uint64_t *entry = &table[(va >> level_shift(at)) & 511];

        if (*entry == 0) {
            uint64_t child = table_create(plan);
            if (child == 0) {
                return -ENOMEM;
            }
            *entry = child | PTE_PRESENT | PTE_WRITE | PTE_ACCESSED;
        } else if (*entry & PTE_LARGE) {
            return -EEXIST;
        }
        table = table_at(plan, *entry);
    }
    uint64_t *leaf = &table[(va >> level_shift(level)) & 511];
    if (*leaf != 0) {
        return -EEXIST;
    }
    *leaf = leaf_entry(plan, pa, level, flags);
    return 0;
}

/* The highest level whose leaf may start at (va, pa) and ends within `left` bytes. */
static unsigned leaf_level(const struct ptplan *plan, uint64_t va, uint64_t pa, uint64_t left)
{
    for (unsigned level = plan->gigabyte_pages ? 3 : 2; level > 1; level--) {
        uint64_t size = 1ull << level_shift(level);
        if (((va | pa) & (size - 1)) == 0 && left >= size) {
            return level;
        }
    }
    return 1;
}

static bool is_canonical(const struct ptplan *plan, uint64_t va)
{
    unsigned sign = level_shift(plan->levels) + 8;
    uint64_t high = va >> sign;

    return high == 0 || high == UINT64_MAX >> sign;
}

int ptplan_map(struct ptplan *plan, uint64_t va, uint64_t pa, uint64_t len_bytes, unsigned flags)
{
    uint64_t last = va + len_bytes - 1;

    if (((va | pa | len_bytes) & (PAGE_BYTES - 1)) != 0 || len_bytes == 0 || last < va ||
        ((va ^ last) >> 63) != 0 || !is_canonical(plan, va) || !is_canonical(plan, last) ||
        (pa & ~PTE_ADDRESS) != 0 || len_bytes > PTE_ADDRESS - pa + PAGE_BYTES) {
        return -EINVAL;
    }
    while (len_bytes > 0) {
        unsigned level = leaf_level(plan, va, pa, len_bytes);
        uint64_t size = 1ull << level_shift(level);
        int err = leaf_install(plan, va, pa, level, flags);

        if (err < 0) {
            return err;
        }
        va += size;
        pa += size;
        len_bytes -= size;
    }
    return 0;
}

static int direct_map_range(struct ptplan *plan, uint64_t start, uint64_t end, unsigned flags)
{
    if (start >= end) {
        return 0;
    }
    return ptplan_map(plan, BOOT_DIRECT_MAP + start, start, end - start,
                      flags | PTPLAN_WRITE | PTPLAN_GLOBAL);
}

/* [start, end) without the hole that the framebuffer takes. */
static int direct_map_around(struct ptplan *plan, uint64_t start, uint64_t end, uint64_t hole_start,
                             uint64_t hole_end)
{
    int err = direct_map_range(plan, start, MIN(end, hole_start), 0);

    return err < 0 ? err : direct_map_range(plan, MAX(start, hole_end), end, 0);
}

static bool is_memory(uint32_t type)
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

int ptplan_direct_map(struct ptplan *plan, const struct boot_mem *mem, size_t nmem,
                      const struct boot_framebuffer *framebuffer)
{
    uint64_t hole_start = UINT64_MAX, hole_end = UINT64_MAX;
    int err;

    if (framebuffer->base != 0 && framebuffer->size_bytes != 0) {
        hole_start = ALIGN_DOWN(framebuffer->base, PAGE_BYTES);
        hole_end = ALIGN_UP(framebuffer->base + framebuffer->size_bytes, PAGE_BYTES);
        if (hole_end <= hole_start || hole_end > BOOT_DIRECT_MAP_SIZE) {
            return -EINVAL;
        }
        err = direct_map_range(plan, hole_start, hole_end, PTPLAN_WC);
        if (err < 0) {
            return err;
        }
    }
    err = direct_map_around(plan, 0, FIRST_4GIB, hole_start, hole_end);
    for (size_t i = 0; i < nmem && err == 0; i++) {
        if (!is_memory(mem[i].type)) {
            continue;
        }
        uint64_t start = mem[i].base, end = start + mem[i].length_bytes;

        /* Neighbours of different types share large pages. */
        for (; i + 1 < nmem && mem[i + 1].base == end && is_memory(mem[i + 1].type); i++) {
            end += mem[i + 1].length_bytes;
        }
        end = MIN(end, BOOT_DIRECT_MAP_SIZE);
        err = direct_map_around(plan, MAX(start, FIRST_4GIB), end, hole_start, hole_end);
    }
    return err;
}
