/*
 * Marks (kernel/abi/mark.h): nobody counts a test program's instructions.
 */
#pragma once

#include "kernel/abi/mark.h"

#define arch_mark(code) __asm__ volatile("" : : "i"(code) : "memory")
