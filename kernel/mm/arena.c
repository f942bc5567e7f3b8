/*
 * The kernel's arenas: the address space that BOOT_ARENA begins, and that of modules, in pages.
 *
 * Each allocation is followed by one page that stays unmapped, and so is the first page of all: with that there is a guard page on both
 * sides of each. Where a release is wrong, the pieces tell (vmem.c).
 */
#include "kernel/mm/arena.h"

#include "kernel/base/bitmap.h"
#include "kernel/core/panic.h"
#include "kernel/mm/vmap.h"

static struct vmem kernel_arena, module_arena;

vaddr_t guarded_alloc(enum arena_id id, uint64_t len_bytes)
{
    if (len_bytes == 0 || len_bytes > ARENA_SIZE) {
        return 0;
    }
    if (id ==
        ARENA_MODULES) { /* few and for long, in a small space: no piece is cut that need not be */
        return vmem_alloc(&module_arena, len_bytes + PAGE_SIZE, VMEM_BEST_FIT);
    }
    return vmem_alloc(&kernel_arena, len_bytes + PAGE_SIZE, VMEM_INSTANT_FIT);
}

void guarded_free(enum arena_id id, vaddr_t va, uint64_t len_bytes)
{
    vmem_free(id == ARENA_MODULES ? &module_arena : &kernel_arena, va, len_bytes + PAGE_SIZE);
}

vaddr_t arena_alloc(uint64_t len_bytes)
{
    return guarded_alloc(ARENA_KERNEL, len_bytes);
}

void arena_free(vaddr_t va, uint64_t len_bytes)
{
    guarded_free(ARENA_KERNEL, va, len_bytes);
}

vaddr_t arena_alloc_aligned(uint64_t len_bytes, uint64_t align_bytes)
{
    return vmem_alloc_aligned(&kernel_arena, len_bytes + PAGE_SIZE, align_bytes, VMEM_INSTANT_FIT);
}

uint64_t arena_free_ranges(void)
{
    struct vmem_stats stats;

    vmem_stats(&kernel_arena, &stats);
    return stats.nfree;
}

void arena_init(void)
{
    vmem_boot();
    vmem_init(&kernel_arena, "kernel", PAGE_SIZE, NULL);
    BUG_ON(vmem_add_span(&kernel_arena, ARENA_BASE + PAGE_SIZE, ARENA_SIZE - PAGE_SIZE) < 0);
    vmem_init(&module_arena, "modules", PAGE_SIZE, NULL);
    BUG_ON(vmem_add_span(&module_arena, MODULES_BASE + PAGE_SIZE, MODULES_SIZE - PAGE_SIZE) < 0);
    vmalloc_init();
    kstacks_init();
    vunmap_init();
}
