/*
 * Kernel virtual arenas: page-granular address space between BOOT_ARENA and its end, for stacks, device mappings and large
 * buffers that need not be physically contiguous. Each allocation has an unmapped guard page on both sides.
 * Locking: arena lock (spin, irqsave).
 */
#pragma once

#include "kernel/mm/page.h"

#ifdef HOST_BUILD
extern vaddr_t host_arena_base, host_modules_base; /* hal/host reserves address space of its own */
#define ARENA_BASE   host_arena_base
#define ARENA_SIZE   GIB(64)
#define MODULES_BASE host_modules_base
#define MODULES_SIZE MIB(64)
#else
#define MODULES_BASE BOOT_MODULES
#define MODULES_SIZE BOOT_MODULES_SIZE
#define ARENA_BASE   BOOT_ARENA
#define ARENA_SIZE   BOOT_ARENA_SIZE
#endif

/* Reserve address space without backing. 0: none left. Any context. */
vaddr_t arena_alloc(uint64_t len_bytes);
void arena_free(vaddr_t va, uint64_t len_bytes);
/* In how many pieces the free address space is: 1 when nothing is in use. For tests and figures. */
uint64_t arena_free_ranges(void);

/*
 * Kernel memory that is freed is unmapped at once, but its frames and addresses are kept until CPUs are told of it together (vunmap.c). Tell them now:
 * how many pages that released. Thread context.
 */
uint64_t vunmap_flush(void);
uint64_t vunmap_waiting(void); /* pages kept so; any context */
uint64_t vunmap_flushes(void); /* how often CPUs were told */
/* Tell them when so many pages have come together; for tests. */
void vunmap_set_limit(uint64_t npages);

/* Virtually contiguous memory from single frames; zeroed. Thread context. */
void *vmalloc(size_t size_bytes) __must_check;
void vfree(void *ptr);

/*
 * Memory for code that comes after boot, so near to the image that calls reach it. Like vmalloc's, and vfree() takes it too; it may be written and
 * not executed until it is sealed: the first code_bytes may be executed then, the next constant_bytes read (both multiples of PAGE_SIZE), and
 * nobody can write them any more, by these addresses or by those of the direct map.
 */
void *module_alloc(size_t size_bytes) __must_check;
/* Once. -ENOMEM: nothing has changed. */
int module_seal(void *ptr, size_t code_bytes, size_t constant_bytes);

/* /proc/vmallocinfo: the lowest area at or above `from`. False: there is none. Any context. */
struct vmalloc_info {
    vaddr_t start;
    uint64_t npages;
    const void *caller; /* an address in the function that asked for it */
};
bool vmalloc_describe(vaddr_t from, struct vmalloc_info *ret_info);
/* Pages in all areas. Any context. */
uint64_t vmalloc_pages(void);

/* kmalloc for small sizes, vmalloc for large ones. */
void *kvmalloc(size_t size_bytes) __must_check;
/* As krealloc(), for what kvmalloc gave; what vmalloc gave keeps all its memory when it gets smaller. NULL allocates. */
void *kvrealloc(void *ptr, size_t size_bytes) __must_check;
void kvfree(void *ptr);

/* Kernel stacks: KSTACK_SIZE bytes with guard pages; freed ones are cached per CPU. Returns the lowest address or NULL. */
#ifdef CONFIG_KASAN
#define KSTACK_SIZE 32768ull /* red zones around variables */
#else
#define KSTACK_SIZE 16384ull
#endif
void *kstack_alloc(void) __must_check;
void kstack_free(void *stack);
/* A CPU does not run any more (struct cpu_step): the stacks that it kept go to others. Thread context. */
void kstacks_cpu_dead(unsigned cpu);
/* True when `addr` lies in a guard page of a kernel stack: a stack overflow. Any context. */
bool kstack_guard_hit(vaddr_t addr);
void arena_init(void);
