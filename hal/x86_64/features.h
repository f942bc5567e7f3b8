/*
 * What this CPU offers, read from CPUID once on the boot CPU.
 */
#pragma once

#include "kernel/base/types.h"

struct cpu_features {
    char vendor[13];
    char brand[49];
    unsigned family, model, stepping;
    uint32_t leaf1_ecx, leaf1_edx, leaf7_ebx, leaf7_ecx, leaf7_edx, ext1_ecx, ext1_edx;
    unsigned physical_bits, virtual_bits;
    unsigned cacheline_bytes;
    bool nx, pge, pat, smep, smap, umip, fsgsbase, la57, gigabyte_pages, pcid, pku;
    bool xsave, xsaveopt, erms, rdrand, rdseed, rdtscp, rdpid, invariant_tsc;
    bool mwait; /* has it, and it is worth to wait by it */
};

extern struct cpu_features cpu_features; /* [I] after features_init() */

/* Boot CPU, first of all. */
void features_init(void);
/* Turn the protections on that the CPU offers, on the CPU that runs this. */
void features_enable(void);
