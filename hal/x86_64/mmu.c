#include "kernel/machine/mmu.h"
#include "hal/x86_64/start.h"
#include "kernel/abi/boot.h"
struct mmu_space mmu_kernel;
void mmu_init_early(const struct boot_handoff *h)
{
    mmu_kernel.root = h->page_table_root;
}
