/*
 * How much of each zone is kept free, and for whom.
 *
 * vm.min_free_kbytes is shared out among the zones by size. What it is by default grows with the square root of memory: large machines need
 * more, but not in proportion. `low` and `high` lie above `min` in equal steps, of a quarter of it or of vm.watermark_scale_factor / 10000 of
 * the zone, whichever is more. A request that begins at a higher zone leaves 1 / vm.lowmem_reserve_ratio of the memory between there and here
 * besides, so that memory which anybody can use does not eat up what few can. The names, defaults and bounds are those of
 * Linux's Documentation/admin-guide/sysctl/vm.rst.
 *
 * Locks: settings under settings_lock (spin), which comes before zone->lock.
 */
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/mm/zone.h"

#define MIN_FREE_KB_LEAST 128u
#define MIN_FREE_KB_MOST  262144u /* of the default */
#define SCALE_FACTOR_MOST 3000u

static struct spinlock settings_lock = SPINLOCK_INIT("watermarks");
static struct frame_watermarks settings = {
    .scale_factor = 10,
    .lowmem_ratio = {[ZONE_DMA] = 256, [ZONE_DMA32] = 256, [ZONE_NORMAL] = 32},
}; /* [settings_lock] min_free_kb 0: by size */

static uint64_t managed_frames(void)
{
    uint64_t managed = 0;

    for (unsigned node = 0; node < nodes_count(); node++) {
        for (unsigned id = 0; id < ZONE_COUNT; id++) {
            managed += READ_ONCE(nodes[node]->zones[id].managed);
        }
    }
    return managed;
}

static uint64_t square_root(uint64_t x)
{
    uint64_t root = 0;

    for (uint64_t bit = 1ull << 31; bit != 0; bit >>= 1) {
        if ((root | bit) * (root | bit) <= x) {
            root |= bit;
        }
    }
    return root;
}

static uint64_t min_free_kb_locked(uint64_t managed)
{
    if (settings.min_free_kb != 0) {
        return settings.min_free_kb;
    }
    return CLAMP(square_root((managed << (PAGE_SHIFT - 10)) * 16), (uint64_t)MIN_FREE_KB_LEAST,
                 (uint64_t)MIN_FREE_KB_MOST);
}

static void zone_update(struct zone *zone, uint64_t min_frames, uint64_t managed)
{
    uint64_t irq = spin_lock_irqsave(&zone->lock);
    uint64_t above = 0;

    /* Never more than half: what is asked for may not fit. */
    zone->min = MIN(managed == 0 ? 0 : min_frames * zone->managed / managed, zone->managed / 2);
    uint64_t step = MAX(zone->min / 4, zone->managed * settings.scale_factor / 10000);
    zone->low = MIN(zone->min + step, zone->managed);
    zone->high = MIN(zone->min + 2 * step, zone->managed);
    unsigned ratio = settings.lowmem_ratio[zone->id];
    memset(zone->protection, 0, sizeof(zone->protection));
    for (unsigned first = zone->id + 1; first < ZONE_COUNT; first++) {
        above += READ_ONCE(nodes[zone->node]->zones[first].managed);
        zone->protection[first] = ratio == 0 ? 0 : above / ratio;
    }
    spin_unlock_irqrestore(&zone->lock, irq);
}

static void update_locked(void)
{
    uint64_t managed = managed_frames();
    uint64_t min_frames = min_free_kb_locked(managed) >> (PAGE_SHIFT - 10);

    for (unsigned node = 0; node < nodes_count(); node++) {
        for (unsigned id = 0; id < ZONE_COUNT; id++) {
            zone_update(&nodes[node]->zones[id], min_frames, managed);
        }
    }
}

void zones_update_watermarks(void)
{
    uint64_t irq = spin_lock_irqsave(&settings_lock);

    update_locked();
    spin_unlock_irqrestore(&settings_lock, irq);
}

void frames_get_watermarks(struct frame_watermarks *ret_watermarks)
{
    uint64_t irq = spin_lock_irqsave(&settings_lock);

    *ret_watermarks = settings;
    ret_watermarks->min_free_kb = min_free_kb_locked(managed_frames());
    spin_unlock_irqrestore(&settings_lock, irq);
}

int frames_set_watermarks(const struct frame_watermarks *watermarks)
{
    if (watermarks->scale_factor == 0 || watermarks->scale_factor > SCALE_FACTOR_MOST ||
        watermarks->min_free_kb > INT32_MAX) {
        return -EINVAL;
    }
    uint64_t irq = spin_lock_irqsave(&settings_lock);
    settings = *watermarks;
    update_locked();
    spin_unlock_irqrestore(&settings_lock, irq);
    return 0;
}

uint64_t zone_available_locked(const struct zone *zone, enum zone_floor floor, enum zone_id first)
{
    uint64_t keep = 0;

    switch (floor) {
    case FLOOR_LOW:
        keep = zone->low + zone->protection[first];
        break;
    case FLOOR_MIN:
        keep = zone->min + zone->protection[first];
        break;
    case FLOOR_ATOMIC:
        keep = zone->min / 4 + zone->protection[first];
        break;
    case FLOOR_NONE:
        break;
    }
    uint64_t has = zone->free + zone->untouched;
    return has > keep ? has - keep : 0;
}
