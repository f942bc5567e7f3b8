/*
 * Page geometry on the host: physical memory is one anonymous mapping that hal/host makes.
 */
#pragma once

#include "kernel/abi/boot.h"
#include "kernel/base/types.h"

#define PAGE_SHIFT       12
#define PAGE_SIZE        4096ull
#define HUGE_PAGE_SHIFT  21
#define HUGE_PAGE_SIZE   0x200000ull
#define GIANT_PAGE_SHIFT 30
#define GIANT_PAGE_SIZE  0x40000000ull
#define USER_MIN         0x10000ull
#define USER_WINDOW      0x00007ffffffff000ull
#define USER_TOP         machine_user_top
extern uint64_t
    machine_user_top; /* USER_WINDOW; a test may raise it to HOST_USER_TOP_5 while it has no space */
#define HOST_USER_TOP_5 0x00fffffffffff000ull

extern uint8_t *host_phys_base; /* virtual address of physical 0; set by host_machine_init() */

static inline void *phys_to_virt(paddr_t pa)
{
    return host_phys_base + pa;
}

static inline paddr_t virt_to_phys(const void *va)
{
    return (paddr_t)((const uint8_t *)va - host_phys_base);
}

static inline void page_clear(void *page)
{
    __builtin_memset(page, 0, PAGE_SIZE);
}

static inline void page_copy(void *dst, const void *src)
{
    __builtin_memcpy(dst, src, PAGE_SIZE);
}
