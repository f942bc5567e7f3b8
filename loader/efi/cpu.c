/*
 * CPUID (Intel SDM 2A, CPUID; AMD APM 3, appendix E) and model-specific registers.
 */
#include "loader/efi/cpu.h"

#define MSR_PAT  0x277
#define MSR_EFER 0xc0000080

#define EFER_NXE BIT(11)
#define CR4_LA57 BIT(12)

/*
 * PAT (SDM 3A 11.12.2): the power-on value WB WT UC- UC twice, but entry 4 (PAT bit alone)
 * write-combining. No table in use now sets the PAT bit, so that nothing changes its meaning.
 */
#define PAT_VALUE 0x0007040100070406ull

struct cpuid {
    uint32_t eax, ebx, ecx, edx;
};

/* All zero when the leaf does not exist. */
static struct cpuid cpuid(uint32_t leaf)
{
    struct cpuid r;

    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf & 0x80000000u), "c"(0));
    if (r.eax < leaf) {
        return (struct cpuid){0};
    }
    __asm__ volatile("cpuid"
                     : "=a"(r.eax), "=b"(r.ebx), "=c"(r.ecx), "=d"(r.edx)
                     : "a"(leaf), "c"(0));
    return r;
}

bool cpu_has_nx(void)
{
    return (cpuid(0x80000001).edx & BIT(20)) != 0;
}

bool cpu_has_gib_pages(void)
{
    return (cpuid(0x80000001).edx & BIT(26)) != 0;
}

bool cpu_has_rdrand(void)
{
    return (cpuid(1).ecx & BIT(30)) != 0;
}

bool cpu_has_la57(void)
{
    return (cpuid(7).ecx & BIT(16)) != 0;
}

bool cpu_in_la57(void)
{
    uint64_t cr4;

    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    return (cr4 & CR4_LA57) != 0;
}

uint64_t cpu_tsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return (uint64_t)high << 32 | low;
}

static uint64_t msr_read(uint32_t msr)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
    return (uint64_t)high << 32 | low;
}

static void msr_write(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr" ::"c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

void cpu_prepare_paging(void)
{
    __asm__ volatile("cli");
    msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_NXE);
    __asm__ volatile("wbinvd" ::: "memory"); /* SDM 3A 11.12.4: before memory types change */
    msr_write(MSR_PAT, PAT_VALUE);
}
