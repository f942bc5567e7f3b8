/*
 * What the administrator may set about memory: /proc/sys/vm (Documentation/admin-guide/sysctl/vm.rst has names, units, defaults). Every value
 * inside its bounds is right at any time, so readers take no lock. kernel/mm keeps its own (frames_set_watermarks), as does the OOM killer.
 */
#pragma once

#include "kernel/base/types.h"

struct vm_tunables {
    /* commit.c */
    int overcommit_memory;         /* [a] OVERCOMMIT_* of linux/mman.h */
    int overcommit_ratio;          /* [a] percent of memory, unless overcommit_kbytes is set */
    uint64_t overcommit_kbytes;    /* [a] */
    uint64_t admin_reserve_kbytes; /* [a] */
    uint64_t user_reserve_kbytes;  /* [a] */
    int randomize_va_space; /* [a] vmspace.c: 0, addresses are the same in each run; 1, all but the heap differ; 2, all */
    int mmap_rnd_bits; /* [a] random bits of the page number where mappings begin, in new spaces */
    /* reclaim: anonymous pages against those of files, 0 .. 200; pages read at a time from swap, as a power of two; dentries and inodes
       against the page cache, in percent */
    int swappiness;         /* [a] */
    int page_cluster;       /* [a] */
    int vfs_cache_pressure; /* [a] */
};
extern struct vm_tunables vm_tunables;

/* Pages that may be promised in mode 2 (OVERCOMMIT_NEVER), with swap. Any context. */
uint64_t vm_commit_limit(void);
