/*
 * Memory of modules: code is put there, sealed, and run. See selftest.h; that it cannot be written then, nor run before, crash.c tries.
 */
#include "kernel/base/string.h"
#include "kernel/debug/selftest.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/arena.h"

#define CODE_BYTES 64u /* more than answer() has */

/* Calls nothing and names no address: its code may lie anywhere. */
static __noinline __attribute__((no_sanitize("address", "undefined"))) int answer(int x)
{
    return 2 * x + 1;
}

static unsigned rights(const void *ptr)
{
    paddr_t pa;
    unsigned flags;

    return mmu_query(&mmu_kernel, (vaddr_t)ptr, &pa, &flags)
               ? flags & (MMU_READ | MMU_WRITE | MMU_EXEC)
               : 0;
}

static void *alias(const void *ptr)
{
    paddr_t pa = 0;
    unsigned flags;

    (void)mmu_query(&mmu_kernel, (vaddr_t)ptr, &pa, &flags);
    return phys_to_virt(pa);
}

static bool code_runs(void)
{
    int (*volatile original)(int) = answer;
    uint8_t *memory = module_alloc(3 * PAGE_SIZE);
    bool good = memory != NULL && rights(memory) == (MMU_READ | MMU_WRITE);

    if (!good) {
        return false;
    }
    void *page = alias(memory);
    memcpy(memory, (const void *)(uintptr_t)original, CODE_BYTES);
    memory[PAGE_SIZE] = 7;
    good = module_seal(memory, PAGE_SIZE, PAGE_SIZE) == 0;
    int (*volatile copy)(int) = (int (*)(int))(uintptr_t)memory;
    good = good && rights(memory) == (MMU_READ | MMU_EXEC) && rights(page) == MMU_READ &&
           rights(memory + PAGE_SIZE) == MMU_READ &&
           rights(alias(memory + PAGE_SIZE)) == MMU_READ &&
           rights(memory + 2 * PAGE_SIZE) == (MMU_READ | MMU_WRITE) && memory[PAGE_SIZE] == 7 &&
           copy(20) == 41;
    vfree(memory);
    return good && rights(memory) == 0 && rights(page) == (MMU_READ | MMU_WRITE);
}

SELFTEST(module_code_runs) = {
    .group = "modules", .name = "code in a module's memory, sealed, runs", .run = code_runs};
