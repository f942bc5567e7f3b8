/*
 * The time-stamp counter, and what CPUID says about it (Intel SDM 3B, 18.17).
 */
#include "hal/pc/cpuid.h"
#include "hal/pc/pc.h"

#define CPUID_POWER_LEAF       0x80000007u
#define CPUID_INVARIANT_TSC    BIT(8) /* edx */
#define CPUID_TSC_LEAF         0x15u
#define CPUID_HYPERVISOR       BIT(31) /* leaf 1, ecx */
#define CPUID_HYPERVISOR_BASE  0x40000000u
#define CPUID_HYPERVISOR_CLOCK 0x40000010u /* eax: TSC kHz; VMware's leaf, QEMU has it too */

static struct counter tsc = {
    .source = {.name = "tsc", .user_readable = true, .read = tsc_read},
    .wrap = {.mask = UINT64_MAX},
};

uint64_t tsc_read(void)
{
    return tsc_read_inline();
}

struct counter *tsc_counter(void)
{
    return &tsc;
}

bool tsc_is_invariant(void)
{
    return cpuid_max(0x80000000u) >= CPUID_POWER_LEAF &&
           (cpuid_read(CPUID_POWER_LEAF, 0).edx & CPUID_INVARIANT_TSC) != 0;
}

bool tsc_is_virtual(void)
{
    return (cpuid_read(1, 0).ecx & CPUID_HYPERVISOR) != 0;
}

uint64_t tsc_cpuid_hz(void)
{
    if (cpuid_max(0) >= CPUID_TSC_LEAF) {
        /* SDM 2A, CPUID leaf 15H: a crystal of ecx Hz, times ebx, divided by eax. */
        struct cpuid id = cpuid_read(CPUID_TSC_LEAF, 0);
        if (id.eax != 0 && id.ebx != 0 && id.ecx != 0) {
            return (uint64_t)id.ecx * id.ebx / id.eax;
        }
    }
    if (tsc_is_virtual() && cpuid_max(CPUID_HYPERVISOR_BASE) >= CPUID_HYPERVISOR_CLOCK) {
        return cpuid_read(CPUID_HYPERVISOR_CLOCK, 0).eax * 1000ull;
    }
    return 0;
}
