/*
 * System V shared memory: segments, and attaching them.
 *
 * A segment is memory with a number. The table has a reference to it until it is removed (IPC_RMID) and nobody has it attached; each
 * region that shows it counts as an attachment, so fork, exec, exit and munmap need know nothing of it.
 */
#include <linux/capability.h>
#include <linux/mman.h>

#include "kernel/base/printf.h"
#include "kernel/core/time.h"
#include "kernel/ipc/shm_impl.h"
#include "kernel/mm/kmalloc.h"

struct sysv_table shm_table = SYSV_TABLE_INIT("shm");
uint64_t shm_pages;
struct shm_limits shm_limits = {
    .max_bytes = UINT64_MAX - BIT(24), /* shmget(2): as good as none */
    .all_pages = UINT64_MAX - BIT(24),
    .max_number = 4096,
};

static const struct vm_source_ops shm_source_ops;

/* ---- the table ---- */

int shm_find_locked(int id, struct shm_segment **ret_segment)
{
    struct sysv_object *object = sysv_find_locked(&shm_table, id);

    if (object == NULL) {
        return -EINVAL;
    }
    *ret_segment = shm_segment_of(object);
    return 0;
}

/* One reference less; true: it was the last, and the segment is out of the table. */
static bool put_locked(struct shm_segment *segment)
{
    if (--segment->refs > 0) {
        return false;
    }
    sysv_erase_locked(&shm_table, &segment->object);
    shm_pages -= DIV_ROUND_UP(segment->size_bytes, PAGE_SIZE);
    return true;
}

bool shm_remove_locked(struct shm_segment *segment)
{
    if ((segment->object.mode & SHM_DEST) != 0) {
        return false;
    }
    segment->object.mode |= SHM_DEST;
    sysv_forget_key_locked(&shm_table, &segment->object);
    return put_locked(segment); /* the table's; attachments have theirs */
}

void shm_segment_free(struct shm_segment *segment)
{
    shm_uncharge_lock(segment);
    segment->memory->ops->put(segment->memory);
    kfree(segment);
}

/* ---- what regions refer to ---- */

static struct shm_segment *segment_of(struct vm_source *source)
{
    return container_of(source, struct shm_segment, source);
}

static void shm_source_get(struct vm_source *source)
{
    struct shm_segment *segment = segment_of(source);

    spin_lock(&shm_table.lock);
    segment->refs++;
    segment->nattach++;
    segment->atime = ktime_realtime_coarse();
    segment->last = sysv_current_nr();
    spin_unlock(&shm_table.lock);
}

static void shm_source_put(struct vm_source *source)
{
    struct shm_segment *segment = segment_of(source);

    spin_lock(&shm_table.lock);
    segment->nattach--;
    segment->dtime = ktime_realtime_coarse();
    segment->last = sysv_current_nr();
    bool last = put_locked(segment);
    spin_unlock(&shm_table.lock);
    if (last) {
        shm_segment_free(segment);
    }
}

static void shm_source_describe(struct vm_source *source, uint64_t *ret_dev, uint64_t *ret_ino,
                                char *path, size_t size)
{
    const struct shm_segment *segment = segment_of(source);

    *ret_dev = 1; /* as other memory without a file */
    *ret_ino = (uint64_t)segment->object.id;
    (void)kscnprintf(path, size, "/SYSV%08x (deleted)", (unsigned)segment->named);
}

static int shm_source_punch(struct vm_source *source, uint64_t start, uint64_t end)
{
    struct vm_source *memory = segment_of(source)->memory;

    return memory->ops->punch(memory, start, end);
}

static const struct vm_source_ops shm_source_ops = {.get = shm_source_get,
                                                    .put = shm_source_put,
                                                    .describe = shm_source_describe,
                                                    .punch = shm_source_punch};

/* ---- shmget ---- */

/* Give the segment its number. -ENOSPC, -ENOMEM. */
static int insert_locked(struct shm_segment *segment)
{
    uint64_t npages = DIV_ROUND_UP(segment->size_bytes, PAGE_SIZE);

    if (shm_pages + npages < npages ||
        shm_pages + npages > atomic_load_relaxed(&shm_limits.all_pages)) {
        return -ENOSPC;
    }
    int err = sysv_insert_locked(&shm_table, &segment->object,
                                 atomic_load_relaxed(&shm_limits.max_number));
    if (err == 0) {
        shm_pages += npages;
    }
    return err;
}

static int segment_create(int key, size_t size_bytes, uint32_t flags,
                          struct shm_segment **ret_segment)
{
    struct shm_segment *segment = kzalloc(sizeof(*segment));
    uint64_t npages = DIV_ROUND_UP(size_bytes, PAGE_SIZE);

    if (segment == NULL) {
        return -ENOMEM;
    }
    int err = (flags & SHM_NORESERVE) != 0 ? vm_source_create_unpromised(npages, &segment->memory)
                                           : vm_source_create_shared(npages, &segment->memory);
    if (err < 0) {
        kfree(segment);
        return err;
    }
    segment->source.ops = &shm_source_ops;
    segment->source.cache = segment->memory->cache;
    segment->creator = sysv_current_nr();
    sysv_init(&segment->object, key, flags);
    segment->named = key;
    segment->size_bytes = size_bytes;
    segment->ctime = ktime_realtime_coarse();
    segment->refs = 1;
    *ret_segment = segment;
    return 0;
}

/* The segment with this key, judged as shmget(2) says; -ENOENT: there is none. */
static int get_existing_locked(int key, size_t size_bytes, int flags)
{
    struct sysv_object *object;
    int err = sysv_find_key_locked(&shm_table, key, flags, &object);

    if (err < 0) {
        return err;
    }
    if (size_bytes > shm_segment_of(object)->size_bytes) {
        return -EINVAL;
    }
    err = sysv_permitted_locked(object, (uint32_t)flags & SYSV_RIGHTS);
    return err < 0 ? err : object->id;
}

/* What a new segment may not be. */
static int check_new(size_t size_bytes, int flags)
{
    uint64_t all = atomic_load_relaxed(&shm_limits.all_pages);

    if (size_bytes < 1 || size_bytes > atomic_load_relaxed(&shm_limits.max_bytes) ||
        size_bytes > INT64_MAX) {
        return -EINVAL; /* no longer than a file may be */
    }
    if (DIV_ROUND_UP(size_bytes, PAGE_SIZE) > all) {
        return -ENOSPC;
    }
    if ((flags & SHM_HUGETLB) != 0) { /* no huge pages are reserved */
        return current_has_cap(CAP_IPC_LOCK) ? -ENOMEM : -EPERM;
    }
    return 0;
}

int shm_get(int key, size_t size_bytes, int flags)
{
    struct shm_segment *segment;

    spin_lock(&shm_table.lock);
    int id = get_existing_locked(key, size_bytes, flags);
    spin_unlock(&shm_table.lock);
    if (id != -ENOENT || (key != IPC_PRIVATE && (flags & IPC_CREAT) == 0)) {
        return id;
    }
    int err = check_new(size_bytes, flags);
    if (err == 0) {
        err = segment_create(key, size_bytes, (uint32_t)flags, &segment);
    }
    if (err < 0) {
        return err;
    }
    spin_lock(&shm_table.lock);
    id = get_existing_locked(key, size_bytes, flags); /* made by somebody else meanwhile? */
    bool made = id == -ENOENT;
    if (made) {
        id = insert_locked(segment);
        made = id == 0;
        id = made ? segment->object.id : id;
    }
    spin_unlock(&shm_table.lock);
    if (!made) {
        shm_segment_free(segment);
    }
    return id;
}

/* ---- shmat, shmdt ---- */

/* VM_* for a segment attached with these SHM_* flags, and the permissions that takes. */
static uint32_t attach_flags(int flags, uint32_t *ret_rights)
{
    uint32_t vm_flags = VM_SHARED | VM_READ | VM_MAYREAD | VM_MAYEXEC;

    *ret_rights = 0444;
    if ((flags & SHM_RDONLY) == 0) {
        vm_flags |= VM_WRITE | VM_MAYWRITE;
        *ret_rights |= 0222;
    }
    if ((flags & SHM_EXEC) != 0) {
        vm_flags |= VM_EXEC;
        *ret_rights |= 0111;
    }
    return vm_flags;
}

/* Where shmat(2) is to put it, and how (VMMAP_*). */
static int attach_place(uint64_t *addr, int flags, unsigned *ret_how)
{
    *ret_how = 0;
    if (*addr == 0) {
        return (flags & SHM_REMAP) != 0 ? -EINVAL : 0;
    }
    if (!IS_ALIGNED(*addr, PAGE_SIZE)) {
        if ((flags & SHM_RND) == 0) {
            return -EINVAL;
        }
        *addr = ALIGN_DOWN(*addr, PAGE_SIZE);
        if (*addr == 0 && (flags & SHM_REMAP) != 0) {
            return -EINVAL;
        }
    }
    *ret_how = (flags & SHM_REMAP) != 0 ? VMMAP_FIXED : VMMAP_NOREPLACE;
    return 0;
}

int64_t shm_attach(int id, uint64_t addr, int flags)
{
    struct shm_segment *segment;
    uint32_t rights;
    unsigned how;

    if (id < 0) {
        return -EINVAL;
    }
    int64_t result = attach_place(&addr, flags, &how);
    uint32_t vm_flags = attach_flags(flags, &rights);
    if (result < 0) {
        return result;
    }
    spin_lock(&shm_table.lock);
    result = shm_find_locked(id, &segment);
    if (result == 0) {
        result = sysv_permitted_locked(&segment->object, rights);
    }
    if (result == 0) {
        segment->refs++;
    }
    spin_unlock(&shm_table.lock);
    if (result < 0) {
        return result;
    }
    result = vmspace_map(current_thread()->vm, addr, segment->size_bytes, vm_flags, how,
                         &segment->source, 0, NULL);
    spin_lock(&shm_table.lock);
    bool last = put_locked(segment);
    spin_unlock(&shm_table.lock);
    if (last) {
        shm_segment_free(segment);
    }
    return result == -EEXIST ? -EINVAL : result;
}

int shm_detach(uint64_t addr)
{
    if (!IS_ALIGNED(addr, PAGE_SIZE)) {
        return -EINVAL;
    }
    return vmspace_unmap_source(current_thread()->vm, addr, &shm_source_ops);
}
