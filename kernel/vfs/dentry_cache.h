/*
 * The dentry cache from the inside: what dentry.c shares with dentry_reclaim.c.
 */
#pragma once

#include "kernel/vfs/dentry.h"

#define DENTRY_SHRINK_BATCH 16

extern struct spinlock dentry_tree_spin; /* changes of names and parents */
extern struct spinlock dentry_lru_lock;
extern struct list_node dentry_lru; /* [dentry_lru_lock] every hashed dentry, coldest first */

void dentry_reclaim_init(void);
/* Unhash; with `only_alone` not if anybody but the caller holds a reference. Whether it did. The tree is locked. */
bool dentry_unhash_if(struct dentry *dentry, bool only_alone);
