/*
 * Sources of vm's own: shared anonymous memory, which is a page cache without a file, and the pages of the vDSO.
 */
#include <linux/mman.h>

#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/random.h"
#include "kernel/core/time.h"
#include "kernel/machine/cpu.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vm/private.h"
#include "kernel/vm/tunables.h"

/* ---- shared anonymous memory ---- */

struct shared_memory {
    struct vm_source source;
    struct pagecache cache;
    struct refcount refs;
    uint64_t ino;      /* [I] */
    uint64_t promised; /* [I] pages; 0: each is when it comes */
};

static uint64_t last_ino; /* [a] */

static struct shared_memory *shared_of(struct vm_source *source)
{
    return container_of(source, struct shared_memory, source);
}

static void shared_get(struct vm_source *source)
{
    refcount_get(&shared_of(source)->refs);
}

static void shared_put(struct vm_source *source)
{
    struct shared_memory *shared = shared_of(source);

    if (refcount_put(&shared->refs)) {
        pagecache_fini(&shared->cache);
        vm_commit(-(int64_t)shared->promised);
        kfree(shared);
    }
}

static void shared_describe(struct vm_source *source, uint64_t *ret_dev, uint64_t *ret_ino,
                            char *path, size_t size)
{
    *ret_dev = 1; /* 00:01, as Linux' internal mount */
    *ret_ino = shared_of(source)->ino;
    (void)str_copy(path, "/dev/zero (deleted)", size);
}

static int shared_punch(struct vm_source *source, uint64_t start, uint64_t end)
{
    return pagecache_punch(&shared_of(source)->cache, start, end);
}

static const struct vm_source_ops shared_ops = {
    .get = shared_get, .put = shared_put, .describe = shared_describe, .punch = shared_punch};

static int shared_create(uint64_t npages, uint64_t promised, const struct pagecache_ops *ops,
                         struct vm_source **ret_source)
{
    struct shared_memory *shared =
        vm_may_commit(current_thread()->vm, promised) ? kmalloc(sizeof(*shared)) : NULL;

    if (shared == NULL) {
        return -ENOMEM;
    }
    vm_commit((int64_t)promised);
    shared->promised = promised;
    pagecache_init(&shared->cache, ops, shared);
    shared->cache.size_bytes = npages << PAGE_SHIFT;
    shared->source.ops = &shared_ops;
    shared->source.cache = &shared->cache;
    shared->source.ahead = NULL;
    refcount_init(&shared->refs, 1);
    shared->ino = atomic_fetch_add_relaxed(&last_ino, 1) + 1;
    *ret_source = &shared->source;
    return 0;
}

int vm_source_create_shared(uint64_t npages, struct vm_source **ret_source)
{
    return shared_create(npages, npages, NULL, ret_source);
}

static int unpromised_charge(struct pagecache *cache, uint64_t npages)
{
    (void)cache;
    if (!vm_may_commit(current_thread()->vm, npages)) {
        return -ENOSPC;
    }
    vm_commit((int64_t)npages);
    return 0;
}

static void unpromised_uncharge(struct pagecache *cache, uint64_t npages)
{
    (void)cache;
    vm_commit(-(int64_t)npages);
}

int vm_source_create_unpromised(uint64_t npages, struct vm_source **ret_source)
{
    static const struct pagecache_ops ops = {.charge = unpromised_charge,
                                             .uncharge = unpromised_uncharge};

    if (atomic_load_relaxed(&vm_tunables.overcommit_memory) == OVERCOMMIT_NEVER) {
        return vm_source_create_shared(npages, ret_source);
    }
    return shared_create(npages, 0, &ops, ret_source);
}

/* ---- the vDSO: page 0 is the data, the image follows ---- */

#define VDSO_MAX_PAGES 8

static paddr_t vdso_pages[VDSO_MAX_PAGES]; /* [I] */
static unsigned vdso_npages;               /* [I] 0: there is none */

static void static_get(struct vm_source *source)
{
    (void)source;
}

static int vdso_map_page(struct vm_source *source, uint64_t index, paddr_t *ret_pa,
                         unsigned *ret_flags)
{
    (void)source;
    if (index >= vdso_npages) {
        return -EIO;
    }
    *ret_pa = vdso_pages[index];
    *ret_flags = 0;
    return 0;
}

static void vdso_describe(struct vm_source *source, uint64_t *ret_dev, uint64_t *ret_ino,
                          char *path, size_t size)
{
    (void)source;
    *ret_dev = 0;
    *ret_ino = 0;
    (void)str_copy(path, "", size);
}

static const struct vm_source_ops vdso_ops = {
    .get = static_get, .put = static_get, .map_page = vdso_map_page, .describe = vdso_describe};
static struct vm_source vdso_source = {.ops = &vdso_ops};

void vdso_init(void)
{
    size_t size;
    const uint8_t *image = vdso_image(&size);
    unsigned n = (unsigned)DIV_ROUND_UP(size, PAGE_SIZE);
    unsigned flags;

    if (n + 1 > VDSO_MAX_PAGES ||
        !mmu_query(&mmu_kernel, (vaddr_t)vdso_data(), &vdso_pages[0], &flags)) {
        log_warn("vm: no vDSO: %zu bytes of image", size);
        return;
    }
    for (unsigned i = 0; i < n; i++) {
        struct page *page = frame_alloc(0, FRAME_ZERO, PAGE_KERNEL);
        if (page == NULL) {
            return;
        }
        memcpy(page_to_virt(page), image + i * PAGE_SIZE,
               MIN(size - i * PAGE_SIZE, (size_t)PAGE_SIZE));
        vdso_pages[i + 1] = page_to_phys(page);
    }
    vdso_npages = n + 1;
}

/*
 * Above the stack, so that it does not cut mappings in two: in what is left of the 2 MiB that the stack's page table covers, else in the next.
 * 0: no room.
 */
static uint64_t vdso_place(struct vmspace *vm, uint64_t len, bool randomize)
{
    uint64_t start = vm->stack_top;
    uint64_t end = ALIGN_UP(start, HUGE_PAGE_SIZE);

    if (end - start < len) {
        start = end;
        end += HUGE_PAGE_SIZE;
    }
    if (end > USER_WINDOW || end - start < len) {
        return 0;
    }
    if (randomize) {
        start += random_below(((end - start - len) >> PAGE_SHIFT) + 1) << PAGE_SHIFT;
    }
    return regions_find_gap(vm, len, start, start + len);
}

int vmspace_map_vdso(struct vmspace *vm, bool randomize, uint64_t *ret_base)
{
    const uint32_t flags = VM_READ | VM_MAYREAD | VM_SPECIAL | VM_DONTDUMP;
    uint64_t len = vdso_npages * PAGE_SIZE;

    if (vdso_npages == 0) {
        return -ENOENT;
    }
    rwsem_lock_write(&vm->lock);
    uint64_t base = vdso_place(vm, len, randomize);
    int err = 0;
    if (base == 0) {
        int64_t chosen = vm_choose_address(vm, 0, len, 0);
        err = chosen < 0 ? (int)chosen : 0;
        base = (uint64_t)chosen;
    }
    if (err == 0) {
        err = vm_add_region(vm, base, PAGE_SIZE, flags, &vdso_source, 0, "[vvar]", VPN_DELTA_ANY,
                            NULL);
    }
    if (err == 0) {
        err = vm_add_region(vm, base + PAGE_SIZE, len - PAGE_SIZE, flags | VM_EXEC | VM_MAYEXEC,
                            &vdso_source, 1, "[vdso]", VPN_DELTA_ANY, NULL);
        if (err < 0) {
            (void)vm_unmap_locked(vm, base, base + PAGE_SIZE);
        }
    }
    vm_unlock_write(vm);
    if (err == 0) {
        vm->vdso_base = base + PAGE_SIZE;
        *ret_base = vm->vdso_base;
    }
    return err;
}
