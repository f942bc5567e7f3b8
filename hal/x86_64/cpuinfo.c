/*
 * What the CPU says about itself to user space: /proc/cpuinfo in Linux's format, the auxiliary vector's capability words; and its random
 * number generator.
 *
 * Names of the flags: Linux's; bits: Intel SDM volume 2, CPUID; AMD APM volume 3, appendix E.
 */
#include "hal/x86_64/features.h"
#include "hal/x86_64/regs.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/machine/clock.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/topology.h"
#include "kernel/machine/vector.h"

#define HWCAP2_FSGSBASE 0x2u
#define RANDOM_TRIES    10

/* Bit 0 first; "" is a bit without a name there. One string per word of CPUID, names separated by blanks. */
static const char leaf1_edx_names[] =
    "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts "
    "acpi mmx fxsr sse sse2 ss ht tm ia64 pbe";
static const char leaf1_ecx_names[] =
    "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid "
    "dca sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave - avx f16c rdrand "
    "hypervisor";
static const char ext1_edx_names[] =
    "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm "
    "3dnowext 3dnow";
static const char ext1_ecx_names[] =
    "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop "
    "skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc "
    "perfctr_llc mwaitx - -";
static const char leaf7_ebx_names[] =
    "fsgsbase tsc_adjust sgx bmi1 hle avx2 - smep bmi2 erms invpcid rtm cqm - mpx rdt_a avx512f "
    "avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt avx512pf avx512er avx512cd "
    "sha_ni avx512bw avx512vl";
static const char leaf7_ecx_names[] =
    "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 - gfni vaes vpclmulqdq avx512_vnni "
    "avx512_bitalg "
    "tme avx512_vpopcntdq - la57 - - - - - rdpid - - cldemote - movdiri movdir64b - - -";

struct text {
    char *buf;
    size_t size;
    int len;
};

static void text_add(struct text *text, const char *name, size_t len)
{
    text->len +=
        kscnprintf(text->buf + text->len, text->size - (size_t)text->len, " %.*s", (int)len, name);
}

static void flags_add(struct text *text, uint32_t bits, const char *names)
{
    for (; *names != '\0'; bits >>= 1) {
        const char *end = strchr(names, ' ');
        size_t len = end == NULL ? strlen(names) : (size_t)(end - names);

        if ((bits & 1) != 0 && names[0] != '-') {
            text_add(text, names, len);
        }
        names += end == NULL ? len : len + 1;
    }
}

static void all_flags_add(struct text *text)
{
    const struct cpu_features *f = &cpu_features;

    flags_add(text, f->leaf1_edx, leaf1_edx_names);
    flags_add(text, f->ext1_edx, ext1_edx_names);
    if (f->invariant_tsc) {
        text_add(text, "constant_tsc", 12);
    }
    text_add(text, "nopl", 4);
    if (f->invariant_tsc) {
        text_add(text, "nonstop_tsc", 11);
    }
    text_add(text, "cpuid", 5);
    flags_add(text, f->leaf1_ecx, leaf1_ecx_names);
    flags_add(text, f->ext1_ecx, ext1_ecx_names);
    flags_add(text, f->leaf7_ebx, leaf7_ebx_names);
    if (f->xsaveopt) {
        text_add(text, "xsaveopt", 8);
    }
    flags_add(text, f->leaf7_ecx, leaf7_ecx_names);
}

/* TSC rate in kHz when it is the clock; else unknown. */
static uint64_t frequency_khz(void)
{
    const struct clock_source *source = clock_source();

    return source != NULL && strcmp(source->name, "tsc") == 0 ? source->frequency_hz / 1000 : 0;
}

int cpu_describe(unsigned id, char *buf, size_t size)
{
    const struct cpu_features *f = &cpu_features;
    const struct cpu_topology *place = cpu_topology(id);
    uint64_t khz = frequency_khz();
    struct text text = {.buf = buf, .size = size};
    struct cpumask package, core;

    cpu_group_mask(id, CPU_GROUP_PACKAGE, &package);
    cpu_group_mask(id, CPU_GROUP_CORE, &core);
    unsigned siblings = cpumask_weight(&package);
    text.len = kscnprintf(
        buf, size,
        "processor\t: %u\nvendor_id\t: %s\ncpu family\t: %u\nmodel\t\t: %u\nmodel name\t: %s\n"
        "stepping\t: %u\ncpu MHz\t\t: %llu.%03llu\nphysical id\t: %u\nsiblings\t: %u\n"
        "core id\t\t: %u\ncpu cores\t: %u\napicid\t\t: %u\ninitial apicid\t: %u\n"
        "fpu\t\t: yes\nfpu_exception\t: yes\ncpuid level\t: %u\nwp\t\t: yes\nflags\t\t:",
        id, f->vendor, f->family, f->model, f->brand, f->stepping, (unsigned long long)(khz / 1000),
        (unsigned long long)(khz % 1000), place->package, siblings, place->core,
        siblings / MAX(cpumask_weight(&core), 1u), machine_apic_id(id), machine_apic_id(id),
        cpuid_read(0, 0).eax);
    all_flags_add(&text);
    text.len += kscnprintf(
        buf + text.len, size - (size_t)text.len,
        "\nbugs\t\t:\nbogomips\t: %llu.%02llu\nclflush size\t: %u\ncache_alignment\t: %u\n"
        "address sizes\t: %u bits physical, %u bits virtual\npower management:\n\n",
        (unsigned long long)(khz / 500), (unsigned long long)(khz / 5 % 100), f->cacheline_bytes,
        f->cacheline_bytes, f->physical_bits, f->virtual_bits);
    return text.len;
}

uint64_t cpu_hwcap(void)
{
    return cpu_features.leaf1_edx;
}

uint64_t cpu_hwcap2(void)
{
    return cpu_features.fsgsbase ? HWCAP2_FSGSBASE : 0;
}

bool cpu_random_u64(uint64_t *ret)
{
    uint64_t value;
    bool ok = false;

    for (int i = 0; cpu_features.rdseed && !ok && i < RANDOM_TRIES; i++) {
        __asm__ volatile("rdseed %0" : "=r"(value), "=@ccc"(ok));
    }
    for (int i = 0; cpu_features.rdrand && !ok && i < RANDOM_TRIES; i++) {
        __asm__ volatile("rdrand %0" : "=r"(value), "=@ccc"(ok));
    }
    if (ok) {
        *ret = value;
    }
    return ok;
}

/* vdso/blob.S */
extern const uint8_t vdso_blob[], vdso_blob_end[];

const void *vdso_image(size_t *ret_size_bytes)
{
    *ret_size_bytes = (size_t)(vdso_blob_end - vdso_blob);
    return vdso_blob;
}
