/*
 * Promises of memory: private writable pages and shared memory count when they are asked for, not when they are touched.
 *
 * Whether more may be promised is a matter of policy (Documentation/mm/overcommit-accounting.rst): mode 0 refuses a single request that can
 * never be met, mode 1 nothing, mode 2 whatever would not fit into a share of memory and all swap. In mode 2 the last megabytes are for
 * administrators (admin_reserve_kbytes), and a process leaves some for others to recover with (user_reserve_kbytes).
 */
#include <linux/mman.h>

#include "kernel/mm/frame.h"
#include "kernel/vm/private.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/tunables.h"

#define RESERVE_SHARE   32u /* of free memory at boot */
#define ADMIN_KB_MOST   8192u
#define USER_KB_MOST    131072u
#define KB_TO_PAGES(kb) ((kb) >> (PAGE_SHIFT - 10))

struct vm_tunables vm_tunables = {
    .overcommit_memory = OVERCOMMIT_GUESS,
    .overcommit_ratio = 50,
    .randomize_va_space = 2,
    .mmap_rnd_bits = 28,
    .swappiness = 60,
    .page_cluster = 3,
    .vfs_cache_pressure = 100,
};

bool (*vm_admin_hook)(void);

static uint64_t committed_pages; /* [a] */
static uint64_t total_frames;    /* [I] after vm_commit_init() */

void vm_commit_init(void)
{
    struct frame_stats stats;

    frame_stats(&stats);
    total_frames = stats.total;
    uint64_t share_kb = (stats.free << (PAGE_SHIFT - 10)) / RESERVE_SHARE;
    vm_tunables.admin_reserve_kbytes = MIN(share_kb, (uint64_t)ADMIN_KB_MOST);
    vm_tunables.user_reserve_kbytes = MIN(share_kb, (uint64_t)USER_KB_MOST);
}

static uint64_t swap_total(void)
{
    struct swap_stats swap;

    swap_stats(&swap);
    return swap.total;
}

uint64_t vm_commit_limit(void)
{
    uint64_t kbytes = atomic_load_relaxed(&vm_tunables.overcommit_kbytes);
    uint64_t ratio = (uint64_t)atomic_load_relaxed(&vm_tunables.overcommit_ratio);

    return (kbytes != 0 ? KB_TO_PAGES(kbytes) : total_frames * ratio / 100) + swap_total();
}

static __noinline bool fits_limit(const struct vmspace *vm, uint64_t npages)
{
    uint64_t limit = vm_commit_limit();
    uint64_t keep = 0;

    if (vm_admin_hook == NULL || !vm_admin_hook()) {
        keep = KB_TO_PAGES(atomic_load_relaxed(&vm_tunables.admin_reserve_kbytes));
    }
    if (vm != NULL) {
        uint64_t user = KB_TO_PAGES(atomic_load_relaxed(&vm_tunables.user_reserve_kbytes));
        keep += MIN(READ_ONCE(vm->total_pages) / 32, user);
    }
    uint64_t would = atomic_load_relaxed(&committed_pages) + npages;
    return would >= npages && would + keep < limit;
}

bool vm_may_commit(const struct vmspace *vm, uint64_t npages)
{
    int mode = atomic_load_relaxed(&vm_tunables.overcommit_memory);

    if (likely(mode == OVERCOMMIT_GUESS)) {
        return likely(npages <= total_frames) || npages <= total_frames + swap_total();
    }
    return mode == OVERCOMMIT_ALWAYS || fits_limit(vm, npages);
}

void vm_commit(int64_t npages)
{
    (void)atomic_fetch_add_relaxed(&committed_pages, (uint64_t)npages);
}

uint64_t vm_committed(void)
{
    return atomic_load_relaxed(&committed_pages);
}
