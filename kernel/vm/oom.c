/*
 * Out of memory, vm's part: asking who has to go, and emptying the space of somebody who is too slow to do it himself.
 */
#include "kernel/vm/oom.h"

#include "kernel/vm/private.h"
#include "kernel/vm/thrash.h"

static const struct vm_oom_ops *oom_ops; /* [I] after boot */

void vm_set_oom(const struct vm_oom_ops *ops)
{
    __atomic_store_n(&oom_ops, ops, __ATOMIC_RELEASE);
}

static bool make_room(bool thrashes)
{
    const struct vm_oom_ops *ops = __atomic_load_n(&oom_ops, __ATOMIC_ACQUIRE);

    return ops != NULL && ops->out_of_memory(thrashes);
}

bool vm_out_of_memory(void)
{
    return make_room(thrash_take());
}

void vm_memory_thrashes(void)
{
    (void)make_room(true);
}

void vm_oom_space_gone(struct vmspace *vm)
{
    const struct vm_oom_ops *ops = __atomic_load_n(&oom_ops, __ATOMIC_ACQUIRE);

    if (ops != NULL) {
        ops->space_gone(vm);
    }
}

bool vmspace_oom_reap(struct vmspace *vm)
{
    struct vm_region *region, *next;

    if (!rwsem_trylock_write(&vm->lock)) {
        return false;
    }
    /* Files stay mapped: their pages are not the space's to free, and letting go of them may wait for who knows what. */
    for (region = vmspace_first(vm); region != NULL; region = next) {
        next = vm_region_next(region);
        if (region->source == NULL) {
            (void)vm_unmap_locked(vm, region->start, region->end);
        }
    }
    vm_unlock_write(vm);
    return true;
}
