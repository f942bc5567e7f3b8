/*
 * The lock of one region: what is not in every fault's way. The header has the whole idea.
 */
#include "kernel/vm/region_lock.h"

#include "kernel/base/hash.h"
#include "kernel/base/string.h"

#define NQUEUES 16

static struct wait_queue
    queues[NQUEUES]; /* who waits for users to leave a region, by its address */

static struct wait_queue *queue_of(const struct vm_region *region)
{
    return &queues[hash_u64((uintptr_t)region) >> 60];
}

void region_locks_init(void)
{
    for (unsigned i = 0; i < NQUEUES; i++) {
        wait_queue_init(&queues[i]);
    }
}

void region_ctor(void *object)
{
    memset(object, 0, sizeof(struct vm_region));
}

void region_copy(struct vm_region *dst, const struct vm_region *src)
{
    memcpy(dst, src, offsetof(struct vm_region, tree));
}

struct vm_region *region_find_unlocked(struct vmspace *vm, uint64_t addr)
{
    struct rb_node *node = atomic_load_relaxed(&vm->regions.node);

    for (unsigned step = 0; node != NULL && step < REGION_WALK_STEPS; step++) {
        struct vm_region *region = rb_entry(node, struct vm_region, node);
        if (addr < atomic_load_relaxed(&region->start)) {
            node = atomic_load_relaxed(&node->left);
        } else if (addr >= atomic_load_relaxed(&region->end)) {
            node = atomic_load_relaxed(&node->right);
        } else {
            return region;
        }
    }
    return NULL;
}

void region_lock_wait(struct vm_region *region)
{
    (void)__atomic_fetch_or(&region->users, REGION_WAITED, __ATOMIC_SEQ_CST);
    wait_event(queue_of(region),
               __atomic_load_n(&region->users, __ATOMIC_SEQ_CST) == REGION_WAITED);
    (void)__atomic_fetch_and(&region->users, ~REGION_WAITED, __ATOMIC_SEQ_CST);
}

void region_wake(struct vm_region *region)
{
    wait_wake_all(queue_of(region), 0);
}
