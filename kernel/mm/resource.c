/*
 * Resources: see resource.h. The tree is small (tens of entries), so each question walks it from the front.
 */
#include "kernel/mm/resource.h"

#include "kernel/abi/boot.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"

struct resource_space resource_memory = {.lock = SPINLOCK_INIT("resources"), .last = UINT64_MAX};
struct resource_space resource_ports = {.lock = SPINLOCK_INIT("ports"), .last = UINT16_MAX};

static bool contains(const struct resource *outer, const struct resource *inner)
{
    return outer->start <= inner->start && inner->last <= outer->last;
}

/* Into the list at *link, or as deep below one of its entries as it lies. */
static int insert(struct resource **link, struct resource *resource)
{
    struct resource *at;

    while ((at = *link) != NULL && (at->last < resource->start || contains(at, resource))) {
        if (at->last >= resource->start && contains(resource, at)) {
            return -EBUSY;
        }
        link = at->last < resource->start ? &at->next : &at->child;
    }
    struct resource **end = link;
    while (*end != NULL && (*end)->start <= resource->last) {
        if (!contains(resource, *end)) {
            return -EBUSY;
        }
        end = &(*end)->next;
    }
    struct resource *behind = *end;
    resource->child = NULL;
    if (end != link) {
        resource->child = at;
        *end = NULL;
    }
    resource->next = behind;
    *link = resource;
    return 0;
}

int resource_add(struct resource_space *space, struct resource *resource)
{
    if (resource->start > resource->last || resource->last > space->last) {
        return -EINVAL;
    }
    uint64_t irq = spin_lock_irqsave(&space->lock);
    int err = insert(&space->first, resource);

    spin_unlock_irqrestore(&space->lock, irq);
    return err;
}

/* The entry `*index` places from the front of the list and what is below; NULL: *index is less by what there is. */
static const struct resource *find(const struct resource *list, unsigned *index, unsigned *depth)
{
    for (; list != NULL; list = list->next) {
        if ((*index)-- == 0) {
            return list;
        }
        ++*depth;
        const struct resource *found = find(list->child, index, depth);
        if (found != NULL) {
            return found;
        }
        --*depth;
    }
    return NULL;
}

bool resource_describe(struct resource_space *space, unsigned index, struct resource_info *ret_info)
{
    unsigned depth = 0;
    uint64_t irq = spin_lock_irqsave(&space->lock);
    const struct resource *found = find(space->first, &index, &depth);

    if (found != NULL) {
        *ret_info = (struct resource_info){found->start, found->last, found->name, depth};
    }
    spin_unlock_irqrestore(&space->lock, irq);
    return found != NULL;
}

/* ---- the memory map ---- */

static const char *memory_kind(uint32_t type)
{
    static const char *const names[BOOT_MEM_NTYPES] = {
        [BOOT_MEM_USABLE] = "System RAM",
        [BOOT_MEM_RESERVED] = "Reserved",
        [BOOT_MEM_ACPI_RECLAIM] = "ACPI Tables",
        [BOOT_MEM_ACPI_NVS] = "ACPI Non-volatile Storage",
        [BOOT_MEM_BAD] = "Unusable memory",
        [BOOT_MEM_LOADER] = "System RAM",
        [BOOT_MEM_KERNEL] = "System RAM",
        [BOOT_MEM_INITRAMFS] = "System RAM",
        [BOOT_MEM_EFI_RUNTIME] = "Reserved",
        [BOOT_MEM_MMIO] = "Reserved",
        [BOOT_MEM_PERSISTENT] = "Persistent Memory",
    };

    return type < BOOT_MEM_NTYPES && names[type] != NULL ? names[type] : "Reserved";
}

static void memory_add(uint64_t start, uint64_t end, const char *name)
{
    struct resource *resource = kzalloc(sizeof(*resource));

    if (resource == NULL) {
        return;
    }
    *resource = (struct resource){.start = start, .last = end - 1, .name = name};
    int err = resource_add(&resource_memory, resource);
    if (err < 0) {
        log_warn("resources: %s at %#llx is left out: error %d", name, (unsigned long long)start,
                 -err);
        kfree(resource);
    }
}

#ifndef HOST_BUILD
extern const uint8_t __image_start[], __text_start[], __text_end[], __rodata_start[],
    __rodata_end[], __data_start[], __data_end[];
extern const uint8_t __ro_after_init_end[]; /* where .bss begins */

static void image_add(const struct boot_handoff *handoff)
{
    const struct {
        const uint8_t *start, *end;
        const char *name;
    } parts[] = {
        {__text_start, __text_end, "Kernel code"},
        {__rodata_start, __rodata_end, "Kernel rodata"},
        {__data_start, __ro_after_init_end, "Kernel data"},
        {__ro_after_init_end, __data_end, "Kernel bss"},
    };

    for (unsigned i = 0; i < ARRAY_SIZE(parts); i++) {
        uint64_t start = handoff->kernel_phys + (uint64_t)(parts[i].start - __image_start);
        memory_add(start, start + (uint64_t)(parts[i].end - parts[i].start), parts[i].name);
    }
}
#else
static void image_add(const struct boot_handoff *handoff)
{
    (void)handoff;
}
#endif

/* Neighbours of one kind in the memory map are one resource. */
void resources_init(const struct boot_handoff *handoff)
{
    struct boot_mem mem, next = {0};
    bool more = boot_memory(0, &mem);

    for (unsigned i = 0; more; mem = next) {
        uint64_t end = mem.base + mem.length_bytes;
        const char *kind = memory_kind(mem.type);
        while ((more = boot_memory(++i, &next)) && next.base == end &&
               strcmp(memory_kind(next.type), kind) == 0) {
            end += next.length_bytes;
        }
        memory_add(mem.base, end, kind);
    }
    image_add(handoff);
}
