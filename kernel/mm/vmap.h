/*
 * What arena.c, vmem.c, vmalloc.c, kstack.c and vunmap.c share. Private to kernel/mm.
 */
#pragma once

#include "kernel/mm/arena.h"
#include "kernel/mm/vmem.h"

/* Boot, in this order. */
void vmem_boot(void);
void vmalloc_init(void);
void kstacks_init(void);
void vunmap_init(void);

enum arena_id { ARENA_KERNEL, ARENA_MODULES };

/* Address space between guard pages. */
vaddr_t guarded_alloc(enum arena_id id, uint64_t len_bytes);
void guarded_free(enum arena_id id, vaddr_t va, uint64_t len_bytes);
/* What is unmapped, but has its frames and addresses until no CPU can know it any more. */
struct vunmap {
    struct vunmap *next;
    vaddr_t start;
    uint64_t npages;
    void (*release)(struct vunmap *item); /* gives them back, and the item's own memory */
};
/* Unmap it now, release it when all CPUs have been told: at once, or with others. Any context in which CPUs may be told (tlb flush). */
void vunmap_later(struct vunmap *item);

/* As arena_alloc(), at a multiple of align_bytes. */
vaddr_t arena_alloc_aligned(uint64_t len_bytes, uint64_t align_bytes);
