/*
 * Resources: which ranges of physical addresses, and which I/O ports, belong to what. A tree by inclusion; /proc/iomem and /proc/ioports show it.
 *
 * A driver describes what it uses, once it has found its device:
 *
 *     static struct resource hpet_resource = {.start = pa, .last = pa + 1023, .name = "HPET 0"};
 *     (void)resource_add(&resource_memory, &hpet_resource);
 *
 * Ranges may come in any order: one that lies around others takes them in. Nothing is ever removed, for nothing is ever unplugged so far.
 */
#pragma once

#include "kernel/base/types.h"
#include "kernel/sync/spinlock.h"

struct boot_handoff;

/* Members below `name` are the tree's. The struct and its name live for ever. */
struct resource {
    uint64_t start, last;          /* [I] both inclusive */
    const char *name;              /* [I] */
    struct resource *child, *next; /* [space] sorted by start */
};

struct resource_space {
    struct spinlock lock;
    struct resource *first; /* [lock] sorted by start */
    uint64_t last;          /* [I] the highest address there is */
};
extern struct resource_space resource_memory, resource_ports;

/* -EINVAL: empty or outside of the space; -EBUSY: it reaches over the edge of another, or another is exactly the same. Any context. */
int resource_add(struct resource_space *space, struct resource *resource);

struct resource_info {
    uint64_t start, last;
    const char *name;
    unsigned depth; /* in how many others it lies */
};
/* The resource at place `index` of the tree, outer ones before inner ones. False: there are no more. Any context. */
bool resource_describe(struct resource_space *space, unsigned index,
                       struct resource_info *ret_info);

/* Boot, once there is a heap: the memory map, and the kernel's image inside it. */
void resources_init(const struct boot_handoff *handoff);
