/*
 * The kernel's address space. loader/core/ptplan knows the format; here are the memory for the
 * tables, below 4 GiB because CR3 is loaded in 32-bit mode on the way to 5 levels, and the list of
 * what is mapped.
 */
#include "loader/efi/paging.h"

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "loader/core/ptplan.h"
#include "loader/efi/console.h"
#include "loader/efi/cpu.h"
#include "loader/efi/memory.h"

#define FIRST_POOL_PAGES 64

/* Table pages come in chunks that double, so that a few allocations serve any amount of memory. */
struct pool {
    paddr_t next;
    uint64_t left;  /* pages */
    uint64_t chunk; /* pages of the next chunk */
};

static uint64_t pool_page(void *ctx)
{
    struct pool *pool = ctx;
    paddr_t page;

    if (pool->left == 0) {
        if (EFI_ERROR(memory_alloc("page tables", pool->chunk * MEMORY_PAGE_SIZE, 1,
                                   MEMORY_BELOW_4GIB, &pool->next))) {
            return 0;
        }
        memset((void *)(uintptr_t)pool->next, 0, pool->chunk * MEMORY_PAGE_SIZE);
        pool->left = pool->chunk;
        pool->chunk *= 2;
    }
    page = pool->next;
    pool->next += MEMORY_PAGE_SIZE;
    pool->left--;
    return page;
}

/* The firmware maps all memory at its physical address. */
static void *pool_pointer(void *ctx, uint64_t phys)
{
    (void)ctx;
    return (void *)(uintptr_t)phys;
}

static int map_image(struct ptplan *plan, const struct image *image)
{
    int err = 0;

    for (unsigned i = 0; i < image->plan.nsegments && err == 0; i++) {
        const struct elfplan_segment *segment = &image->plan.segments[i];
        uint64_t start = ALIGN_DOWN(segment->image_offset, MEMORY_PAGE_SIZE);
        uint64_t end = ALIGN_UP(segment->image_offset + segment->size_bytes, MEMORY_PAGE_SIZE);
        unsigned flags = PTPLAN_GLOBAL;

        flags |= (segment->flags & ELFPLAN_WRITE) != 0 ? PTPLAN_WRITE : 0;
        flags |= (segment->flags & ELFPLAN_EXEC) != 0 ? PTPLAN_EXEC : 0;
        err = ptplan_map(plan, image->virt + start, image->phys + start, end - start, flags);
    }
    return err;
}

EFI_STATUS paging_build(const struct block *block, const struct image *image,
                        const struct boot_framebuffer *framebuffer, paddr_t jump_page, bool la57,
                        paddr_t *ret_root)
{
    struct pool pool = {.chunk = FIRST_POOL_PAGES};
    struct ptplan plan = {.levels = la57 ? 5 : 4,
                          .gigabyte_pages = cpu_has_gib_pages(),
                          .nx = true,
                          .alloc_page = pool_page,
                          .phys_to_pointer = pool_pointer,
                          .ctx = &pool};
    int err = ptplan_init(&plan);

    if (err == 0) {
        err = ptplan_direct_map(&plan, block->mem, block->handoff->nmem, framebuffer);
    }
    if (err == 0) {
        err = map_image(&plan, image);
    }
    if (err == 0) {
        err = ptplan_map(&plan, jump_page, jump_page, MEMORY_PAGE_SIZE, PTPLAN_EXEC);
    }
    if (err == -ENOMEM) {
        return EFI_OUT_OF_RESOURCES; /* memory_alloc() has said so */
    }
    if (err < 0) {
        return console_fail(EFI_UNSUPPORTED,
                            "the firmware's memory map or framebuffer cannot be mapped (error %d)",
                            -err);
    }
    *ret_root = plan.root;
    return EFI_SUCCESS;
}
