/*
 * Files of /sys: one SYS_FILE line each, in whatever file of this folder they belong; see struct text_file.
 */
#pragma once

#include "kernel/core/linkset.h"
#include "kernel/fs/textfs/text.h"

#define SYS_FILE(name_) LINKSET_ENTRY(sys_files, struct text_file, name_)
LINKSET_DECLARE(sys_files, struct text_file);

/* Before the first mount: what there is of a number that is known when the machine runs. */
void sysfs_add_zram(struct text_tree *tree);
void sysfs_add_cpus(struct text_tree *tree);
void sysfs_add_nodes(struct text_tree *tree);
/* A copy of `like` under a path of its own, which lives for ever; a link to `target` if that is not NULL. */
void sysfs_add(struct text_tree *tree, const struct text_file *like, const char *path,
               const char *target);
