/*
 * The CPU's own registers: model-specific, control, descriptor and XSAVE ones, one instruction per function.
 * Numbers: Intel SDM volume 4 (MSRs), volume 3, 2.5 (control registers); AMD APM volume 2.
 */
#pragma once

#include "kernel/base/types.h"

#define MSR_PAT            0x277u
#define MSR_EFER           0xc0000080u
#define MSR_STAR           0xc0000081u
#define MSR_LSTAR          0xc0000082u
#define MSR_CSTAR          0xc0000083u
#define MSR_FMASK          0xc0000084u
#define MSR_FS_BASE        0xc0000100u
#define MSR_GS_BASE        0xc0000101u
#define MSR_KERNEL_GS_BASE 0xc0000102u
#define MSR_TSC_AUX        0xc0000103u
#define MSR_SYSENTER_CS    0x174u

#define EFER_SCE 0x001ull
#define EFER_LME 0x100ull
#define EFER_NXE 0x800ull

#define CR0_MP 0x00000002ull
#define CR0_EM 0x00000004ull
#define CR0_TS 0x00000008ull
#define CR0_NE 0x00000020ull
#define CR0_WP 0x00010000ull
#define CR0_AM 0x00040000ull

#define CR4_PAE        0x00000020ull
#define CR4_PGE        0x00000080ull
#define CR4_OSFXSR     0x00000200ull
#define CR4_OSXMMEXCPT 0x00000400ull
#define CR4_UMIP       0x00000800ull
#define CR4_LA57       0x00001000ull
#define CR4_FSGSBASE   0x00010000ull
#define CR4_PCIDE      0x00020000ull
#define CR4_OSXSAVE    0x00040000ull
#define CR4_SMEP       0x00100000ull
#define CR4_SMAP       0x00200000ull
#define CR4_PKE        0x00400000ull

#define CR3_KEEP (1ull << 63) /* with CR4.PCIDE: what is known under the new identifier stays */

#define RFLAGS_CF 0x00001ull
#define RFLAGS_TF 0x00100ull
#define RFLAGS_IF 0x00200ull
#define RFLAGS_DF 0x00400ull
#define RFLAGS_NT 0x04000ull
#define RFLAGS_RF 0x10000ull
#define RFLAGS_AC 0x40000ull

struct cpuid_regs {
    uint32_t eax, ebx, ecx, edx;
};

static inline struct cpuid_regs cpuid_read(uint32_t leaf, uint32_t subleaf)
{
    struct cpuid_regs regs;

    __asm__ volatile("cpuid"
                     : "=a"(regs.eax), "=b"(regs.ebx), "=c"(regs.ecx), "=d"(regs.edx)
                     : "a"(leaf), "c"(subleaf));
    return regs;
}

/* Forget instructions fetched ahead (SDM volume 3, 8.3). */
static inline void cpu_serialize(void)
{
    (void)cpuid_read(0, 0);
}

static inline uint64_t msr_read(uint32_t msr)
{
    uint32_t lo, hi;

    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return ((uint64_t)hi << 32) | lo;
}

static inline void msr_write(uint32_t msr, uint64_t value)
{
    __asm__ volatile("wrmsr"
                     :
                     : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32))
                     : "memory");
}

#define CONTROL_REGISTER_(n)                                                                       \
    static inline uint64_t cr##n##_read(void)                                                      \
    {                                                                                              \
        uint64_t value;                                                                            \
                                                                                                   \
        __asm__ volatile("movq %%cr" #n ", %0" : "=r"(value));                                     \
        return value;                                                                              \
    }                                                                                              \
    static inline void cr##n##_write(uint64_t value)                                               \
    {                                                                                              \
        __asm__ volatile("movq %0, %%cr" #n : : "r"(value) : "memory");                            \
    }
CONTROL_REGISTER_(0)
CONTROL_REGISTER_(2)
CONTROL_REGISTER_(3)
CONTROL_REGISTER_(4)

static inline uint64_t dr6_read(void)
{
    uint64_t value;

    __asm__ volatile("movq %%dr6, %0" : "=r"(value));
    return value;
}

#define DEBUG_REGISTER_(n)                                                                         \
    static inline void dr##n##_write(uint64_t value)                                               \
    {                                                                                              \
        __asm__ volatile("movq %0, %%dr" #n : : "r"(value) : "memory");                            \
    }
DEBUG_REGISTER_(0)
DEBUG_REGISTER_(1)
DEBUG_REGISTER_(2)
DEBUG_REGISTER_(3)
DEBUG_REGISTER_(6)
DEBUG_REGISTER_(7)

static inline void tlb_flush_page(vaddr_t va)
{
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

#define SELECTOR_(name)                                                                            \
    static inline uint32_t name##_read(void)                                                       \
    {                                                                                              \
        uint32_t selector;                                                                         \
                                                                                                   \
        __asm__ volatile("movl %%" #name ", %0" : "=r"(selector));                                 \
        return selector;                                                                           \
    }
SELECTOR_(ds)
SELECTOR_(es)
SELECTOR_(fs)
SELECTOR_(gs)

/* All four, a byte each, for the descriptor table is short (desc.c): DS, ES, FS, GS from the lowest. */
#define SELECTOR_FS 0x00ff0000u
#define SELECTOR_GS 0xff000000u

static inline uint32_t selectors_read(void)
{
    return ds_read() | es_read() << 8 | fs_read() << 16 | gs_read() << 24;
}

/* What user mode had loaded, or could have. The bases of FS and of user mode's GS are anything then. Interrupts off. */
static inline void selectors_load(uint32_t selectors)
{
    __asm__ volatile("movl %0, %%ds; movl %1, %%es; movl %2, %%fs; swapgs; movl %3, %%gs; swapgs"
                     :
                     : "r"(selectors & 0xff), "r"(selectors >> 8 & 0xff),
                       "r"(selectors >> 16 & 0xff), "r"(selectors >> 24)
                     : "memory");
}

/* CR4.FSGSBASE is on. */
static inline uint64_t fs_base_read(void)
{
    uint64_t base;

    __asm__ volatile("rdfsbase %0" : "=r"(base));
    return base;
}

static inline void fs_base_write(uint64_t base)
{
    __asm__ volatile("wrfsbase %0" : : "r"(base));
}

/* The user's GS base lies in the hidden register that SWAPGS exchanges. Interrupts off. */
static inline uint64_t user_gs_base_read(void)
{
    uint64_t base;

    __asm__ volatile("swapgs; rdgsbase %0; swapgs" : "=r"(base) : : "memory");
    return base;
}

static inline void user_gs_base_write(uint64_t base)
{
    __asm__ volatile("swapgs; wrgsbase %0; swapgs" : : "r"(base) : "memory");
}

/* CR4.PKE is on. */
static inline uint32_t pkru_read(void)
{
    uint32_t value, zero;

    __asm__ volatile("rdpkru" : "=a"(value), "=d"(zero) : "c"(0));
    return value;
}

static inline void pkru_write(uint32_t value)
{
    __asm__ volatile("wrpkru" : : "a"(value), "c"(0), "d"(0) : "memory");
}

static inline void xcr0_write(uint64_t value)
{
    __asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}
