/*
 * Pages in use that move to other frames: for compaction, and from one NUMA node to another.
 */
#pragma once

#include "kernel/mm/node.h"
#include "kernel/vm/vmspace.h"

/* The contract is page_migrate_fn of kernel/mm/compact.h. */
int vm_page_migrate(struct page *from, struct page *to);
/* Boot: compaction may move pages from now on. */
void migrate_init(void);

/*
 * Move the page at va to where `policy` wants it (`turn`: mempolicy_frame_alloc()); if it is there already it stays. One that several
 * entries show only if `shared` (-EACCES). vm->lock is held. -ENOENT: there is none; -EFAULT: it is nobody's memory (the zero page, a
 * device's); -EBUSY: it cannot be moved now; -ENOMEM.
 */
int vm_move_page(struct vmspace *vm, uint64_t va, const struct mempolicy *policy, uint64_t turn,
                 bool shared);

/* move_pages(2) for one page: its node now. -EFAULT, also for the zero page unless `any`; -ENOENT. May sleep. */
int vmspace_node_at(struct vmspace *vm, uint64_t addr, bool any);
/* Moved to `node`: 0, or what that call says of a page. */
int vmspace_move_page(struct vmspace *vm, uint64_t addr, unsigned node, bool shared);
/* migrate_pages(2): each page moves from its node to to[node], if that is one (NODE_LOCAL: stays). Returns how many could not be moved. */
int64_t vmspace_migrate(struct vmspace *vm, const int8_t to[MAX_NODES], bool shared);

/* Since boot, for /proc/vmstat. */
struct migrate_stats {
    uint64_t success, failed;
};
void migrate_stats(struct migrate_stats *ret_stats);
