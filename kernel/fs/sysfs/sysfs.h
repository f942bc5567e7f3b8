/*
 * Files of /sys: one SYS_FILE line each, in whatever file of this folder they belong; see struct text_file.
 */
#pragma once

#include "kernel/core/linkset.h"
#include "kernel/fs/textfs/text.h"

#define SYS_FILE(name_) LINKSET_ENTRY(sys_files, struct text_file, name_)
LINKSET_DECLARE(sys_files, struct text_file);

/* Before the first mount: the files of zram devices, of which there are as many as the command line says. */
void sysfs_add_zram(struct text_tree *tree);
