/*
 * System V shared memory: shmctl(2), and what /proc/sysvipc/shm shows.
 */
#include <linux/capability.h>

#include "kernel/core/time.h"
#include "kernel/ipc/shm_impl.h"
#include "kernel/vm/pagecache.h"

#define RIGHTS   0777u
#define READABLE 0444u

static void fill_locked(const struct shm_segment *segment, struct shmid64_ds *stat)
{
    *stat = (struct shmid64_ds){
        .shm_perm = {.key = segment->key,
                     .uid = segment->uid,
                     .gid = segment->gid,
                     .cuid = segment->cuid,
                     .cgid = segment->cgid,
                     .mode = segment->mode,
                     .seq = (unsigned short)((unsigned)segment->id >> SHM_INDEX_BITS)},
        .shm_segsz = segment->size_bytes,
        .shm_atime = segment->atime / NS_PER_S,
        .shm_dtime = segment->dtime / NS_PER_S,
        .shm_ctime = segment->ctime / NS_PER_S,
        .shm_cpid = segment->creator,
        .shm_lpid = segment->last,
        .shm_nattch = segment->nattach,
    };
}

int shm_stat(int id, int cmd, struct shmid64_ds *ret_stat)
{
    struct shm_segment *segment = NULL;
    int err = 0;

    spin_lock(&shm_table.lock);
    if (cmd == IPC_STAT) {
        err = shm_find_locked(id, &segment);
    } else {
        segment = id < 0 ? NULL : xarray_load(&shm_table.segments, (unsigned)id & SHM_INDEX_MASK);
        err = segment == NULL ? -EINVAL : 0;
    }
    if (err == 0 && cmd != SHM_STAT_ANY) {
        err = shm_permitted_locked(segment, READABLE);
    }
    if (err == 0) {
        fill_locked(segment, ret_stat);
        err = cmd == IPC_STAT ? 0 : segment->id;
    }
    spin_unlock(&shm_table.lock);
    return err;
}

/* Owner, creator, or who administers. -EPERM. */
static int controlled_locked(const struct shm_segment *segment, unsigned cap)
{
    const struct cred *cred = cred_current();

    return cred->euid == segment->uid || cred->euid == segment->cuid || cred_has_cap(cred, cap)
               ? 0
               : -EPERM;
}

int shm_set(int id, const struct shmid64_ds *stat)
{
    const struct ipc64_perm *perm = &stat->shm_perm;
    struct shm_segment *segment;

    spin_lock(&shm_table.lock);
    int err = shm_find_locked(id, &segment);
    if (err == 0) {
        err = controlled_locked(segment, CAP_SYS_ADMIN);
    }
    if (err == 0 && (perm->uid == (uint32_t)-1 || perm->gid == (uint32_t)-1)) {
        err = -EINVAL;
    }
    if (err == 0) {
        segment->uid = perm->uid;
        segment->gid = perm->gid;
        segment->mode = (segment->mode & ~RIGHTS) | (perm->mode & RIGHTS);
        segment->ctime = ktime_realtime_coarse();
    }
    spin_unlock(&shm_table.lock);
    return err;
}

int shm_remove(int id)
{
    struct shm_segment *segment;
    bool last = false;

    spin_lock(&shm_table.lock);
    int err = shm_find_locked(id, &segment);
    if (err == 0) {
        err = controlled_locked(segment, CAP_SYS_ADMIN);
    }
    if (err == 0) {
        last = shm_remove_locked(segment);
    }
    spin_unlock(&shm_table.lock);
    if (last) {
        shm_segment_free(segment);
    }
    return err;
}

int shm_lock(int id, bool lock)
{
    struct shm_segment *segment;

    spin_lock(&shm_table.lock);
    int err = shm_find_locked(id, &segment);
    if (err == 0) {
        err = controlled_locked(segment, CAP_IPC_LOCK);
    }
    if (err == 0 && lock) {
        err = vmspace_may_lock(current_thread()->vm);
    }
    if (err == 0) {
        segment->mode = (segment->mode & ~SHM_LOCKED) | (lock ? SHM_LOCKED : 0);
        atomic_store_relaxed(&segment->source.cache->locked, lock);
    }
    spin_unlock(&shm_table.lock);
    return err;
}

/* ---- the whole ---- */

static int highest_index_locked(void)
{
    uint64_t index = 0;
    int highest = 0;

    while (xarray_find(&shm_table.segments, &index, SHM_INDEX_MASK) != NULL) {
        highest = (int)index++;
    }
    return highest;
}

int shm_limits_info(struct shminfo64 *ret_info)
{
    *ret_info = (struct shminfo64){
        .shmmax = atomic_load_relaxed(&shm_limits.max_bytes),
        .shmmin = 1,
        .shmmni = atomic_load_relaxed(&shm_limits.max_number),
        .shmseg = atomic_load_relaxed(&shm_limits.max_number),
        .shmall = atomic_load_relaxed(&shm_limits.all_pages),
    };
    spin_lock(&shm_table.lock);
    int highest = highest_index_locked();
    spin_unlock(&shm_table.lock);
    return highest;
}

/* Pages of the segment in memory, and in swap. Lock held. */
static void count_pages(const struct shm_segment *segment, uint64_t *ret_rss, uint64_t *ret_swap)
{
    struct pagecache *cache = segment->source.cache;

    spin_lock(&cache->lock);
    *ret_rss = cache->pages.nentries;
    spin_unlock(&cache->lock);
    *ret_swap = 0;
}

int shm_usage_info(struct shm_info *ret_info)
{
    struct shm_segment *segment;
    uint64_t index = 0;

    *ret_info = (struct shm_info){0};
    spin_lock(&shm_table.lock);
    while ((segment = xarray_find(&shm_table.segments, &index, SHM_INDEX_MASK)) != NULL) {
        uint64_t rss, swap;
        count_pages(segment, &rss, &swap);
        ret_info->shm_rss += rss;
        ret_info->shm_swp += swap;
        index++;
    }
    ret_info->used_ids = (int)shm_table.number;
    ret_info->shm_tot = shm_table.pages;
    int highest = highest_index_locked();
    spin_unlock(&shm_table.lock);
    return highest;
}

int shm_next(unsigned index, struct shmid64_ds *ret_stat, int *ret_id, uint64_t *ret_rss_bytes,
             uint64_t *ret_swap_bytes)
{
    uint64_t at = index;
    int result = -ENOENT;

    spin_lock(&shm_table.lock);
    struct shm_segment *segment = xarray_find(&shm_table.segments, &at, SHM_INDEX_MASK);
    if (segment != NULL) {
        fill_locked(segment, ret_stat);
        count_pages(segment, ret_rss_bytes, ret_swap_bytes);
        *ret_rss_bytes *= PAGE_SIZE;
        *ret_swap_bytes *= PAGE_SIZE;
        *ret_id = segment->id;
        result = (int)at;
    }
    spin_unlock(&shm_table.lock);
    return result;
}
