/*
 * The mount table from the inside: for the files that change it. Private to kernel/vfs. mount_table_lock is held for writing by all
 * callers of what changes something.
 */
#pragma once

#include "kernel/vfs/mount.h"

extern struct rwsem mount_table_lock;
extern struct list_node
    mount_table; /* [mount_table_lock] struct mount.node, in the order they came */

/* What a mount may have of its own, beside what its superblock has. */
#define MOUNT_FLAGS                                                                                \
    (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_NOATIME | MS_NODIRATIME | MS_RELATIME |     \
     MS_NOSYMFOLLOW)
#define SUPER_FLAGS (MS_RDONLY | MS_SYNCHRONOUS | MS_MANDLOCK | MS_DIRSYNC | MS_LAZYTIME)

/* Takes references of its own to super and root; refs 1, in no table. NULL: no memory. */
struct mount *mount_create(struct super *super, struct dentry *root, uint64_t flags);
/* Count its references on each CPU, if there is memory for it: for mounts that stay. Whoever lets one go gathers them first. */
void mount_spread(struct mount *mount);
/* Hang it onto a place. The creator's reference becomes the table's. -ENOSPC. */
int mount_attach(struct mount *mount, const struct path *place);
/* Hang it elsewhere: it is always at one of both places, not below itself at either. References of the old place become the caller's. */
void mount_move_to(struct mount *mount, const struct path *place, struct path *ret_place);
/* Take it out of the table and the tree; the table's reference and those of the place (may be NULLs) become the caller's. */
void mount_detach(struct mount *mount, struct path *ret_place);
bool mount_is_below(const struct mount *mount, const struct mount *ancestor);
bool mount_has_children(const struct mount *parent);
