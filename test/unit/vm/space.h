/*
 * What tests of kernel/vm share: a space that the test's thread runs in, accesses as a program makes them, and a check that nothing leaked.
 */
#pragma once

#include "hal/host/host.h"
#include "kernel/base/errno.h"
#include "kernel/machine/user.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"
#include "kernel/sched/thread.h"
#include "kernel/sync/rcu.h"
#include "kernel/vm/pagecache.h"
#include "kernel/vm/private.h"
#include "kernel/vm/vmspace.h"
#include "test/unit/test.h"

#define TEST_RW  (VM_READ | VM_WRITE)
#define TEST_MAY (VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC)

/* What the first region leaves for those after it: its cache's magazines. */
static inline void first_region(void)
{
    struct vmspace *vm = vmspace_create(false);

    EXPECT(vmspace_map(vm, GIB(1), PAGE_SIZE, TEST_RW, VMMAP_FIXED, NULL, 0, NULL) > 0);
    vmspace_put(vm);
}

static inline void vm_test_init(void)
{
    static bool done;

    if (!done) {
        done = true;
        if (vm_zero_page == NULL) {
            vm_init();
        }
        first_region();
    }
}

/* Frames in use, with everything that is only cached given back. */
static inline uint64_t frames_in_use(void)
{
    struct frame_stats stats;

    (void)slab_shrink_all();
    rcu_barrier(); /* regions' slabs, and then what their headers were in */
    (void)slab_shrink_all();
    frame_stats(&stats);
    return stats.total - stats.free;
}

/* Run in a fresh space. */
static inline struct vmspace *space_enter(void)
{
    vm_test_init();
    struct vmspace *vm = vmspace_create(false);
    EXPECT(vm != NULL);
    vmspace_use(vm);
    return vm;
}

static inline void space_leave(void)
{
    vmspace_use(NULL);
}

/* Run in `vm`, which keeps its own reference. */
static inline void space_switch(struct vmspace *vm)
{
    vmspace_get(vm);
    vmspace_use(vm);
}

static inline int poke(uint64_t addr, uint8_t value)
{
    return host_user_access(addr, &value, 1, true);
}

/* The byte at addr, or a negative errno. */
static inline int peek(uint64_t addr)
{
    uint8_t value;
    int err = host_user_access(addr, &value, 1, false);

    return err < 0 ? err : value;
}

static inline int64_t map_anon(struct vmspace *vm, uint64_t addr, uint64_t npages, uint32_t flags)
{
    return vmspace_map(vm, addr, npages * PAGE_SIZE, flags | TEST_MAY, addr != 0 ? VMMAP_FIXED : 0,
                       NULL, 0, NULL);
}
