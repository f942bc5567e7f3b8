/*
 * /proc/PID/numa_maps: which policy each region has, and on which nodes its pages are (numa(7)).
 */
#include "kernel/base/string.h"
#include "kernel/fs/procfs/procfs.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vm/mempolicy.h"
#include "kernel/vm/usage.h"

#define PATH_BYTES   4096u
#define POLICY_BYTES 320u /* a list of 64 nodes */

struct placement {
    uint64_t pages, anon, dirty, active, swapcache;
    uint32_t mapcount_most;
    uint64_t by_node[MAX_NODES];
};

static bool count_leaf(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    struct placement *placement = arg;

    (void)va;
    for (uint64_t i = 0; (flags & (MMU_SOFT | MMU_SPECIAL)) == 0 && i < npages; i++) {
        const struct page *page = phys_to_page(pa) + i;
        uint16_t page_flags = atomic_load_relaxed(&page->flags);
        uint32_t mapcount = atomic_load_relaxed(&page->mapcount);
        placement->pages++;
        placement->anon += page->kind == PAGE_ANON;
        placement->dirty += (flags & MMU_DIRTY) != 0 || (page_flags & PAGE_FLAG_DIRTY) != 0;
        placement->active += (page_flags & (PAGE_FLAG_ACTIVE | PAGE_FLAG_UNEVICTABLE)) != 0;
        placement->swapcache += (page_flags & PAGE_FLAG_SWAPCACHE) != 0;
        placement->mapcount_most = MAX(placement->mapcount_most, mapcount);
        placement->by_node[page_node(page)]++;
    }
    return true;
}

static void figure(struct text *text, const char *name, uint64_t value)
{
    text_printf(text, " %s=%llu", name, (unsigned long long)value);
}

static void placement_show(struct text *text, struct vm_region *region)
{
    struct placement placement = {0};

    (void)vmspace_walk(region->vm, region->start, region->end, count_leaf, &placement);
    if (placement.pages == 0) {
        return;
    }
    if (placement.anon > 0) {
        figure(text, "anon", placement.anon);
    }
    if (placement.dirty > 0) {
        figure(text, "dirty", placement.dirty);
    }
    if (placement.pages != placement.anon && placement.pages != placement.dirty) {
        figure(text, "mapped", placement.pages);
    }
    if (placement.mapcount_most > 1) {
        figure(text, "mapmax", placement.mapcount_most);
    }
    if (placement.swapcache > 0) {
        figure(text, "swapcache", placement.swapcache);
    }
    if (placement.active < placement.pages) {
        figure(text, "active", placement.active);
    }
    for (unsigned node = 0; node < nodes_count(); node++) {
        if (placement.by_node[node] > 0) {
            text_printf(text, " N%u=%llu", node, (unsigned long long)placement.by_node[node]);
        }
    }
    figure(text, "kernelpagesize_kB", PAGE_SIZE >> 10);
}

/* `room` is POLICY_BYTES and PATH_BYTES after them. vm->lock held. */
static void region_show(struct text *text, struct vm_region *region, const struct thread *thread,
                        char *room)
{
    char *path = room + POLICY_BYTES;
    struct mempolicy policy;
    uint64_t dev, ino;

    vm_region_policy(region, region->start, &policy);
    if (policy.mode == MPOL_DEFAULT) {
        policy = thread->mempolicy;
    }
    (void)mempolicy_format(&policy, room, POLICY_BYTES);
    text_hex(text, region->start, 8);
    text_putc(text, ' ');
    text_puts(text, room);
    path[0] = '\0';
    if (region->source != NULL && region->source->ops->describe != NULL) {
        region->source->ops->describe(region->source, &dev, &ino, path, PATH_BYTES);
    }
    if (path[0] != '\0') {
        text_puts(text, " file=");
        text_escaped(text, path, "\n\t= ");
    } else if ((region->flags & VM_HEAP) != 0) {
        text_puts(text, " heap");
    } else if ((region->flags & VM_STACK) != 0) {
        text_puts(text, " stack");
    }
    placement_show(text, region);
    text_putc(text, '\n');
}

static int numa_maps_next(struct text *text, const struct proc_target *target, uint64_t *cursor)
{
    struct vmspace *vm = proc_target_vm(target);
    struct vm_region *region;

    if (vm == NULL) {
        return 0;
    }
    char *room = kmalloc(POLICY_BYTES + PATH_BYTES);
    if (room == NULL) {
        vmspace_put(vm);
        return -ENOMEM;
    }
    rwsem_lock_read(&vm->lock);
    region = vmspace_find(vm, *cursor);
    for (; region != NULL && !text_is_enough(text); region = vm_region_next(region)) {
        region_show(text, region, target->thread, room);
        *cursor = region->end;
    }
    rwsem_unlock_read(&vm->lock);
    kfree(room);
    vmspace_put(vm);
    return region != NULL;
}

PROC_PID_FILE(numa_maps) = {.name = "numa_maps",
                            .mode = S_IFREG | 0444,
                            .flags = PROC_PID_TASK | PROC_PID_ACCESS,
                            .next = numa_maps_next};
