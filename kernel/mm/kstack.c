/*
 * Kernel stacks: slots of twice KSTACK_SIZE in an arena of their own. The stack is the upper half of its slot, the lower half is never
 * mapped: that is where an overflow traps.
 *
 * The arena imports whole GiBs of the kernel's, as many as there are stacks for. Which those are is in a bitmap, so that a fault can ask
 * whether it met a guard page without a lock.
 *
 * A freed stack keeps its mapping and goes to a stack of stacks per CPU, so that fork and exit map and unmap nothing; only when that
 * is full, and a shared one behind it too, is a stack taken apart.
 *
 * Locks: the per-CPU stacks with interrupts off; the shared stack under kstacks.lock; slots have their arena's.
 */
#include "kernel/base/bitmap.h"
#include "kernel/base/string.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/poison.h"
#include "kernel/mm/vmap.h"
#include "kernel/sync/spinlock.h"

#define SLOT_SIZE   (2 * KSTACK_SIZE)
#define SPAN_SIZE   GIB(1)
#define NSPANS      (ARENA_SIZE / SPAN_SIZE + 1)
#define STACK_PAGES (KSTACK_SIZE / PAGE_SIZE)
#define CPU_CACHE   4u
#define SHARED      16u

struct kstack_cache {
    uint32_t count;
    void *stacks[CPU_CACHE];
};

static DEFINE_PER_CPU(struct kstack_cache, kstack_cache); /* interrupts off */

static struct {
    struct spinlock lock;
    uint32_t nshared;                     /* [lock] */
    void *shared[SHARED];                 /* [lock] mapped stacks that no CPU holds */
    uint64_t spans[BITMAP_WORDS(NSPANS)]; /* [a] GiBs that are the slots' */
} kstacks = {.lock = SPINLOCK_INIT("kernel stacks")};

static struct vmem slots;

/* ---- slots ---- */

/* The number of the GiB that `va` lies in. NSPANS or more: it is not of the arena. */
static uint64_t span_number(vaddr_t va)
{
    return (va - ALIGN_DOWN(ARENA_BASE, SPAN_SIZE)) / SPAN_SIZE;
}

static void span_mark(uint64_t number, bool ours)
{
    uint64_t *word = &kstacks.spans[number / 64], bit = BIT(number % 64);

    (void)(ours ? atomic_fetch_or(word, bit) : atomic_fetch_and(word, ~bit));
}

static uint64_t span_import(void *arg, uint64_t len_bytes)
{
    (void)arg;
    vaddr_t start = arena_alloc_aligned(len_bytes, SPAN_SIZE);

    for (uint64_t i = 0; start != 0 && i < len_bytes / SPAN_SIZE; i++) {
        span_mark(span_number(start) + i, true);
    }
    return start;
}

static void span_release(void *arg, uint64_t start, uint64_t len_bytes)
{
    (void)arg;
    for (uint64_t i = 0; i < len_bytes / SPAN_SIZE; i++) {
        span_mark(span_number(start) + i, false);
    }
    arena_free(start, len_bytes);
}

static vaddr_t slot_alloc(void)
{
    return vmem_alloc(&slots, SLOT_SIZE, VMEM_INSTANT_FIT);
}

static void slot_free(vaddr_t va)
{
    vmem_free(&slots, va, SLOT_SIZE);
}

/* ---- stacks ---- */

static __noinline void *stack_create(void)
{
    struct page *pages[STACK_PAGES];
    vaddr_t slot = slot_alloc();
    vaddr_t va = slot + KSTACK_SIZE;

    if (slot == 0) {
        return NULL;
    }
    unsigned npages = frame_alloc_bulk(STACK_PAGES, 0, PAGE_STACK, pages);
    if (npages == STACK_PAGES &&
        mmu_kernel_map_pages(va, pages, npages, MMU_READ | MMU_WRITE) == 0) {
        return (void *)va;
    }
    pages_put(pages, npages);
    slot_free(slot);
    return NULL;
}

/* A stack that was unmapped; it lies in the stack's own first frame, reached by the direct map. */
struct dead_stack {
    struct vunmap unmap;
    struct page *pages[STACK_PAGES];
};

static void stack_release(struct vunmap *unmap)
{
    struct dead_stack *dead = container_of(unmap, struct dead_stack, unmap);
    struct page *pages[STACK_PAGES];
    vaddr_t va = unmap->start;

    memcpy(pages, dead->pages, sizeof(pages));
    pages_put(pages, STACK_PAGES);
    slot_free(va - KSTACK_SIZE);
}

static __noinline void stack_destroy(void *stack)
{
    struct page *pages[STACK_PAGES];
    vaddr_t va = (vaddr_t)stack;

    for (unsigned i = 0; i < STACK_PAGES; i++) {
        paddr_t pa;
        unsigned flags;
        bool present = mmu_query(&mmu_kernel, va + i * PAGE_SIZE, &pa, &flags);
        BUG_ON(!present);
        pages[i] = phys_to_page(pa);
    }
    struct dead_stack *dead = page_to_virt(pages[0]);
    dead->unmap = (struct vunmap){.start = va, .npages = STACK_PAGES, .release = stack_release};
    memcpy(dead->pages, pages, sizeof(pages));
    vunmap_later(&dead->unmap);
}

/* From the stacks that no CPU holds, or a new one. */
static __noinline void *kstack_alloc_slow(void)
{
    void *stack = NULL;
    uint64_t irq = spin_lock_irqsave(&kstacks.lock);

    if (kstacks.nshared > 0) {
        stack = kstacks.shared[--kstacks.nshared];
    }
    spin_unlock_irqrestore(&kstacks.lock, irq);
    return stack != NULL ? stack : stack_create();
}

static __noinline void kstack_free_slow(void *stack)
{
    uint64_t irq = spin_lock_irqsave(&kstacks.lock);

    if (kstacks.nshared < SHARED) {
        kstacks.shared[kstacks.nshared++] = stack;
        stack = NULL;
    }
    spin_unlock_irqrestore(&kstacks.lock, irq);
    if (stack != NULL) {
        stack_destroy(stack);
    }
}

void *kstack_alloc(void)
{
    uint64_t irq = irq_save();
    struct kstack_cache *cache = this_cpu_ptr(kstack_cache);

    if (likely(cache->count > 0)) {
        void *stack = cache->stacks[--cache->count];
        irq_restore(irq);
        memory_unpoison(stack, KSTACK_SIZE);
        return stack;
    }
    irq_restore(irq);
    void *stack = kstack_alloc_slow();
    if (stack != NULL) {
        memory_unpoison(stack, KSTACK_SIZE);
    }
    return stack;
}

void kstack_free(void *stack)
{
    if (stack == NULL) {
        return;
    }
    memory_poison_as(stack, KSTACK_SIZE, POISON_FREED);
    uint64_t irq = irq_save();
    struct kstack_cache *cache = this_cpu_ptr(kstack_cache);
    if (likely(cache->count < CPU_CACHE)) {
        cache->stacks[cache->count++] = stack;
        irq_restore(irq);
        return;
    }
    irq_restore(irq);
    kstack_free_slow(stack);
}

void kstacks_cpu_dead(unsigned cpu)
{
    struct kstack_cache *cache = per_cpu_ptr(kstack_cache, cpu);

    while (cache->count > 0) {
        kstack_free_slow(cache->stacks[--cache->count]);
    }
}

bool kstack_guard_hit(vaddr_t addr)
{
    uint64_t span = span_number(addr);

    return span < NSPANS &&
           (atomic_load_relaxed(&kstacks.spans[span / 64]) & BIT(span % 64)) != 0 &&
           addr % SLOT_SIZE < KSTACK_SIZE;
}

void kstacks_init(void)
{
    static const struct vmem_source source = {
        .import = span_import, .release = span_release, .unit = SPAN_SIZE};

    vmem_init(&slots, "kernel stacks", SLOT_SIZE, &source);
}
