/*
 * Page geometry and the direct map of x86-64.
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

/*
 * User addresses lie in [USER_MIN, USER_TOP): with 5 levels of page tables up to 2^56, with 4 up to 2^47, as found at boot. The last page is
 * kept free, so that no SYSCALL ends non-canonical. Stacks, programs and mappings that nobody wants higher lie below USER_WINDOW.
 */
#define USER_MIN    0x10000ull
#define USER_WINDOW 0x00007ffffffff000ull
#define USER_TOP    machine_user_top
extern uint64_t machine_user_top; /* [I] after boot */

static inline void *phys_to_virt(paddr_t pa)
{
    return (void *)(uintptr_t)(pa + BOOT_DIRECT_MAP);
}

/* Only for addresses in the direct map. */
static inline paddr_t virt_to_phys(const void *va)
{
    return (paddr_t)(uintptr_t)va - BOOT_DIRECT_MAP;
}

/* Clear and copy whole, page-aligned pages. */
void page_clear(void *page);
void page_copy(void *dst, const void *src);
