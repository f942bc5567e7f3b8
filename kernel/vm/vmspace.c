/*
 * Life of an address space: making it, using it, taking it apart.
 *
 * Layout, from the top: the stack (randomised over 16 GiB below USER_WINDOW), room for it to grow (at least 128 MiB), then mappings downwards
 * from mmap_base (randomised by 28 bits of pages, as sys/vm/mmap_rnd_bits may change); the program and its heap where execve puts them.
 */
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"
#include "kernel/core/random.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/slab.h"
#include "kernel/vm/huge_fault.h"
#include "kernel/vm/membarrier.h"
#include "kernel/vm/migrate.h"
#include "kernel/vm/oom.h"
#include "kernel/vm/private.h"
#include "kernel/vm/reclaim.h"
#include "kernel/vm/region_lock.h"
#include "kernel/vm/rmap.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/swap_unuse.h"
#include "kernel/vm/tunables.h"
#include "kernel/vm/workingset.h"

#define STACK_RANDOM_PAGES BIT(22) /* 16 GiB */
#define BRK_RANDOM_PAGES   BIT(13) /* 32 MiB */
#define STACK_ROOM_MIN     MIB(128)
#define STACK_ROOM_MAX     (USER_WINDOW / 6 * 5)
#define DEFAULT_STACK      MIB(8)
#define NO_LIMIT           UINT64_MAX

struct page *vm_zero_page;

static struct slab_cache *vmspace_cache;
static uint64_t last_serial; /* [a] */

struct vmspace *vmspace_alloc(void)
{
    struct vmspace *vm = slab_alloc(vmspace_cache, 0);

    if (vm == NULL) {
        return NULL;
    }
    if (mmu_space_init(&vm->mmu, &vm->locks) < 0) {
        slab_free(vmspace_cache, vm);
        return NULL;
    }
    rwsem_init(&vm->lock, "vmspace");
    mmu_locks_init(&vm->locks);
    vm->regions.node = NULL;
    vm->cached = NULL;
    vm->dead = NULL;
    vm->nregions = 0;
    vm->lock_seq = 1;
    vm->family = NULL;
    vm->serial = atomic_fetch_add_relaxed(&last_serial, 1) + 1;
    vm->huge_watched = false;
    vm->swap_listed = false;
    refcount_init(&vm->refs, 1);
    size_t head = offsetof(struct vmspace, mmap_base);
    memset((uint8_t *)vm + head, 0, sizeof(*vm) - head);
    return vm;
}

void vmspace_copy_layout(struct vmspace *child, const struct vmspace *parent)
{
    size_t head = offsetof(struct vmspace, mmap_base);

    memcpy((uint8_t *)child + head, (const uint8_t *)parent + head, sizeof(*child) - head);
    child->total_pages = 0;
    child->total_peak = 0;
    child->locked_pages = 0;
    child->future_lock = 0;
    child->has_locked = false;
    child->stack_pages = 0;
    child->data_pages = 0;
    child->exec_pages = 0;
    child->rss_anon = 0;
    child->rss_file = 0;
    child->rss_shared = 0;
    child->rss_peak = 0;
    child->rss_swap = 0;
    child->oom_victim = child->oom_reaped = false;
    membarrier_fork(child, parent);
    if (child->exe != NULL) {
        child->exe->ops->get(child->exe);
    }
}

struct vmspace *vmspace_create(bool randomize)
{
    struct vmspace *vm = vmspace_alloc();
    uint64_t stack_random = 0;
    uint64_t mmap_random = 0;

    if (vm == NULL) {
        return NULL;
    }
    if (vm_family_found(vm) < 0) {
        vmspace_put(vm);
        return NULL;
    }
    if (randomize) {
        stack_random = random_below(STACK_RANDOM_PAGES) << PAGE_SHIFT;
        mmap_random = random_below(BIT(atomic_load_relaxed(&vm_tunables.mmap_rnd_bits)))
                      << PAGE_SHIFT;
    }
    vm->limit_as = NO_LIMIT;
    vm->limit_data = NO_LIMIT;
    vm->limit_memlock = NO_LIMIT;
    vm->limit_stack = DEFAULT_STACK;
    vm->dumpable = 1;
    pkeys_init(vm);
    vm->stack_top = USER_WINDOW - stack_random;
    vmspace_set_stack_limit(vm, DEFAULT_STACK);
    vm->mmap_base -= mmap_random;
    return vm;
}

void vmspace_set_stack_limit(struct vmspace *vm, uint64_t limit_bytes)
{
    uint64_t old_room = CLAMP(vm->limit_stack, STACK_ROOM_MIN, STACK_ROOM_MAX);
    uint64_t room = CLAMP(limit_bytes, STACK_ROOM_MIN, STACK_ROOM_MAX);
    uint64_t highest = USER_WINDOW - (STACK_RANDOM_PAGES << PAGE_SHIFT) - STACK_GUARD_BYTES;

    if (vm->mmap_base == 0) {
        vm->mmap_base = highest - ALIGN_UP(room, PAGE_SIZE);
    } else {
        vm->mmap_base = vm->mmap_base + ALIGN_UP(old_room, PAGE_SIZE) - ALIGN_UP(room, PAGE_SIZE);
    }
    vm->limit_stack = limit_bytes;
}

void vmspace_set_brk(struct vmspace *vm, uint64_t end, bool randomize)
{
    uint64_t start = ALIGN_UP(end, PAGE_SIZE);

    if (randomize && atomic_load_relaxed(&vm_tunables.randomize_va_space) > 1) {
        start += random_below(BRK_RANDOM_PAGES) << PAGE_SHIFT;
    }
    vm->brk_start = start;
    vm->brk_end = start;
}

/* Free the tree's regions, leaves first. Nobody else looks at it any more. */
static void free_regions(struct vmspace *vm)
{
    struct rb_node *node = vm->regions.node;

    while (node != NULL) {
        if (node->left != NULL) {
            struct rb_node *left = node->left;
            node->left = NULL;
            node = left;
        } else if (node->right != NULL) {
            struct rb_node *right = node->right;
            node->right = NULL;
            node = right;
        } else {
            struct vm_region *region = rb_entry(node, struct vm_region, node);
            node = rb_parent(node);
            if (region->source != NULL) {
                region_rmap_remove(region);
                region->source->ops->put(region->source);
            }
            rmap_region_gone(region);
            vm_account(vm, -(int64_t)region_pages(region), region->flags);
            region_free(region);
        }
    }
    vm->regions.node = NULL;
    vm->nregions = 0;
}

static __noinline void vmspace_destroy(struct vmspace *vm)
{
    might_sleep();
    membarrier_forget(vm);
    huge_forget(vm);
    vm_zap_all(vm);
    free_regions(vm);
    vm_family_leave(vm);
    swap_forget_space(vm);
    mmu_space_fini(&vm->mmu);
    if (vm->exe != NULL) {
        vm->exe->ops->put(vm->exe);
    }
    if (unlikely(vm->oom_victim)) {
        vm_oom_space_gone(vm);
    }
    slab_free(vmspace_cache, vm);
}

void vmspace_put(struct vmspace *vm)
{
    if (vm != NULL && refcount_put(&vm->refs)) {
        vmspace_destroy(vm);
    }
}

void vmspace_use(struct vmspace *vm)
{
    struct thread *thread = current_thread();
    struct vmspace *old = thread->vm;
    uint64_t irq = irq_save();

    thread->vm = vm;
    thread->mmu = vm == NULL ? NULL : &vm->mmu;
    thread->fault_runs = (struct thread_fault_runs){0}; /* its addresses mean nothing here */
    mmu_switch(thread->mmu);
    irq_restore(irq);
    vmspace_put(old);
}

void vm_init(void)
{
    vmspace_cache =
        slab_cache_create("vmspace", sizeof(struct vmspace), 0, SLAB_ALIGN_CACHELINE, NULL);
    vm_region_cache = slab_cache_create("vm_region", sizeof(struct vm_region), 0,
                                        SLAB_TYPE_STABLE_RCU, region_ctor);
    vm_zero_page = frame_alloc(0, FRAME_ZERO, PAGE_KERNEL);
    BUG_ON(vmspace_cache == NULL || vm_region_cache == NULL || vm_zero_page == NULL);
    if (param_bool("norandmaps", false)) {
        vm_tunables.randomize_va_space = 0;
    }
    region_locks_init();
    vm_commit_init();
    pagecache_subsystem_init();
    reclaim_subsystem_init();
    workingset_init();
    swap_unuse_hook = swap_unuse;
    vdso_init();
    migrate_init();
}
