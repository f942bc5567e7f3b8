/*
 * What fault.c, fault_file.c and access.c share. Private to kernel/vm.
 */
#pragma once

#include "kernel/machine/entry.h"
#include "kernel/vm/private.h"
#include "kernel/vm/swap.h"

#define FAULT_BATCH 16u /* pages mapped at once, at most */
#define FAULT_FORCE                                                                                \
    0x100u /* beside FAULT_* of machine/entry.h: for a debugger, rights do not count */

/* All with the region held (region_lock.h), or vm->lock for reading. va is page aligned. */

/* A write to a private page that is there but not writable. */
int vm_fault_cow(struct vmspace *vm, struct vm_region *region, uint64_t va);
int vm_fault_file(struct vmspace *vm, struct vm_region *region, uint64_t va, unsigned flags);
/* The entry at va is soft: what it names comes back. -EIO: it cannot be read; -ENOMEM. */
int vm_fault_swap(struct vmspace *vm, struct vm_region *region, uint64_t va, swap_entry_t entry,
                  unsigned flags);
/* Is there anything at va, a page or a value? The block's lock is held. */
bool vm_entry_exists_locked(struct vmspace *vm, uint64_t va);
/* Map `page`, whose reference goes to the entry; -EEXIST: something is there. */
int vm_map_one(struct vmspace *vm, uint64_t va, struct page *page, unsigned mmu_flags);
