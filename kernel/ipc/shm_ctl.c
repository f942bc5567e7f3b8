/*
 * System V shared memory: shmctl(2), and what /proc/sysvipc/shm shows.
 */
#include <linux/capability.h>

#include "kernel/core/time.h"
#include "kernel/ipc/shm_impl.h"
#include "kernel/security/cred.h"

#define READABLE 0444u

static void fill_locked(const struct shm_segment *segment, struct shmid64_ds *stat)
{
    *stat = (struct shmid64_ds){
        .shm_perm = sysv_perm_locked(&segment->object),
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
    int result = -EINVAL;

    spin_lock(&shm_table.lock);
    struct sysv_object *object = sysv_select_locked(&shm_table, id, cmd != IPC_STAT);
    if (object != NULL) {
        result = cmd == SHM_STAT_ANY ? 0 : sysv_permitted_locked(object, READABLE);
    }
    if (result == 0) {
        fill_locked(shm_segment_of(object), ret_stat);
        result = cmd == IPC_STAT ? 0 : object->id;
    }
    spin_unlock(&shm_table.lock);
    return result;
}

int shm_set(int id, const struct shmid64_ds *stat)
{
    struct shm_segment *segment;

    spin_lock(&shm_table.lock);
    int err = shm_find_locked(id, &segment);
    if (err == 0) {
        err = sysv_controlled_locked(&segment->object, CAP_SYS_ADMIN);
    }
    if (err == 0) {
        err = sysv_set_locked(&segment->object, &stat->shm_perm);
    }
    if (err == 0) {
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
        err = sysv_controlled_locked(&segment->object, CAP_SYS_ADMIN);
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

/* The segment's pages count against the calling user's RLIMIT_MEMLOCK, apart from what processes lock (getrlimit(2)). -EPERM, -ENOMEM. */
static int lock_charge_locked(struct shm_segment *segment)
{
    struct vmspace *vm = current_thread()->vm;
    struct user *user = cred_current()->user;
    uint64_t npages = DIV_ROUND_UP(segment->size_bytes, PAGE_SIZE);
    int err = vmspace_may_lock(vm);

    if (err < 0 || segment->locker != NULL) {
        return err;
    }
    if (!vmspace_may_have_locked(vm, atomic_load_relaxed(&user->shm_locked) + npages)) {
        return -ENOMEM;
    }
    (void)atomic_fetch_add_relaxed(&user->shm_locked, npages);
    segment->locker = user_get(user);
    return 0;
}

void shm_uncharge_lock(struct shm_segment *segment)
{
    if (segment->locker != NULL) {
        (void)atomic_fetch_sub_relaxed(&segment->locker->shm_locked,
                                       DIV_ROUND_UP(segment->size_bytes, PAGE_SIZE));
        user_put(segment->locker);
        segment->locker = NULL;
    }
}

int shm_lock(int id, bool lock)
{
    struct shm_segment *segment;

    spin_lock(&shm_table.lock);
    int err = shm_find_locked(id, &segment);
    if (err == 0) {
        err = sysv_controlled_locked(&segment->object, CAP_IPC_LOCK);
    }
    if (err == 0 && lock) {
        err = lock_charge_locked(segment);
    } else if (err == 0) {
        shm_uncharge_lock(segment);
    }
    if (err == 0) {
        segment->object.mode = (segment->object.mode & ~SHM_LOCKED) | (lock ? SHM_LOCKED : 0);
        atomic_store_relaxed(&segment->source.cache->locked, lock);
    }
    spin_unlock(&shm_table.lock);
    return err;
}

/* ---- the whole ---- */

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
    int highest = sysv_highest_index_locked(&shm_table);
    spin_unlock(&shm_table.lock);
    return highest;
}

/* Pages of the segment in memory, and in swap. Lock held. */
static void count_pages(const struct shm_segment *segment, uint64_t *ret_rss, uint64_t *ret_swap)
{
    struct pagecache *cache = segment->source.cache;

    spin_lock(&cache->lock);
    *ret_swap = cache->nswapped;
    *ret_rss = cache->pages.nentries - *ret_swap;
    spin_unlock(&cache->lock);
}

int shm_usage_info(struct shm_info *ret_info)
{
    struct sysv_object *object;
    uint64_t index = 0;

    *ret_info = (struct shm_info){0};
    spin_lock(&shm_table.lock);
    while ((object = sysv_next_locked(&shm_table, &index)) != NULL) {
        uint64_t rss, swap;
        count_pages(shm_segment_of(object), &rss, &swap);
        ret_info->shm_rss += rss;
        ret_info->shm_swp += swap;
        index++;
    }
    ret_info->used_ids = (int)shm_table.number;
    ret_info->shm_tot = shm_pages;
    int highest = sysv_highest_index_locked(&shm_table);
    spin_unlock(&shm_table.lock);
    return highest;
}

int shm_next(unsigned index, struct shmid64_ds *ret_stat, int *ret_id, uint64_t *ret_rss_bytes,
             uint64_t *ret_swap_bytes)
{
    uint64_t at = index;
    int result = -ENOENT;

    spin_lock(&shm_table.lock);
    struct sysv_object *object = sysv_next_locked(&shm_table, &at);
    if (object != NULL) {
        const struct shm_segment *segment = shm_segment_of(object);
        fill_locked(segment, ret_stat);
        count_pages(segment, ret_rss_bytes, ret_swap_bytes);
        *ret_rss_bytes *= PAGE_SIZE;
        *ret_swap_bytes *= PAGE_SIZE;
        *ret_id = object->id;
        result = (int)at;
    }
    spin_unlock(&shm_table.lock);
    return result;
}
