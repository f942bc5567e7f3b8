/*
 * Sections: memory comes in by 128 MiB when it is wanted, so that a machine with terabytes boots as fast as a small one.
 *
 * A section that is usable memory of one node and zone throughout is left alone at boot, but counted: its struct pages do not exist, its
 * contents are not touched. zone_grow() brings it in when the lists of its zone run low: maps its part of the page array, clears it, and puts its
 * frames into the lists. All other memory (the first section, whatever borders on something else, where the early allocator
 * works) is populated at boot.
 *
 * The page array lies at PAGE_ARRAY, one struct page per frame number. A section's part is 1.25 MiB, and lies in the section's own last
 * frames, mapped by small pages. Where the eight sections of a whole GiB come in like that, their 10 MiB are the last of the GiB, mapped by huge
 * pages. At boot the array is populated only where there is RAM, rounded to whole largest blocks: 2 MiB of it as a huge page where
 * at least three quarters are wanted, else by small pages. All this follows from the memory map, so the size of memory is known
 * before any of it has come in.
 *
 * Locks: bringing in under grow_lock (spin, interrupts off), which comes before zone->lock. It may be taken inside any lock inside which frames
 * are allocated: nothing is asked for meanwhile but page tables' frames, and these from the lists as they are.
 */
#include "kernel/mm/section.h"

#include "kernel/abi/boot.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/machine/mmu.h"
#include "kernel/machine/percpu.h"
#include "kernel/mm/zone.h"

#define SECTION_SHIFT  (27 - PAGE_SHIFT)
#define SECTION_FRAMES (1ull << SECTION_SHIFT)
#define GIANT_SECTIONS 8ull /* a GiB */
#define SECTION_ARRAY  (SECTION_FRAMES * sizeof(struct page))
#define GIANT_ARRAY    (GIANT_SECTIONS * SECTION_ARRAY)
#define ARRAY_CHUNK    HUGE_PAGE_SIZE /* of the page array */

_Static_assert(SECTION_ARRAY % PAGE_SIZE == 0, "a section's part of the array is of whole pages");
_Static_assert(GIANT_ARRAY % HUGE_PAGE_SIZE == 0, "a GiB's part is of whole huge pages");
_Static_assert(FRAME_MAX_BLOCK * sizeof(struct page) % PAGE_SIZE == 0,
               "the array is populated by whole pages");

uint8_t *pageblocks;

static uint64_t *sections_in; /* [a] bit per section: its struct pages exist */
static pfn_t sections_end;    /* [I] */
static struct spinlock grow_lock = SPINLOCK_INIT("grow");
static uint32_t grow_cpu = UINT32_MAX; /* [a] who holds it */
static struct section_figures figures; /* [grow_lock] */

/* ---- which sections come in later ---- */

/* A run of whole sections that do, of one node and zone. */
struct section_run {
    pfn_t start, end;
    unsigned node;
    enum zone_id zone;
};

/* The first such run that ends after `from`, cut there. False: none. */
static bool run_next(pfn_t from, struct section_run *ret_run)
{
    pfn_t start, end;

    from = MAX(from, (pfn_t)SECTION_FRAMES); /* the first is of two zones */
    for (pfn_t at = from; boot_usable_next(at, &start, &end);) {
        pfn_t border;
        unsigned node = numa_node_at(start, &border);
        pfn_t piece_end = MIN(end, border);
        if (start < ZONE_DMA32_END) {
            piece_end = MIN(piece_end, (pfn_t)ZONE_DMA32_END);
        }
        figures.pieces++;
        pfn_t first = ALIGN_UP(start, SECTION_FRAMES);
        pfn_t last = ALIGN_DOWN(piece_end, SECTION_FRAMES);
        if (first < last) {
            *ret_run = (struct section_run){first, last, node, zone_id_of(first)};
            return true;
        }
        at = piece_end;
    }
    return false;
}

/* Is the section's GiB one whose sections all come in later? */
static bool giant_is_whole(pfn_t section)
{
    struct section_run run;
    pfn_t first = ALIGN_DOWN(section, GIANT_SECTIONS * SECTION_FRAMES);

    return run_next(first, &run) && run.start == first &&
           run.end - first >= GIANT_SECTIONS * SECTION_FRAMES;
}

/* Frames that a run brings: all but those of its part of the page array. */
static uint64_t run_frames(const struct section_run *run)
{
    uint64_t sections = (run->end - run->start) / SECTION_FRAMES;

    return sections * (SECTION_FRAMES - (SECTION_ARRAY >> PAGE_SHIFT));
}

bool section_present(pfn_t pfn)
{
    uint64_t section = pfn >> SECTION_SHIFT;

    return pfn < sections_end &&
           ((__atomic_load_n(&sections_in[section / 64], __ATOMIC_ACQUIRE) >> (section % 64)) & 1);
}

static void section_set_present(pfn_t pfn)
{
    uint64_t section = pfn >> SECTION_SHIFT;

    (void)__atomic_fetch_or(&sections_in[section / 64], BIT(section % 64), __ATOMIC_RELEASE);
}

void section_figures(struct section_figures *ret_figures)
{
    uint64_t irq = spin_lock_irqsave(&grow_lock);

    *ret_figures = figures;
    spin_unlock_irqrestore(&grow_lock, irq);
}

/* ---- at boot ---- */

void sections_init(pfn_t end)
{
    sections_end = ALIGN_UP(end, SECTION_FRAMES);
    uint64_t bytes = BITMAP_WORDS(sections_end >> SECTION_SHIFT) * sizeof(uint64_t);
    uint64_t table = ALIGN_UP(sections_end >> PAGEBLOCK_ORDER, sizeof(uint64_t));

    /* The table of page blocks is written when their sections come in. */
    pageblocks = phys_to_virt(early_alloc(ALIGN_UP(table + bytes, PAGE_SIZE), PAGE_SIZE));
    sections_in = (uint64_t *)(void *)(pageblocks + table);
    memset(sections_in, 0, bytes);
}

/*
 * The next run of frames at or after `from` whose struct pages are wanted at boot: RAM, rounded to largest blocks, that does not come in
 * later. False: none.
 */
static bool eager_next(pfn_t from, pfn_t *ret_start, pfn_t *ret_end)
{
    struct boot_mem mem;

    for (unsigned i = boot_index_at(from); boot_memory(i, &mem); i++) {
        if (!boot_mem_is_ram(mem.type)) {
            continue;
        }
        pfn_t start = MAX(ALIGN_DOWN(mem.base >> PAGE_SHIFT, FRAME_MAX_BLOCK), from);
        pfn_t end = ALIGN_UP((mem.base + mem.length_bytes) >> PAGE_SHIFT, FRAME_MAX_BLOCK);
        struct section_run run;
        while (start < end) {
            if (!run_next(start, &run) || run.start >= end) {
                *ret_start = start;
                *ret_end = end;
                return true;
            }
            if (start < run.start) {
                *ret_start = start;
                *ret_end = run.start;
                return true;
            }
            start = run.end;
        }
    }
    return false;
}

static void array_map(uintptr_t va, uint64_t size)
{
    paddr_t pa = early_alloc(size, size);

    memset(phys_to_virt(pa), 0, size);
    if (mmu_kernel_map(va, pa, size, MMU_READ | MMU_WRITE | MMU_GLOBAL) < 0) {
        panic("mm: cannot map the page array");
    }
    figures.frames += size / sizeof(struct page);
}

/* Bytes of the array in [start, end) that are wanted at boot; mapped by small pages if `map`. */
static uint64_t array_wanted(uintptr_t start, uintptr_t end, bool map)
{
    uint64_t wanted = 0;
    pfn_t first = (start - (uintptr_t)PAGE_ARRAY) / sizeof(struct page);
    pfn_t from, to;

    for (pfn_t at = ALIGN_DOWN(first, FRAME_MAX_BLOCK); eager_next(at, &from, &to); at = to) {
        uintptr_t low = MAX((uintptr_t)pfn_to_page(from), start);
        uintptr_t high = MIN((uintptr_t)pfn_to_page(to), end);
        if ((uintptr_t)pfn_to_page(from) >= end) {
            break;
        }
        if (low >= high) {
            continue;
        }
        wanted += high - low;
        for (uintptr_t va = low; map && va < high; va += PAGE_SIZE) {
            array_map(va, PAGE_SIZE);
        }
    }
    return wanted;
}

/* A huge page must not reach into what is mapped when sections come in. */
static bool chunk_is_clear(uintptr_t chunk)
{
    pfn_t first = (chunk - (uintptr_t)PAGE_ARRAY) / sizeof(struct page);
    pfn_t last = (chunk + ARRAY_CHUNK - 1 - (uintptr_t)PAGE_ARRAY) / sizeof(struct page);
    struct section_run run;

    return !run_next(ALIGN_DOWN(first, SECTION_FRAMES), &run) || run.start > last;
}

/* Two passes: the huge pages first, so that the early allocator aligns but once. */
static void array_populate(bool huge)
{
    uintptr_t done = 0;
    pfn_t start, end;

    for (pfn_t at = 0; eager_next(at, &start, &end); at = end) {
        uintptr_t chunk = ALIGN_DOWN((uintptr_t)pfn_to_page(start), ARRAY_CHUNK);
        for (chunk = MAX(chunk, done); chunk < (uintptr_t)pfn_to_page(end); chunk += ARRAY_CHUNK) {
            bool dense = chunk_is_clear(chunk) &&
                         array_wanted(chunk, chunk + ARRAY_CHUNK, false) >= ARRAY_CHUNK / 4 * 3;
            if (dense && huge) {
                array_map(chunk, ARRAY_CHUNK);
            } else if (!dense && !huge) {
                (void)array_wanted(chunk, chunk + ARRAY_CHUNK, true);
            }
            done = chunk + ARRAY_CHUNK;
        }
    }
}

/* Say of which node the page blocks in [start, end) are; all begin as movable. */
static void pageblocks_set(pfn_t start, pfn_t end)
{
    while (start < end) {
        pfn_t border;
        unsigned node = numa_node_at(start, &border);
        pfn_t to = MIN(end, border);
        memset(pageblocks + (start >> PAGEBLOCK_ORDER),
               (int)(node | MIGRATE_MOVABLE << PAGEBLOCK_TYPE_SHIFT),
               (to - start) >> PAGEBLOCK_ORDER);
        start = to;
    }
}

void sections_populate(void)
{
    pfn_t start, end;

    array_populate(true);
    array_populate(false);
    for (pfn_t at = 0; eager_next(at, &start, &end); at = end) {
        pageblocks_set(start, end);
        for (pfn_t pfn = ALIGN_DOWN(start, SECTION_FRAMES); pfn < end; pfn += SECTION_FRAMES) {
            section_set_present(pfn);
        }
    }
}

static void zone_span(struct zone *zone, pfn_t start, pfn_t end)
{
    zone->start = zone->present == 0 ? start : MIN(zone->start, start);
    zone->end = MAX(zone->end, end);
    zone->present += end - start;
}

/* How large the zones are, counting all RAM. */
static void zones_span(void)
{
    struct boot_mem mem;

    for (unsigned i = 0; boot_memory(i, &mem); i++) {
        pfn_t start = mem.base >> PAGE_SHIFT;
        pfn_t end = (mem.base + mem.length_bytes) >> PAGE_SHIFT;
        while (boot_mem_is_ram(mem.type) && start < end) {
            pfn_t border;
            unsigned node = numa_node_at(start, &border);
            enum zone_id id = zone_id_of(start);
            pfn_t zone_end = id == ZONE_DMA     ? ZONE_DMA_END
                             : id == ZONE_DMA32 ? ZONE_DMA32_END
                                                : end;
            border = MIN(border, zone_end);
            pfn_t to = MIN(end, border);
            zone_span(&nodes[node]->zones[id], start, to);
            start = to;
        }
    }
}

void sections_release(void)
{
    struct section_run run;
    pfn_t start, end;

    zones_span();
    for (pfn_t at = 0; run_next(at, &run); at = run.end) {
        struct zone *zone = &nodes[run.node]->zones[run.zone];
        uint64_t frames = run_frames(&run);
        if (zone->untouched == 0) {
            zone->next = run.start;
        }
        zone->managed += frames;
        zone->untouched += frames;
    }
    for (pfn_t at = 0; boot_usable_next(at, &start, &end); at = end) {
        pfn_t from = start;
        while (from < end) {
            bool late = run_next(from, &run) && run.start < end;
            if (!late || from < run.start) {
                zones_add_range(from, late ? run.start : end);
            }
            from = late ? run.end : end;
        }
    }
}

/* ---- bringing in ---- */

/* Map the part of the page array of the section at `first`, and say where its usable frames end. False: no page tables. */
static bool section_map(pfn_t first, pfn_t *ret_end)
{
    pfn_t end = first + SECTION_FRAMES;
    bool whole = giant_is_whole(first);
    pfn_t giant = ALIGN_DOWN(first, GIANT_SECTIONS * SECTION_FRAMES);
    uint64_t size = whole ? GIANT_ARRAY : SECTION_ARRAY;
    pfn_t mapped = whole ? giant : first; /* whose part is mapped */
    pfn_t array = (whole ? giant + GIANT_SECTIONS * SECTION_FRAMES : end) - (size >> PAGE_SHIFT);

    if (mapped == first) {
        int err = mmu_kernel_map((vaddr_t)pfn_to_page(mapped), array << PAGE_SHIFT, size,
                                 MMU_READ | MMU_WRITE | MMU_GLOBAL);
        if (err < 0) {
            return false;
        }
    }
    memset(pfn_to_page(first), 0, SECTION_ARRAY);
    *ret_end = MIN(end, array);
    return true;
}

/* The next section of the zone that is not in. */
static bool zone_next_section(const struct zone *zone, pfn_t *ret_first)
{
    struct section_run run;

    for (pfn_t at = zone->next; run_next(at, &run); at = run.end) {
        if (run.node == zone->node && run.zone == zone->id) {
            *ret_first = run.start;
            return true;
        }
    }
    return false;
}

static bool zone_grow_locked(struct zone *zone)
{
    pfn_t first, end;

    if (READ_ONCE(zone->untouched) == 0 || !zone_next_section(zone, &first) ||
        !section_map(first, &end)) {
        return false;
    }
    pageblocks_set(first, first + SECTION_FRAMES);
    section_set_present(first);
    zone->next = first + SECTION_FRAMES;
    figures.frames += SECTION_FRAMES;
    figures.sections++;
    zone_give_untouched(zone, first, end);
    return true;
}

bool zone_growing(void)
{
    return atomic_load_relaxed(&grow_cpu) == this_cpu->id;
}

bool zone_grow(struct zone *zone)
{
    if (READ_ONCE(zone->untouched) == 0) {
        return false;
    }
    uint64_t irq = irq_save();
    if (zone_growing()) {
        irq_restore(irq);
        return false; /* a page table for the array itself: from the lists as they are */
    }
    spin_lock(&grow_lock);
    atomic_store_relaxed(&grow_cpu, this_cpu->id);
    bool grown = zone_grow_locked(zone);
    atomic_store_relaxed(&grow_cpu, UINT32_MAX);
    spin_unlock(&grow_lock);
    irq_restore(irq);
    return grown;
}
