/*
 * CPU features: detection and switching on. Setting a CR4 bit that CPUID does not offer is a fault on real CPUs and a silent hang on
 * some emulators, so every bit hangs on its CPUID bit (Intel SDM volume 2, CPUID; volume 3, 2.5).
 */
#include "hal/x86_64/features.h"

#include "hal/x86_64/pkey.h"
#include "hal/x86_64/regs.h"
#include "kernel/base/string.h"

struct cpu_features cpu_features __ro_after_init;

/* PAT entries 0..7: WB WT UC- UC WC WP UC- UC. 0 to 3 as after reset; 4 is what kernel/abi/boot.h promises. */
#define PAT_VALUE 0x0007050100070406ull

extern bool page_clear_by_sse; /* string.S */

static bool bit(uint32_t value, unsigned n)
{
    return (value >> n & 1) != 0;
}

static void identity_read(struct cpu_features *f, uint32_t max_extended)
{
    struct cpuid_regs r = cpuid_read(0, 0);

    memcpy(f->vendor, &r.ebx, 4);
    memcpy(f->vendor + 4, &r.edx, 4);
    memcpy(f->vendor + 8, &r.ecx, 4);
    r = cpuid_read(1, 0);
    f->stepping = r.eax & 15;
    f->model = r.eax >> 4 & 15;
    f->family = r.eax >> 8 & 15;
    if (f->family == 6 || f->family == 15) {
        f->model |= r.eax >> 12 & 0xf0;
    }
    if (f->family == 15) {
        f->family += r.eax >> 20 & 0xff;
    }
    f->cacheline_bytes = (r.ebx >> 8 & 0xff) * 8;
    for (uint32_t i = 0; i < 3 && max_extended >= 0x80000004; i++) {
        r = cpuid_read(0x80000002 + i, 0);
        memcpy(f->brand + 16 * i, &r, 16);
    }
}

static void words_read(struct cpu_features *f, uint32_t max_basic, uint32_t max_extended)
{
    struct cpuid_regs r = cpuid_read(1, 0);

    f->leaf1_ecx = r.ecx;
    f->leaf1_edx = r.edx;
    if (max_basic >= 7) {
        r = cpuid_read(7, 0);
        f->leaf7_ebx = r.ebx;
        f->leaf7_ecx = r.ecx;
        f->leaf7_edx = r.edx;
    }
    r = cpuid_read(0x80000001, 0);
    f->ext1_ecx = r.ecx;
    f->ext1_edx = r.edx;
    f->physical_bits = 36;
    f->virtual_bits = 48;
    if (max_extended >= 0x80000008) {
        r = cpuid_read(0x80000008, 0);
        f->physical_bits = r.eax & 0xff;
        f->virtual_bits = r.eax >> 8 & 0xff;
    }
    f->invariant_tsc = max_extended >= 0x80000007 && bit(cpuid_read(0x80000007, 0).edx, 8);
    f->xsave = bit(f->leaf1_ecx, 26) && max_basic >= 13;
    f->xsaveopt = f->xsave && bit(cpuid_read(13, 1).eax, 0);
    f->pku = bit(f->leaf7_ecx, 3) && f->xsave && bit(cpuid_read(13, 0).eax, 9);
    f->leaf7_ecx &= ~(3u << 3); /* PKU, and OSPKE: it is on */
    f->leaf7_ecx |= f->pku ? 3u << 3 : 0;
}

/* Is it an Intel CPU of family 6 and one of these models? */
static bool is_intel_model(const struct cpu_features *f, const uint8_t *models, unsigned count)
{
    return f->family == 6 && memchr(models, (int)f->model, count) != NULL &&
           strcmp(f->vendor, "GenuineIntel") == 0;
}

/*
 * With PCIDs on, INVLPG of these leaves global translations where they are, unless a new microcode is loaded (Intel, Alder Lake
 * specification update, ADL063; Raptor Lake, RPL037).
 */
static bool invlpg_misses_global(const struct cpu_features *f)
{
    static const uint8_t models[] = {0x97, 0x9a, 0xb7, 0xba, 0xbe, 0xbf};

    return is_intel_model(f, models, ARRAY_SIZE(models));
}

/*
 * Stores to a line that these watch may not wake them (Intel, specification updates of Xeon 7400, AAI65, and its successors; of Apollo Lake, APL30;
 * of Lunar Lake, LNL030).
 */
static bool mwait_misses_stores(const struct cpu_features *f)
{
    static const uint8_t models[] = {0x1d, 0x2e, 0x2f, 0x5c, 0xbd};

    return is_intel_model(f, models, ARRAY_SIZE(models));
}

/*
 * Not below a hypervisor, which would have to notice each MONITOR (SDM volume 3, 26.1.3), and where the CPU does not say what lines it watches
 * (SDM volume 2, CPUID leaf 05H).
 */
static bool mwait_pays(const struct cpu_features *f, uint32_t max_basic)
{
    return bit(f->leaf1_ecx, 3) && !bit(f->leaf1_ecx, 31) && max_basic >= 5 &&
           (cpuid_read(5, 0).ebx & 0xffff) != 0 && !mwait_misses_stores(f);
}

void features_init(void)
{
    struct cpu_features *f = &cpu_features;
    uint32_t max_basic = cpuid_read(0, 0).eax;
    uint32_t max_extended = cpuid_read(0x80000000, 0).eax;

    identity_read(f, max_extended);
    words_read(f, max_basic, max_extended);
    f->pge = bit(f->leaf1_edx, 13);
    f->pat = bit(f->leaf1_edx, 16);
    f->rdrand = bit(f->leaf1_ecx, 30);
    f->fsgsbase = bit(f->leaf7_ebx, 0);
    f->smep = bit(f->leaf7_ebx, 7);
    f->erms = bit(f->leaf7_ebx, 9);
    f->rdseed = bit(f->leaf7_ebx, 18);
    f->smap = bit(f->leaf7_ebx, 20);
    f->umip = bit(f->leaf7_ecx, 2);
    f->la57 = (cr4_read() & CR4_LA57) != 0;
    if (!f->la57) {
        f->leaf7_ecx &= ~(1u << 16); /* not on, so not offered to user space */
    }
    f->pcid = bit(f->leaf1_ecx, 17) && f->pge && !invlpg_misses_global(f);
    f->rdpid = bit(f->leaf7_ecx, 22);
    f->nx = bit(f->ext1_edx, 20);
    f->gigabyte_pages = bit(f->ext1_edx, 26);
    f->rdtscp = bit(f->ext1_edx, 27);
    f->mwait = mwait_pays(f, max_basic);
    page_clear_by_sse = !f->erms;
}

void features_enable(void)
{
    const struct cpu_features *f = &cpu_features;
    uint64_t cr4 = cr4_read() | CR4_OSFXSR | CR4_OSXMMEXCPT;

    cr4 |= f->pge ? CR4_PGE : 0;
    cr4 |= f->smep ? CR4_SMEP : 0;
    cr4 |= f->smap ? CR4_SMAP : 0;
    cr4 |= f->umip ? CR4_UMIP : 0;
    cr4 |= f->fsgsbase ? CR4_FSGSBASE : 0;
    cr4 |= f->xsave ? CR4_OSXSAVE : 0;
    cr4 |= f->pku ? CR4_PKE : 0;
    cr4_write(cr4);
    cr0_write((cr0_read() & ~(CR0_EM | CR0_TS)) | CR0_MP | CR0_NE | CR0_WP | CR0_AM);
    msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_SCE | (f->nx ? EFER_NXE : 0));
    if (f->pat) {
        msr_write(MSR_PAT, PAT_VALUE);
    }
    pkey_set_rights(PKRU_INITIAL);
}
