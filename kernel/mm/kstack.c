/*
 * Kernel stacks: slots of twice KSTACK_SIZE in one piece of the arena. The stack is the upper half of its slot, the lower half is never
 * mapped: that is where an overflow traps.
 *
 * A freed stack keeps its mapping and goes to a stack of stacks per CPU, so that fork and exit map and unmap nothing; only when that
 * is full, and a shared one behind it too, is a stack taken apart.
 *
 * Locks: the per-CPU stacks with interrupts off; slots and the shared stack under kstacks.lock.
 */
#include "kernel/base/bitmap.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/poison.h"
#include "kernel/mm/vmap.h"
#include "kernel/sync/spinlock.h"

#define SLOT_SIZE   (2 * KSTACK_SIZE)
#define NSLOTS      65536u /* 2 GiB of address space */
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
    vaddr_t base;         /* [I] */
    uint64_t *used;       /* [lock] bitmap of slots */
    uint32_t hint;        /* [lock] no free slot below */
    uint32_t nshared;     /* [lock] */
    void *shared[SHARED]; /* [lock] mapped stacks that no CPU holds */
} kstacks = {.lock = SPINLOCK_INIT("kernel stacks")};

static vaddr_t slot_alloc(void)
{
    uint64_t irq = spin_lock_irqsave(&kstacks.lock);
    size_t slot = bitmap_find_clear(kstacks.used, NSLOTS, kstacks.hint);

    if (slot < NSLOTS) {
        bitmap_set(kstacks.used, slot);
        kstacks.hint = (uint32_t)slot + 1;
    }
    spin_unlock_irqrestore(&kstacks.lock, irq);
    return slot < NSLOTS ? kstacks.base + slot * SLOT_SIZE : 0;
}

static void slot_free(vaddr_t va)
{
    uint32_t slot = (uint32_t)((va - kstacks.base) / SLOT_SIZE);
    uint64_t irq = spin_lock_irqsave(&kstacks.lock);

    bitmap_clear(kstacks.used, slot);
    kstacks.hint = MIN(kstacks.hint, slot);
    spin_unlock_irqrestore(&kstacks.lock, irq);
}

/* Unmap [va, va + npages) and free its frames. */
static void stack_unmap(vaddr_t va, struct page **pages, unsigned npages)
{
    if (npages > 0) {
        mmu_kernel_unmap(va, npages * PAGE_SIZE);
    }
    pages_put(pages, npages);
}

static __noinline void *stack_create(void)
{
    struct page *pages[STACK_PAGES];
    vaddr_t slot = slot_alloc();
    vaddr_t va = slot + KSTACK_SIZE;
    unsigned mapped = 0;

    if (slot == 0) {
        return NULL;
    }
    unsigned npages = frame_alloc_bulk(STACK_PAGES, 0, PAGE_STACK, pages);
    while (mapped < npages && mmu_kernel_map(va + mapped * PAGE_SIZE, page_to_phys(pages[mapped]),
                                             PAGE_SIZE, MMU_READ | MMU_WRITE | MMU_GLOBAL) == 0) {
        mapped++;
    }
    if (mapped == STACK_PAGES) {
        return (void *)va;
    }
    stack_unmap(va, pages, mapped);
    pages_put(pages + mapped, npages - mapped);
    slot_free(slot);
    return NULL;
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
    stack_unmap(va, pages, STACK_PAGES);
    slot_free(va - KSTACK_SIZE);
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

bool kstack_guard_hit(vaddr_t addr)
{
    return kstacks.base != 0 && addr - kstacks.base < NSLOTS * SLOT_SIZE &&
           (addr - kstacks.base) % SLOT_SIZE < KSTACK_SIZE;
}

void kstacks_init(void)
{
    kstacks.used = kzalloc(BITMAP_WORDS(NSLOTS) * sizeof(uint64_t));
    kstacks.base = arena_alloc(NSLOTS * SLOT_SIZE);
    BUG_ON(kstacks.used == NULL || kstacks.base == 0);
}
