/*
 * What arena.c, vmem.c, vmalloc.c and kstack.c share. Private to kernel/mm.
 */
#pragma once

#include "kernel/mm/arena.h"
#include "kernel/mm/vmem.h"

/* Boot, in this order. */
void vmem_boot(void);
void vmalloc_init(void);
void kstacks_init(void);

enum arena_id { ARENA_KERNEL, ARENA_MODULES };

/* Address space between guard pages. */
vaddr_t guarded_alloc(enum arena_id id, uint64_t len_bytes);
void guarded_free(enum arena_id id, vaddr_t va, uint64_t len_bytes);
/* As arena_alloc(), at a multiple of align_bytes. */
vaddr_t arena_alloc_aligned(uint64_t len_bytes, uint64_t align_bytes);
