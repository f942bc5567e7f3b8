/*
 * A look at the kernel half of the page tables when boot is over: no page is both writable and executable, none is open to user mode,
 * and what must not change any more (text, constants, what boot alone may write) is writable nowhere, its alias in the direct map
 * included. Debug builds always look, others when the parameter linnet.audit asks. What is wrong is our mistake: a panic.
 *
 * Rights are what all levels of a walk grant together (Intel SDM volume 3, 4.6.1).
 */
#include "hal/x86_64/features.h"
#include "hal/x86_64/pte.h"
#include "hal/x86_64/regs.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"
#include "kernel/machine/shadow.h"

#ifdef CONFIG_DEBUG
#define AUDIT_DEFAULT true
#else
#define AUDIT_DEFAULT false
#endif

struct audit {
    uint64_t executable, writable, readonly; /* bytes */
    paddr_t constant[2][2];                  /* [start, end) of what must be writable nowhere */
};

static bool is_constant(const struct audit *audit, paddr_t pa, uint64_t size)
{
    for (unsigned i = 0; i < 2; i++) {
        if (pa < audit->constant[i][1] && audit->constant[i][0] < pa + size) {
            return true;
        }
    }
    return false;
}

static void leaf_audit(struct audit *audit, vaddr_t va, pte_t rights, paddr_t pa, uint64_t size)
{
    bool writable = (rights & PTE_WRITE) != 0;
    bool executable = (rights & PTE_NX) == 0;

    if (rights & PTE_USER) {
        panic("mmu: 0x%lx is open to user mode", va);
    }
    if (writable && executable && mmu_format.nx != 0) {
        panic("mmu: 0x%lx is writable and executable", va);
    }
    if (writable && is_constant(audit, pa, size)) {
        panic("mmu: 0x%lx maps what must not change, and is writable", va);
    }
    *(writable ? &audit->writable : executable ? &audit->executable : &audit->readonly) += size;
}

/* `rights`: what the levels above grant, WRITE and USER set when they do, NX when one of them forbids. */
static void table_audit(struct audit *audit, const pte_t *table, unsigned shift, vaddr_t base,
                        pte_t rights)
{
    for (unsigned i = base == 0 ? PTES_PER_TABLE / 2 : 0; i < PTES_PER_TABLE; i++) {
        pte_t entry = table[i];
        vaddr_t va = base + ((vaddr_t)i << shift);
        pte_t both = (rights & entry & (PTE_WRITE | PTE_USER)) | ((rights | entry) & PTE_NX);

        if (base == 0) { /* the top table: the upper half begins here */
            va |= ~0ull << (shift + 8);
        }
        if (!(entry & PTE_PRESENT)) {
            continue;
        }
        if (shift > PAGE_SHIFT && shadow_table_is_shared(entry & PTE_ADDRESS)) {
            continue; /* terabytes of one page of zeros, which nobody can write or execute */
        }
        if (shift > PAGE_SHIFT && (shift > PDPTE_SHIFT || !(entry & PTE_LARGE))) {
            table_audit(audit, pte_table(entry), shift - 9, va, both);
            continue;
        }
        paddr_t pa = entry & PTE_ADDRESS & ~((1ull << shift) - 1);
        leaf_audit(audit, va, both, pa, 1ull << shift);
    }
}

static void control_audit(void)
{
    const struct cpu_features *f = &cpu_features;
    uint64_t want = (f->smep ? CR4_SMEP : 0) | (f->smap ? CR4_SMAP : 0) | (f->umip ? CR4_UMIP : 0) |
                    (f->fsgsbase ? CR4_FSGSBASE : 0);

    if ((cr4_read() & want) != want || (cr0_read() & CR0_WP) == 0 ||
        (f->nx && (msr_read(MSR_EFER) & EFER_NXE) == 0)) {
        panic("cpu: a protection that the CPU has is not on");
    }
}

void mmu_audit(const paddr_t constant[2][2])
{
    struct audit audit = {
        .constant = {{constant[0][0], constant[0][1]}, {constant[1][0], constant[1][1]}}};

    if (!param_bool("linnet.audit", AUDIT_DEFAULT)) {
        return;
    }
    control_audit();
    table_audit(&audit, phys_to_virt(mmu_kernel.root), mmu_format.la57 ? PML5E_SHIFT : PML4E_SHIFT,
                0, PTE_WRITE | PTE_USER);
    log_info(
        "mmu: audit: %lu KiB executable, %lu KiB read-only, %lu KiB writable, none in two ways",
        audit.executable / 1024, audit.readonly / 1024, audit.writable / 1024);
}
