/*
 * A file tree for tests: a fresh tmpfs mounted on /t, with the working directory in it, and a descriptor table of the test's own.
 * tree_end() unmounts it and expects that nothing is left: no open file, no pinned name.
 */
#pragma once

#include "kernel/vfs/fdtable.h"
#include "kernel/vfs/mount.h"

/* options: tmpfs mount options or NULL. */
void tree_begin(const char *options);
void tree_end(void);
/* Act as a plain user from here, or as root again (uid 0). Groups: gid alone. */
void tree_become(uint32_t uid, uint32_t gid);

/* Shorthands from the working directory; results are 0 or an error. */
int tree_mkdir(const char *name, uint32_t mode);
int tree_touch(const char *name, uint32_t mode); /* create or open, close */
int tree_write(const char *name, const char *text);
/* The file's content as a string in static memory; "" and *ret_err (may be NULL) when it fails. */
const char *tree_read(const char *name);
int tree_exists(const char *name); /* 0 or the error of a look-up that follows links */
/* Open and install: the descriptor or an error. */
int tree_open(const char *name, int flags, uint32_t mode);
struct inode_stat
tree_stat(const char *name); /* of the link itself; all zero when it is not there */
/* Entries of a directory without "." and "..", joined by spaces, in static memory. */
const char *tree_list(const char *name);

/* Another thread in the same tree with the same descriptors and credentials; it runs in tree_run(), until all sleep or are done. */
void tree_spawn(void (*fn)(void *arg), void *arg);
void tree_run(void);
