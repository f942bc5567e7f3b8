/*
 * Marks in the kernel's own code (kernel/abi/mark.h): for a counting machine, nothing for any other.
 */
#pragma once

#include "kernel/abi/mark.h"

#define arch_mark(code)                                                                            \
    __asm__ volatile("nopl %c0(%%rax)" : : "i"(MARK_DISPLACEMENT(code)) : "memory")
