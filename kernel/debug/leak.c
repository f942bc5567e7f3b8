/*
 * Mark and sweep over the heap: see leak.h.
 *
 * A pass marks with its number (track->mark). Objects found and not yet looked into are linked through the chain words that live objects do not use.
 * A pass runs with preemption off: on one CPU nothing moves but in interrupts. What moves on other CPUs meanwhile, and what a handler moves, may
 * be missed by one pass; hence two, and the age.
 *
 * Locks: scans and their results under leak_lock.
 */
#include "kernel/debug/leak.h"

#include "kernel/abi/boot.h"
#include "kernel/base/string.h"
#include "kernel/core/percpu.h"
#include "kernel/core/time.h"
#include "kernel/machine/mmu.h"
#include "kernel/machine/preempt.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/poison.h"
#include "kernel/mm/slab_debug.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/pid.h"
#include "kernel/sched/thread.h"

#define MARK_LOST    0x80000000u /* told by leak_list() */
#define MARK_CLEARED 0x40000000u /* was lost, and the reader knows */
#define MARK_FLAGS   (MARK_LOST | MARK_CLEARED)

static struct mutex leak_lock = MUTEX_INIT(leak_lock);
static uint32_t pass_number;                     /* [leak_lock] */
static uintptr_t grey_start;                     /* [leak_lock] first of the objects to look into */
static pfn_t own_stack[KSTACK_SIZE / PAGE_SIZE]; /* [leak_lock] frames of the scanner's own stack */

extern const uint8_t __data_start[], __data_end[];
extern const uint8_t __percpu_start[], __percpu_end[];

/* ---- marking ---- */

/* If `word` points into a live object that this pass has not met, it is in use and will be looked into. */
NO_SANITIZE_ADDRESS static void meet(uintptr_t word)
{
    struct slab_object object;

    if (word - BOOT_DIRECT_MAP >= BOOT_DIRECT_MAP_SIZE || !slab_object_find(word, &object) ||
        !object.live || (object.track->mark & ~MARK_FLAGS) == pass_number) {
        return;
    }
    object.track->mark = pass_number | (object.track->mark & MARK_CLEARED);
    *object.link = (void *)grey_start;
    grey_start = (uintptr_t)object.start;
}

NO_SANITIZE_ADDRESS static void look_into(const void *start, size_t size)
{
    const uintptr_t *word = (const uintptr_t *)ALIGN_UP((uintptr_t)start, sizeof(uintptr_t));
    const uintptr_t *end = (const uintptr_t *)ALIGN_DOWN((uintptr_t)start + size, sizeof(*word));

    for (; word < end; word++) {
        meet(*(const volatile uintptr_t *)word);
    }
}

NO_SANITIZE_ADDRESS static void look_into_grey(void)
{
    struct slab_object object;

    while (grey_start != 0 && slab_object_find(grey_start, &object)) {
        grey_start = (uintptr_t)*object.link;
        if (!object.internal) {
            look_into(object.start, object.size);
        }
    }
}

/*
 * The scanner's stack: only what its callers have there. Below lies what it left behind itself, addresses of objects it looked at.
 */
static __noinline void look_into_own_stack(void)
{
    uintptr_t stack = (uintptr_t)current_thread()->stack;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);

    for (unsigned i = 0; i < ARRAY_SIZE(own_stack); i++) {
        paddr_t pa = 0;
        unsigned flags;
        (void)mmu_query(&mmu_kernel, stack + i * PAGE_SIZE, &pa, &flags);
        own_stack[i] = pa >> PAGE_SHIFT;
    }
    look_into((const void *)here, stack + KSTACK_SIZE - here);
}

static bool is_own_stack(pfn_t pfn)
{
    for (unsigned i = 0; i < ARRAY_SIZE(own_stack); i++) {
        if (own_stack[i] == pfn) {
            return true;
        }
    }
    return false;
}

static bool holds_pointers(const struct page *page)
{
    return page->kind == PAGE_KERNEL ||
           (page->kind == PAGE_STACK && !is_own_stack(page_to_pfn(page)));
}

/* The pages that hold the kernel's own data, and every struct page. */
static void look_into_frames(void)
{
    struct boot_mem mem;

    for (unsigned i = 0; boot_memory(i, &mem); i++) {
        pfn_t pfn = mem.base >> PAGE_SHIFT;
        pfn_t end = pfn + (mem.length_bytes >> PAGE_SHIFT);
        if (!pfn_valid(pfn)) {
            continue;
        }
        for (; pfn < end; pfn++) {
            struct page *page = pfn_to_page(pfn);
            if (holds_pointers(page)) {
                look_into(page_to_virt(page), PAGE_SIZE << page->order);
                pfn += (1ull << page->order) - 1;
            } else if (page->kind != PAGE_FREE && page->kind != PAGE_RESERVED) {
                meet((uintptr_t)page->owner);
                meet(page->index);
            }
        }
        look_into_grey();
    }
}

static void mark(void)
{
    unsigned cpu;

    pass_number++; /* a billion passes are enough */
    grey_start = 0;
    preempt_disable();
    look_into(__data_start, (size_t)(__data_end - __data_start));
    for_each_cpu (cpu) {
        look_into(cpu_by_id(cpu), sizeof(struct cpu));
        look_into(__percpu_start + cpu_by_id(cpu)->percpu_offset,
                  (size_t)(__percpu_end - __percpu_start));
    }
    look_into_own_stack();
    look_into_grey();
    look_into_frames();
    look_into_grey();
    preempt_enable();
}

/* ---- sweeping ---- */

struct sweep {
    ktime_t born_before;
    size_t nlost;
};

NO_SANITIZE_ADDRESS static void sweep_object(const struct slab_object *object, void *arg)
{
    struct sweep *sweep = arg;
    struct slab_track *track = object->track;
    bool met = pass_number - (track->mark & ~MARK_FLAGS) < 2; /* by one of the two passes */

    if (met || (track->mark & MARK_CLEARED) != 0 || track->time > sweep->born_before) {
        return;
    }
    track->mark |= MARK_LOST;
    sweep->nlost++;
}

size_t leak_scan(ktime_t min_age)
{
    struct sweep sweep = {.born_before = ktime_now() - min_age};

    mutex_lock(&leak_lock);
    mark();
    mark();
    slab_objects_walk(sweep_object, &sweep);
    mutex_unlock(&leak_lock);
    return sweep.nlost;
}

/* ---- results ---- */

struct listing {
    struct leak *leaks;
    size_t skip, max, n;
};

NO_SANITIZE_ADDRESS static void list_object(const struct slab_object *object, void *arg)
{
    struct listing *listing = arg;
    const struct slab_track *track = object->track;

    if ((track->mark & MARK_LOST) == 0 || listing->n == listing->max) {
        return;
    }
    if (listing->skip > 0) {
        listing->skip--;
        return;
    }
    struct leak *leak = &listing->leaks[listing->n++];
    leak->start = (uintptr_t)object->start;
    leak->size = object->size;
    leak->cache_name = object->cache_name;
    leak->pid = track->pid;
    leak->time = track->time;
    leak->stack = track->alloc_stack;
    for (size_t i = 0; i < sizeof(leak->comm); i++) {
        leak->comm[i] = track->comm[i];
    }
    leak->comm[sizeof(leak->comm) - 1] = '\0';
    for (size_t i = 0; i < MIN(sizeof(leak->head), object->size); i++) {
        leak->head[i] = object->start[i];
    }
}

size_t leak_list(size_t skip, struct leak *ret_leaks, size_t max)
{
    struct listing listing = {.leaks = ret_leaks, .skip = skip, .max = max};

    mutex_lock(&leak_lock);
    slab_objects_walk(list_object, &listing);
    mutex_unlock(&leak_lock);
    return listing.n;
}

NO_SANITIZE_ADDRESS static void clear_object(const struct slab_object *object, void *arg)
{
    (void)arg;
    if ((object->track->mark & MARK_LOST) != 0) {
        object->track->mark = (object->track->mark & ~MARK_LOST) | MARK_CLEARED;
    }
}

void leak_clear(void)
{
    mutex_lock(&leak_lock);
    slab_objects_walk(clear_object, NULL);
    mutex_unlock(&leak_lock);
}

/* ---- owners ---- */

static void owner(char comm[SLAB_COMM_BYTES], int32_t *ret_pid)
{
    const struct thread *thread = current_thread();

    _Static_assert(SLAB_COMM_BYTES == COMM_SIZE, "one is copied to the other");
    if (!in_thread()) {
        (void)str_copy(comm, "hardirq", SLAB_COMM_BYTES);
        return;
    }
    memcpy(comm, thread->comm, SLAB_COMM_BYTES);
    *ret_pid = pid_nr(thread->pid);
}

void leak_init(void)
{
    slab_owner_hook = owner;
}
