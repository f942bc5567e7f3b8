/*
 * The interval tree of a file's mappings. See the header for what it promises.
 *
 * A search goes left as long as something there may reach the range; all that lies to the right of a node that begins behind the range
 * begins behind it too. The walk to the next hit climbs only where a subtree has been seen whole.
 */
#include "kernel/vm/file_regions.h"

#include "kernel/vm/private.h"

static inline struct vm_region *region_of(struct rb_node *node)
{
    return rb_entry(node, struct vm_region, rmap_node);
}

static inline uint64_t last_index(const struct vm_region *region)
{
    return region->pgoff + region_pages(region) - 1;
}

static bool reach_update(struct rb_node *node)
{
    struct vm_region *region = region_of(node);
    uint64_t reach = last_index(region);

    if (node->left != NULL) {
        reach = MAX(reach, region_of(node->left)->rmap_reach);
    }
    if (node->right != NULL) {
        reach = MAX(reach, region_of(node->right)->rmap_reach);
    }
    if (reach == region->rmap_reach) {
        return false;
    }
    region->rmap_reach = reach;
    return true;
}

static inline bool is_writable_shared(const struct vm_region *region)
{
    return (region->flags & (VM_SHARED | VM_MAYWRITE)) == (VM_SHARED | VM_MAYWRITE);
}

void file_regions_add(struct pagecache *cache, struct vm_region *region)
{
    struct rb_node **link = &cache->regions.node;
    struct rb_node *parent = NULL;

    while (*link != NULL) {
        parent = *link;
        link = region->pgoff < region_of(parent)->pgoff ? &parent->left : &parent->right;
    }
    region->rmap_reach = last_index(region);
    rb_insert_augmented(&cache->regions, &region->rmap_node, parent, link, reach_update);
    cache->writable_shared += is_writable_shared(region);
}

void file_regions_remove(struct pagecache *cache, struct vm_region *region)
{
    rb_remove_augmented(&cache->regions, &region->rmap_node, reach_update);
    cache->writable_shared -= is_writable_shared(region);
}

void file_region_resized(struct vm_region *region)
{
    rb_propagate(&region->rmap_node, reach_update);
}

/* The first hit of the subtree; something in it reaches `first`. NULL: all that does begins behind `last`. */
static struct vm_region *subtree_first(struct rb_node *node, uint64_t first, uint64_t last)
{
    for (;;) {
        if (node->left != NULL && region_of(node->left)->rmap_reach >= first) {
            node = node->left; /* if what reaches there begins too late, so does all to its right */
            continue;
        }
        struct vm_region *region = region_of(node);
        if (region->pgoff > last) {
            return NULL;
        }
        if (last_index(region) >= first) {
            return region;
        }
        node = node->right;
        if (node == NULL || region_of(node)->rmap_reach < first) {
            return NULL;
        }
    }
}

struct vm_region *file_regions_first(const struct pagecache *cache, uint64_t first, uint64_t last)
{
    struct rb_node *root = cache->regions.node;

    if (root == NULL || region_of(root)->rmap_reach < first) {
        return NULL;
    }
    return subtree_first(root, first, last);
}

struct vm_region *file_regions_next(struct vm_region *region, uint64_t first, uint64_t last)
{
    struct rb_node *node = &region->rmap_node;

    for (;;) {
        if (node->right != NULL && region_of(node->right)->rmap_reach >= first) {
            return subtree_first(node->right, first, last);
        }
        struct rb_node *from;
        do {
            from = node;
            node = rb_parent(from);
            if (node == NULL) {
                return NULL;
            }
        } while (from == node->right);
        if (region_of(node)->pgoff > last) {
            return NULL;
        }
        if (last_index(region_of(node)) >= first) {
            return region_of(node);
        }
    }
}
