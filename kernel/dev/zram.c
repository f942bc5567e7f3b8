/*
 * zram devices: their sizes, resets and figures. The devices are made at boot and stay.
 */
#include "kernel/dev/zram.h"

#include <linux/stat.h>

#include <arch/page.h>

#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/core/param.h"
#include "kernel/dev/driver.h"
#include "kernel/dev/zram_impl.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/chrdev.h"
#include "kernel/vm/reclaim.h"
#include "kernel/vm/zstore.h"

static struct zram_device *devices; /* [I] after boot */
static unsigned ndevices;           /* [I] after boot */

struct zram_device *zram_device(unsigned index)
{
    return index < ndevices ? &devices[index] : NULL;
}

unsigned zram_count(void)
{
    return ndevices;
}

uint64_t zram_disksize(unsigned index)
{
    return atomic_load_acquire(&devices[index].store) == NULL
               ? 0
               : atomic_load_relaxed(&devices[index].size);
}

int zram_set_disksize(unsigned index, uint64_t bytes)
{
    struct zram_device *device = &devices[index];
    int err = 0;

    if (bytes == 0 || bytes > ZRAM_SIZE_MAX) {
        return -EINVAL;
    }
    bytes = ALIGN_UP(bytes, PAGE_SIZE);
    mutex_lock(&device->lock);
    if (device->store != NULL) {
        err = -EBUSY;
        goto unlock;
    }
    struct zstore *store = zstore_create(bytes >> PAGE_SHIFT);
    if (store == NULL) {
        err = -ENOMEM;
        goto unlock;
    }
    atomic_store_relaxed(&device->size, bytes);
    atomic_store_release(&device->store, store);
unlock:
    mutex_unlock(&device->lock);
    return err;
}

int zram_reset(unsigned index)
{
    struct zram_device *device = &devices[index];

    mutex_lock(&device->lock);
    if (device->openers > 0) {
        mutex_unlock(&device->lock);
        return -EBUSY;
    }
    struct zstore *store = device->store;
    atomic_store_release(&device->store, (struct zstore *)NULL);
    device->reads = device->writes = device->invalid = device->freed_slots = 0;
    mutex_unlock(&device->lock);
    zstore_destroy(store);
    return 0;
}

/* Do something with the store, if there is one. */
static int with_store(unsigned index, void (*act)(struct zstore *store, uint64_t arg), uint64_t arg)
{
    struct zram_device *device = &devices[index];
    int err = -EINVAL;

    mutex_lock(&device->lock);
    if (device->store != NULL) {
        act(device->store, arg);
        err = 0;
    }
    mutex_unlock(&device->lock);
    return err;
}

static void set_limit(struct zstore *store, uint64_t bytes)
{
    zstore_set_limit(store, DIV_ROUND_UP(bytes, PAGE_SIZE));
}

static void reset_peak(struct zstore *store, uint64_t unused)
{
    (void)unused;
    zstore_reset_peak(store);
}

static void compact(struct zstore *store, uint64_t unused)
{
    (void)unused;
    (void)zstore_compact(store);
}

static void get_stats(struct zstore *store, uint64_t stats)
{
    zstore_stats(store, (struct zstore_stats *)(uintptr_t)stats);
}

int zram_set_limit(unsigned index, uint64_t bytes)
{
    return with_store(index, set_limit, bytes);
}

int zram_reset_peak(unsigned index)
{
    return with_store(index, reset_peak, 0);
}

int zram_compact(unsigned index)
{
    return with_store(index, compact, 0);
}

void zram_stats(unsigned index, struct zram_stats *ret_stats)
{
    const struct zram_device *device = &devices[index];

    *ret_stats = (struct zram_stats){
        .reads = atomic_load_relaxed(&device->reads),
        .writes = atomic_load_relaxed(&device->writes),
        .invalid = atomic_load_relaxed(&device->invalid),
        .freed_slots = atomic_load_relaxed(&device->freed_slots),
    };
    (void)with_store(index, get_stats, (uintptr_t)&ret_stats->store);
}

/* ---- when memory is short ---- */

/* act() for each store that nobody is about to replace; the sum of what it returns. */
static uint64_t for_each_store(uint64_t (*act)(struct zstore *store))
{
    uint64_t sum = 0;

    for (unsigned i = 0; i < ndevices; i++) {
        if (mutex_trylock(&devices[i].lock)) {
            sum += devices[i].store != NULL ? act(devices[i].store) : 0;
            mutex_unlock(&devices[i].lock);
        }
    }
    return sum;
}

static uint64_t shrinker_count(void)
{
    return for_each_store(zstore_compactable);
}

/* A block at a time is no less work than all of them. */
static size_t shrinker_shrink(size_t n)
{
    (void)n;
    return for_each_store(zstore_compact);
}

static struct shrinker zram_shrinker = {.count = shrinker_count, .shrink = shrinker_shrink};

static int zram_probe(const struct boot_handoff *handoff)
{
    uint64_t wanted = MIN(param_u64("zram.num_devices", 1), (uint64_t)ZRAM_DEVICES_MAX);
    char name[16];

    (void)handoff;
    if (wanted == 0) {
        return -ENODEV;
    }
    devices = kcalloc(wanted, sizeof(*devices));
    if (devices == NULL) {
        return -ENOMEM;
    }
    for (unsigned i = 0; i < wanted; i++) {
        mutex_init(&devices[i].lock, "zram device");
        mutex_init(&devices[i].write_lock, "zram write");
    }
    ndevices = (unsigned)wanted;
    int err = blkdev_register(ZRAM_MAJOR, 0, ndevices, "zram", &zram_fops);
    for (unsigned i = 0; i < ndevices && err == 0; i++) {
        (void)ksnprintf(name, sizeof(name), "zram%u", i);
        err = devfs_create(name, S_IFBLK | 0660, DEV_MAKE(ZRAM_MAJOR, i));
    }
    shrinker_register(&zram_shrinker);
    return err;
}

DRIVER(zram) = {.name = "zram", .stage = DRIVER_STAGE_DEVICE, .probe = zram_probe};
