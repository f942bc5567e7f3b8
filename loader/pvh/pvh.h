/*
 * Inside the PVH door: serial sentences and random numbers.
 */
#pragma once

#include "kernel/base/types.h"

/* Say a sentence on the first serial port and stop: nobody to return to. */
void pvh_fail(const char *sentence) __noreturn;

/* Fill `buf` from RDSEED, RDRAND or, at worst, the time stamp counter. True: hardware numbers, fit as a seed. */
bool pvh_random_fill(void *buf, size_t len_bytes);

static inline uint64_t pvh_tsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return ((uint64_t)hi << 32) | lo;
}

struct pvh_cpuid {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct pvh_cpuid pvh_cpuid(uint32_t leaf)
{
    struct pvh_cpuid regs;

    __asm__ volatile("cpuid"
                     : "=a"(regs.eax), "=b"(regs.ebx), "=c"(regs.ecx), "=d"(regs.edx)
                     : "a"(leaf), "c"(0));
    return regs;
}
