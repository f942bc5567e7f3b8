/*
 * Marks in the kernel's own code (kernel/abi/mark.h): for a counting machine, nothing for any other.
 */
#pragma once

#include "kernel/abi/mark.h"
#include "kernel/base/types.h"

#define arch_mark(code)                                                                            \
    __asm__ volatile("nopl %c0(%%rax)" : : "i"(MARK_DISPLACEMENT(code)) : "memory")

/*
 * A machine that counts each CPU's instructions (kernel/abi/mark.h) puts their number where `fallback` stood; any other leaves that.
 */
static inline uint64_t arch_count(uint64_t fallback)
{
    uint64_t count;

    __asm__ volatile("nopl %c2(%%rax); movq %1, %0"
                     : "=m"(count)
                     : "r"(fallback), "i"(MARK_DISPLACEMENT(MARK_COUNT)));
    return count;
}
