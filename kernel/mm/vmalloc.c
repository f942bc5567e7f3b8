/*
 * vmalloc: virtually contiguous memory from single frames, mapped into the arena with a guard page on both sides.
 *
 * Each area is described by a struct vmalloc_area in a tree by address, with the list of its frames.
 * Locks: the tree under areas_lock (spin); an area belongs to its owner otherwise.
 */
#include "kernel/base/errno.h"
#include "kernel/base/rbtree.h"
#include "kernel/base/string.h"
#include "kernel/core/defect.h"
#include "kernel/core/panic.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/cache.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/poison.h"
#include "kernel/mm/vmap.h"

#define KVMALLOC_SMALL (2 * PAGE_SIZE)

struct vmalloc_area {
    struct vunmap unmap;
    struct rb_node node;
    vaddr_t start;
    uint64_t npages;
    const void *caller;
    enum arena_id arena;
    size_t size;      /* bytes the user has */
    uint64_t nsealed; /* the first of pages[], which nobody may write */
    struct page *pages[];
};

static struct rb_root areas;
static uint64_t mapped_pages; /* [areas_lock] */
static struct spinlock areas_lock = SPINLOCK_INIT("vmalloc areas");

static bool in_arena(const void *ptr)
{
    return (vaddr_t)ptr - ARENA_BASE < ARENA_SIZE;
}

static void area_insert(struct vmalloc_area *area)
{
    struct rb_node **link = &areas.node;
    struct rb_node *parent = NULL;
    uint64_t irq = spin_lock_irqsave(&areas_lock);

    while (*link != NULL) {
        parent = *link;
        link = area->start < rb_entry(parent, struct vmalloc_area, node)->start ? &parent->left
                                                                                : &parent->right;
    }
    rb_insert(&areas, &area->node, parent, link);
    mapped_pages += area->npages;
    spin_unlock_irqrestore(&areas_lock, irq);
}

static struct vmalloc_area *area_find_locked(vaddr_t start)
{
    for (struct rb_node *node = areas.node; node != NULL;) {
        struct vmalloc_area *area = rb_entry(node, struct vmalloc_area, node);
        if (area->start == start) {
            return area;
        }
        node = start < area->start ? node->left : node->right;
    }
    return NULL;
}

/* Take the area that starts at `start` out of the tree; NULL: there is none. */
static struct vmalloc_area *area_remove(vaddr_t start)
{
    uint64_t irq = spin_lock_irqsave(&areas_lock);
    struct vmalloc_area *area = area_find_locked(start);

    if (area != NULL) {
        rb_remove(&areas, &area->node);
        mapped_pages -= area->npages;
    }
    spin_unlock_irqrestore(&areas_lock, irq);
    return area;
}

/* What the sanitizer lets be touched of it. */
static void area_set_size(struct vmalloc_area *area, size_t size_bytes)
{
    area->size = size_bytes;
    memory_unpoison((void *)area->start, size_bytes);
    memory_poison_as((void *)(area->start + size_bytes), area->npages * PAGE_SIZE - size_bytes,
                     POISON_REDZONE);
}

static void *vmalloc_for(enum arena_id arena, size_t size_bytes, const void *caller)
{
    uint64_t npages = DIV_ROUND_UP(size_bytes, PAGE_SIZE);

    if (size_bytes == 0 || npages > UINT32_MAX) {
        return NULL;
    }
    struct vmalloc_area *area = kmalloc(sizeof(*area) + npages * sizeof(area->pages[0]));
    if (area == NULL) {
        return NULL;
    }
    area->npages = frame_alloc_bulk((unsigned)npages, FRAME_ZERO, PAGE_KERNEL, area->pages);
    if (area->npages < npages) {
        goto free_pages;
    }
    area->start = guarded_alloc(arena, npages * PAGE_SIZE);
    if (area->start == 0 && vunmap_flush() > 0) {
        area->start = guarded_alloc(arena, npages * PAGE_SIZE);
    }
    if (area->start == 0) {
        goto free_pages;
    }
    if (mmu_kernel_map_pages(area->start, area->pages, npages, MMU_READ | MMU_WRITE) < 0) {
        goto free_range;
    }
    area->caller = caller;
    area->arena = arena;
    area->nsealed = 0;
    area_insert(area);
    area_set_size(area, size_bytes);
    return (void *)area->start;

free_range:
    guarded_free(arena, area->start, npages * PAGE_SIZE);
free_pages:
    pages_put(area->pages, (unsigned)area->npages);
    kfree(area);
    return NULL;
}

void *vmalloc(size_t size_bytes)
{
    return vmalloc_for(ARENA_KERNEL, size_bytes, __builtin_return_address(0));
}

bool vmalloc_describe(vaddr_t from, struct vmalloc_info *ret_info)
{
    const struct vmalloc_area *found = NULL;
    uint64_t irq = spin_lock_irqsave(&areas_lock);

    for (struct rb_node *node = areas.node; node != NULL;) {
        const struct vmalloc_area *area = rb_entry(node, struct vmalloc_area, node);
        found = area->start >= from ? area : found;
        node = area->start >= from ? node->left : node->right;
    }
    if (found != NULL) {
        *ret_info = (struct vmalloc_info){found->start, found->npages, found->caller};
    }
    spin_unlock_irqrestore(&areas_lock, irq);
    return found != NULL;
}

uint64_t vmalloc_pages(void)
{
    uint64_t irq = spin_lock_irqsave(&areas_lock);
    uint64_t npages = mapped_pages;

    spin_unlock_irqrestore(&areas_lock, irq);
    return npages;
}

void *kvrealloc(void *ptr, size_t size_bytes)
{
    size_t old;

    if (ptr == NULL) {
        return kvmalloc(size_bytes);
    }
    if (in_arena(ptr)) {
        uint64_t irq = spin_lock_irqsave(&areas_lock);
        struct vmalloc_area *area = area_find_locked((vaddr_t)ptr); /* the caller's, so it stays */
        spin_unlock_irqrestore(&areas_lock, irq);
        BUG_ON(area == NULL);
        if (size_bytes <= area->npages * PAGE_SIZE) {
            area_set_size(area, size_bytes);
            return ptr;
        }
        old = area->size;
    } else {
        if (size_bytes <= KVMALLOC_SMALL) {
            return krealloc(ptr, size_bytes);
        }
        old = kmalloc_size(ptr);
    }
    void *fresh = vmalloc_for(ARENA_KERNEL, size_bytes, __builtin_return_address(0));
    if (fresh != NULL) {
        memcpy(fresh, ptr, MIN(old, size_bytes));
        kvfree(ptr);
    }
    return fresh;
}

/* ---- modules ---- */

/* Change the rights to the first n pages by way of the direct map. -ENOMEM: they are as they were. */
static int alias_protect(const struct vmalloc_area *area, uint64_t n, unsigned flags)
{
    for (uint64_t i = 0; i < n; i++) {
        if (mmu_kernel_protect((vaddr_t)page_to_virt(area->pages[i]), PAGE_SIZE, flags) < 0) {
            int err = alias_protect(area, i, MMU_READ | MMU_WRITE);
            BUG_ON(err < 0); /* they were changed before */
            return -ENOMEM;
        }
    }
    return 0;
}

void *module_alloc(size_t size_bytes)
{
    return vmalloc_for(ARENA_MODULES, size_bytes, __builtin_return_address(0));
}

int module_seal(void *ptr, size_t code_bytes, size_t constant_bytes)
{
    uint64_t irq = spin_lock_irqsave(&areas_lock);
    struct vmalloc_area *area = area_find_locked((vaddr_t)ptr); /* the caller's, so it stays */
    spin_unlock_irqrestore(&areas_lock, irq);

    if (WARN_ON(area == NULL || area->arena != ARENA_MODULES || area->nsealed != 0 ||
                (code_bytes | constant_bytes) % PAGE_SIZE != 0 ||
                (code_bytes + constant_bytes) / PAGE_SIZE > area->npages)) {
        return -EINVAL;
    }
    uint64_t n = (code_bytes + constant_bytes) / PAGE_SIZE;
    int err = alias_protect(area, n, MMU_READ);
    if (err < 0) {
        return err;
    }
    area->nsealed = n;
    /* Its own addresses have small pages already: no memory is needed. */
    err = mmu_kernel_protect(area->start, code_bytes, MMU_READ | MMU_EXEC);
    BUG_ON(err < 0);
    err = mmu_kernel_protect(area->start + code_bytes, constant_bytes, MMU_READ);
    BUG_ON(err < 0);
    return 0;
}

/* ---- release ---- */

static void area_release(struct vunmap *unmap)
{
    struct vmalloc_area *area = container_of(unmap, struct vmalloc_area, unmap);

    guarded_free(area->arena, area->start, area->npages * PAGE_SIZE);
    BUG_ON(alias_protect(area, area->nsealed, MMU_READ | MMU_WRITE) <
           0); /* what is cut stays cut */
    pages_put(area->pages, (unsigned)area->npages);
    kfree(area);
}

void vfree(void *ptr)
{
    if (ptr == NULL) {
        return;
    }
    struct vmalloc_area *area = area_remove((vaddr_t)ptr);
    if (area == NULL) {
        if (defect_begin(DEFECT_HEAP)) {
            log_write(DEFECT_LEVEL, "heap: freed, but is no memory of vmalloc: %p", ptr);
            defect_end();
        }
        return;
    }
    area->unmap =
        (struct vunmap){.start = area->start, .npages = area->npages, .release = area_release};
    vunmap_later(&area->unmap);
}

void *kvmalloc(size_t size_bytes)
{
    if (size_bytes <= KVMALLOC_SMALL) {
        return kmalloc(size_bytes);
    }
    return vmalloc_for(ARENA_KERNEL, size_bytes, __builtin_return_address(0));
}

void kvfree(void *ptr)
{
    if (in_arena(ptr)) {
        vfree(ptr);
    } else {
        kfree(ptr);
    }
}

void vmalloc_init(void)
{
    areas.node = NULL;
}
