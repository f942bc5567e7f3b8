#define TEST_SUITE "vm"
/*
 * Protection keys: what a space gives out, and how they follow regions and page table entries.
 */
#include "test/unit/test.h"

#include <linux/mman.h>

#include "hal/host/host.h"
#include "kernel/machine/cpu.h"
#include "test/unit/vm/space.h"

#define BASE 0x10000000ull

static unsigned entry_key(struct vmspace *vm, uint64_t va)
{
    paddr_t pa;
    unsigned flags;

    return mmu_query(&vm->mmu, va, &pa, &flags) ? (flags & MMU_KEY) >> MMU_KEY_SHIFT : 99;
}

TEST(pkey, keys_are_given_out_until_there_are_none)
{
    struct vmspace *vm = space_enter();

    for (int key = 1; key < 16; key++) {
        EXPECT_EQ(vmspace_pkey_alloc(vm, PKEY_DISABLE_WRITE), key);
        EXPECT(cpu_pkey_allows((unsigned)key, false) && !cpu_pkey_allows((unsigned)key, true));
    }
    EXPECT_EQ(vmspace_pkey_alloc(vm, 0), -ENOSPC);
    EXPECT_EQ(vmspace_pkey_free(vm, 5), 0);
    EXPECT_EQ(vmspace_pkey_free(vm, 5), -EINVAL);
    EXPECT_EQ(vmspace_pkey_free(vm, 16), -EINVAL);
    EXPECT_EQ(vmspace_pkey_free(vm, -1), -EINVAL);
    EXPECT_EQ(vmspace_pkey_alloc(vm, 0), 5);
    host_pkru = HOST_PKRU_INITIAL;
    space_leave();
}

TEST(pkey, entries_and_regions_have_the_key)
{
    struct vmspace *vm = space_enter();
    uint8_t byte;

    EXPECT_EQ(map_anon(vm, BASE, 4, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 1), 0);
    int key = vmspace_pkey_alloc(vm, 0);
    EXPECT_EQ(vmspace_protect_key(vm, BASE + PAGE_SIZE, 2 * PAGE_SIZE, TEST_RW, 9), -EINVAL);
    EXPECT_EQ(vmspace_protect_key(vm, BASE + PAGE_SIZE, 2 * PAGE_SIZE, TEST_RW, key), 0);
    EXPECT_EQ(poke(BASE + 2 * PAGE_SIZE, 1), 0);
    EXPECT_EQ(entry_key(vm, BASE), 0);
    EXPECT_EQ(entry_key(vm, BASE + PAGE_SIZE), key);
    EXPECT_EQ(entry_key(vm, BASE + 2 * PAGE_SIZE), key);
    EXPECT_EQ(vmspace_pkey_at(vm, BASE), 0);
    EXPECT_EQ(vmspace_pkey_at(vm, BASE + PAGE_SIZE), key);
    EXPECT_EQ(vm->nregions, 3);
    cpu_pkey_restrict((unsigned)key, PKEY_DISABLE_ACCESS);
    EXPECT_EQ(copy_from_user(&byte, (void *)(BASE + PAGE_SIZE), 1), -EFAULT);
    EXPECT_EQ(vmspace_advise(vm, BASE, 4 * PAGE_SIZE, MADV_POPULATE_READ), -EINVAL);
    EXPECT_EQ(vmspace_lock(vm, BASE, 4 * PAGE_SIZE, false), -ENOMEM);
    vmspace_unlock_all(vm);
    EXPECT_EQ(vmspace_access(vm, BASE + PAGE_SIZE, &byte, 1, false, false), 1);
    /* Rights come and go, the key stays. */
    EXPECT_EQ(vmspace_protect(vm, BASE, 4 * PAGE_SIZE, 0), 0);
    EXPECT_EQ(vmspace_protect(vm, BASE, 4 * PAGE_SIZE, TEST_RW), 0);
    EXPECT_EQ(entry_key(vm, BASE), 0);
    EXPECT_EQ(entry_key(vm, BASE + PAGE_SIZE), key);
    EXPECT_EQ(vmspace_protect_key(vm, BASE, 4 * PAGE_SIZE, TEST_RW, 0), 0);
    EXPECT_EQ(vm->nregions, 1);
    EXPECT_EQ(copy_from_user(&byte, (void *)(BASE + PAGE_SIZE), 1), 0);
    host_pkru = HOST_PKRU_INITIAL;
    space_leave();
}

TEST(pkey, memory_to_execute_alone_cannot_be_read)
{
    struct vmspace *vm = space_enter();
    uint8_t byte;

    EXPECT_EQ(map_anon(vm, BASE, 3, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(poke(BASE + PAGE_SIZE, 1), 0);
    EXPECT_EQ(vmspace_protect(vm, BASE + PAGE_SIZE, PAGE_SIZE, VM_EXEC), 0);
    unsigned key = vmspace_pkey_at(vm, BASE + PAGE_SIZE);
    EXPECT(key > 0);
    EXPECT_EQ(entry_key(vm, BASE + PAGE_SIZE), key);
    EXPECT_EQ(copy_from_user(&byte, (void *)(BASE + PAGE_SIZE), 1), -EFAULT);
    EXPECT_EQ(vmspace_pkey_free(vm, (int)key), -EINVAL);
    EXPECT_EQ(vmspace_protect_key(vm, BASE, PAGE_SIZE, TEST_RW, (int)key), -EINVAL);
    struct vmspace *child;
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT_EQ(entry_key(child, BASE + PAGE_SIZE), key);
    EXPECT_EQ(child->exec_key, key);
    vmspace_put(child);
    EXPECT_EQ(vmspace_protect(vm, BASE, 3 * PAGE_SIZE, TEST_RW), 0);
    EXPECT_EQ(entry_key(vm, BASE + PAGE_SIZE), 0);
    EXPECT_EQ(vm->nregions, 1);
    EXPECT_EQ(copy_from_user(&byte, (void *)(BASE + PAGE_SIZE), 1), 0);
    EXPECT(map_anon(vm, BASE + MIB(1), 1, VM_EXEC | VM_MAYREAD) > 0);
    EXPECT_EQ(vmspace_pkey_at(vm, BASE + MIB(1)), key);
    host_pkru = HOST_PKRU_INITIAL;
    space_leave();
}

/* Huge leaves are cut where another key begins; soft entries have none, and get the region's when their page comes back. */
TEST(pkey, huge_leaves_have_the_key_and_are_cut)
{
    const uint64_t at = BASE + GIB(1);
    struct vmspace *vm = space_enter();

    EXPECT_EQ(map_anon(vm, at, HUGE_PAGE_SIZE >> PAGE_SHIFT, TEST_RW | VM_HUGE), (int64_t)at);
    EXPECT_EQ(poke(at, 1), 0);
    int key = vmspace_pkey_alloc(vm, 0);
    EXPECT_EQ(vmspace_protect_key(vm, at, HUGE_PAGE_SIZE, TEST_RW, key), 0);
    EXPECT_EQ(entry_key(vm, at + 7 * PAGE_SIZE), vmspace_pkey_at(vm, at));
    EXPECT_EQ(vmspace_protect_key(vm, at + PAGE_SIZE, PAGE_SIZE, TEST_RW, 0), 0);
    EXPECT_EQ(poke(at + PAGE_SIZE, 1), 0);
    EXPECT_EQ(poke(at + 2 * PAGE_SIZE, 1), 0);
    EXPECT_EQ(entry_key(vm, at), key);
    EXPECT_EQ(entry_key(vm, at + PAGE_SIZE), 0);
    EXPECT_EQ(entry_key(vm, at + 2 * PAGE_SIZE), key);
    host_pkru = HOST_PKRU_INITIAL;
    space_leave();
}
