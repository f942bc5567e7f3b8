/*
 * Protection keys (pkeys(7)): which keys a space has given out, and which one hides memory that may be executed alone.
 *
 * A region's key lies in its flags (VM_PKEY), its pages' in the page table entries; what a thread may do with a key is in a register of
 * the CPU (kernel/machine/cpu.h). Memory that mmap or mprotect makes PROT_EXEC alone gets a key of its own per space, which the calling
 * thread may not access: where the CPU has keys, such memory cannot be read. Key 0 is everything else's. fork inherits, execve begins anew.
 */
#include <linux/mman.h>

#include "kernel/machine/cpu.h"
#include "kernel/vm/private.h"

#define NO_KEYS 1 /* what cpu_pkeys() says of a CPU without them */

/* The lowest key from `key` on that is free; -ENOSPC. vm->lock held for writing. */
static int key_take(struct vmspace *vm, unsigned key)
{
    for (; key < cpu_pkeys(); key++) {
        if ((vm->pkeys & 1u << key) == 0) {
            vm->pkeys |= (uint16_t)(1u << key);
            return (int)key;
        }
    }
    return -ENOSPC;
}

void pkeys_init(struct vmspace *vm)
{
    vm->pkeys = 1;
    vm->exec_key = 0;
}

bool vm_pkey_is_taken(const struct vmspace *vm, int key)
{
    return cpu_pkeys() != NO_KEYS && key >= 0 && key < (int)cpu_pkeys() &&
           (vm->pkeys & 1u << key) != 0 && (vm->exec_key == 0 || key != vm->exec_key);
}

int vmspace_pkey_alloc(struct vmspace *vm, unsigned rights)
{
    if (cpu_pkeys() == NO_KEYS) {
        return -EINVAL;
    }
    rwsem_lock_write(&vm->lock);
    int key = key_take(vm, 0);
    vm_unlock_write(vm);
    if (key >= 0) {
        cpu_pkey_restrict((unsigned)key, rights);
    }
    return key;
}

int vmspace_pkey_free(struct vmspace *vm, int key)
{
    rwsem_lock_write(&vm->lock);
    bool taken = vm_pkey_is_taken(vm, key);
    if (taken) {
        vm->pkeys &= (uint16_t) ~(1u << key);
    }
    vm_unlock_write(vm);
    return taken ? 0 : -EINVAL;
}

uint32_t vm_exec_key(struct vmspace *vm)
{
    if (cpu_pkeys() == NO_KEYS) {
        return 0;
    }
    if (vm->exec_key == 0) {
        int key = key_take(vm, 1);
        if (key < 0) {
            return 0;
        }
        vm->exec_key = (uint8_t)key;
    }
    if (cpu_pkey_allows(vm->exec_key, false)) {
        cpu_pkey_restrict(vm->exec_key, PKEY_DISABLE_ACCESS);
    }
    return (uint32_t)vm->exec_key << VM_PKEY_SHIFT;
}

unsigned vmspace_pkey_at(struct vmspace *vm, uint64_t addr)
{
    unsigned key = 0;

    rwsem_lock_read(&vm->lock);
    const struct vm_region *region = vmspace_find(vm, addr);
    if (region != NULL && region->start <= addr) {
        key = vm_region_pkey(region);
    }
    rwsem_unlock_read(&vm->lock);
    return key;
}
