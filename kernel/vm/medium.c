/*
 * What msync(2) and madvise(MADV_WILLNEED) ask of the media behind mappings. Media are slow: no lock of the space is held meanwhile, so it
 * may change; each region is looked up when its turn comes.
 */
#include "kernel/vm/private.h"
#include "kernel/vm/readahead.h"

typedef int medium_fn(struct vm_source *source, uint64_t first, uint64_t npages);

/* Call fn for what the regions of [start, end) with all of `flags` show of files that have a medium. The first error ends it. */
static int each_medium(struct vmspace *vm, uint64_t start, uint64_t end, uint32_t flags,
                       medium_fn *fn)
{
    int err = 0;

    while (err == 0 && start < end) {
        struct vm_source *source = NULL;
        uint64_t first = 0, npages = 0;
        rwsem_lock_read(&vm->lock);
        struct vm_region *region = region_lookup(vm, start);
        for (; region != NULL && region->start < end; region = vm_region_next(region)) {
            if ((region->flags & flags) == flags && region->source != NULL &&
                region->source->cache != NULL && pagecache_has_medium(region->source->cache)) {
                start = MAX(start, region->start);
                source = region->source;
                source->ops->get(source);
                first = region_index(region, start);
                npages = (MIN(region->end, end) - start) >> PAGE_SHIFT;
                break;
            }
        }
        rwsem_unlock_read(&vm->lock);
        if (source == NULL) {
            break;
        }
        err = fn(source, first, npages);
        source->ops->put(source);
        start += npages << PAGE_SHIFT;
    }
    return err;
}

static int sync_one(struct vm_source *source, uint64_t first, uint64_t npages)
{
    return source->ops->sync != NULL ? source->ops->sync(source, first, npages) : 0;
}

static int read_one(struct vm_source *source, uint64_t first, uint64_t npages)
{
    readahead_range(source->cache, first, npages);
    return 0;
}

int vm_sync_media(struct vmspace *vm, uint64_t start, uint64_t end)
{
    return each_medium(vm, start, end, VM_SHARED, sync_one);
}

void vm_read_ahead(struct vmspace *vm, uint64_t start, uint64_t end)
{
    (void)each_medium(vm, start, end, 0, read_one);
}
