/*
 * Boot of the virtual file system: its caches, in the order in which they need each other.
 */
#include "kernel/vfs/epoll.h"
#include "kernel/vfs/inotify.h"
#include "kernel/vfs/private.h"

void vfs_init(void)
{
    dentry_cache_init(); /* names */
    files_init();        /* open files */
    fdtables_init();     /* descriptor tables */
    epoll_init();        /* sets of watched files */
    inotify_boot();      /* limits of watches */
    anon_init();         /* the superblock of pipes and their like */
}
