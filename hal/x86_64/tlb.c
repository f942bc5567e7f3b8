/*
 * TLB and paging-structure caches (Intel SDM volume 3, 4.10).
 *
 * A few pages are invalidated one by one (INVLPG also empties the paging-structure caches, 4.10.4.1), more by loading CR3 again, which
 * leaves global entries alone; kernel entries are global and need CR4.PGE off and on. With PCIDs both reach what lies under the current one
 * alone: of spaces that a CPU does not use, it finds out by their generation when it comes back to them (asid.h).
 *
 * struct mmu_space knows the CPUs that use it. Each sets its bit before it reads the generation; who changes the space adds to the
 * generation before he looks at the bits: so either he tells that CPU, or it sees the new generation. He waits for those that he tells.
 *
 * A CPU that has gone on to a kernel thread keeps the tables of the space it came from, but uses nothing of the user's half: it is lazy, and not
 * told. Coming back it compares generations as if it had used another space meanwhile. Only when tables are freed is it told, because a
 * processor may walk tables of its own accord (4.10.2.3), and when the space itself goes.
 *
 * Locks: tlb_cpu belongs to its CPU, interrupts off, but for `lazy` [a], which others read.
 */
#include "hal/x86_64/tlb.h"

#include "hal/x86_64/ap.h"
#include "hal/x86_64/asid.h"
#include "hal/x86_64/features.h"
#include "hal/x86_64/ipi.h"
#include "hal/x86_64/percpu.h"
#include "hal/x86_64/pte.h"
#include "hal/x86_64/regs.h"
#include "kernel/core/percpu.h"
#include "kernel/core/smp_call.h"
#include "kernel/machine/preempt.h"
#include "kernel/machine/smp.h"

#define SINGLE_PAGES_MAX 24u /* beyond that, everything at once is cheaper */

struct tlb_cpu {
    struct asid_cpu asids;  /* without PCIDs, only the slot in use says something */
    bool lazy;              /* [a] no thread of the active space runs */
    bool idle;              /* [a] waits for an interrupt, and is not told of the kernel's half */
    uint64_t idle_since;    /* kernel_flushed as it was when that began */
    struct mmu_stats stats; /* the counts of flushes alone */
};
static DEFINE_PER_CPU(struct tlb_cpu,
                      tlb_cpu); /* each its CPU's alone, but that others read the counts */

/* ---- spaces ---- */

static inline void flush_local(vaddr_t start, vaddr_t end)
{
    uint64_t npages = (end - start) >> PAGE_SHIFT;
    struct mmu_stats *stats = &this_cpu_ptr(tlb_cpu)->stats;

    if (npages > SINGLE_PAGES_MAX) {
        cr3_write(cr3_read());
        stats->flush_all++;
        return;
    }
    for (vaddr_t va = start; va < end; va += PAGE_SIZE) {
        tlb_flush_page(va);
    }
    if (npages == 1) {
        stats->flush_page++;
    } else {
        stats->flush_range++;
    }
}

/* The space in use changed. With PCIDs the change is counted, so that this CPU and others find out later what they missed. */
static inline void follow(struct mmu_space *space, uint64_t generation, vaddr_t start, vaddr_t end)
{
    switch (asid_follow(&this_cpu_ptr(tlb_cpu)->asids, generation,
                        atomic_load_acquire(&space->generation))) {
    case ASID_RANGE:
        flush_local(start, end);
        break;
    case ASID_EVERYTHING:
        flush_local(0, UINT64_MAX);
        break;
    case ASID_NOTHING:
        break;
    }
}

/* What a CPU is told: a change of `space` in [start, end), counted as `generation`. */
struct flush_request {
    struct mmu_space *space;
    uint64_t generation;
    vaddr_t start, end;
};

static void flush_requested(void *arg)
{
    const struct flush_request *request = arg;

    smp_message_add(SMP_TLB);
    this_cpu_ptr(tlb_cpu)->stats.flush_received++;
    if (this_x86_cpu->active_space == request->space) {
        follow(request->space, request->generation, request->start, request->end);
    }
}

void mmu_space_cpus(const struct mmu_space *space, bool kept, struct cpumask *ret_mask)
{
    unsigned id;

    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        ret_mask->bits[i] = atomic_load_relaxed(&space->cpus[i]);
    }
    for_each_cpu_in (id, ret_mask) {
        if (!kept && atomic_load_acquire(&per_cpu_ptr(tlb_cpu, id)->lazy)) {
            cpumask_clear(ret_mask, id);
        }
    }
}

/* Those that must know of a change: users, without the lazy ones unless tables go. Preemption off. False: nobody. */
static bool others_to_tell(const struct mmu_space *space, bool lazy_too, struct cpumask *ret_mask)
{
    mmu_space_cpus(space, lazy_too, ret_mask);
    cpumask_clear(ret_mask, cpu_id());
    return !cpumask_empty(ret_mask);
}

static __noinline void others_follow(struct flush_request *request, bool tables_freed)
{
    struct cpumask mask;

    preempt_disable();
    if (others_to_tell(request->space, tables_freed, &mask)) {
        this_cpu_ptr(tlb_cpu)->stats.flush_remote++;
        smp_call_many(&mask, flush_requested, request, true);
    }
    preempt_enable();
}

static __noinline bool others_use_many(const struct mmu_space *space, unsigned self)
{
    uint64_t others = 0;

    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        uint64_t word = atomic_load_relaxed(&space->cpus[i]);
        others |= i == self / 64 ? word & ~BIT(self % 64) : word;
    }
    return others != 0;
}

/* Does any CPU but the running one use the space? Preemption off. */
static inline bool others_use(const struct mmu_space *space)
{
    unsigned self = cpu_id();

    if (likely(ap_nslots <= 64)) {
        return (atomic_load_relaxed(&space->cpus[0]) & ~BIT(self)) != 0;
    }
    return others_use_many(space, self);
}

static void space_changed(struct mmu_space *space, vaddr_t start, vaddr_t end, bool tables_freed)
{
    /* A full barrier: pairs with the one between a CPU's bit, or its being lazy no more, and its look at the generation. */
    uint64_t generation = __atomic_add_fetch(&space->generation, 1, __ATOMIC_SEQ_CST);
    uint64_t flags = irq_save();

    if (this_x86_cpu->active_space == space) {
        follow(space, generation, start, end);
    }
    bool others = others_use(space);
    irq_restore(flags);
    if (unlikely(others)) {
        struct flush_request request = {space, generation, start, end};
        others_follow(&request, tables_freed);
    }
}

void mmu_flush_finish(struct mmu_flush *flush)
{
    if (flush->start < flush->end || flush->tables_freed) {
        vaddr_t start = MIN(flush->start, flush->end);
        vaddr_t end = flush->tables_freed ? MAX(flush->end, start + PAGE_SIZE) : flush->end;

        space_changed(flush->space, start, end, flush->tables_freed);
    }
    for (struct page *page = flush->tables, *next; page != NULL; page = next) {
        next = page->next_table;
        table_free(page);
    }
    flush->start = UINT64_MAX;
    flush->end = 0;
    flush->tables_freed = false;
    flush->tables = NULL;
}

void tlb_enable_pcid(void)
{
    if (cpu_features.pcid) {
        cr4_write(cr4_read() | CR4_PCIDE);
    }
}

void tlb_use(struct mmu_space *space)
{
    struct tlb_cpu *tlb = this_cpu_ptr(tlb_cpu);
    uint64_t generation = atomic_load_acquire(&space->generation);
    uint64_t cr3 = space->root;

    if (unlikely(cpu_features.pcid)) {
        bool flush;
        cr3 |= asid_choose(&tlb->asids, space->id, generation, &flush);
        cr3 |= flush ? 0 : CR3_KEEP;
    } else {
        tlb->asids.slots[0].generation = generation;
    }
    cr3_write(cr3);
}

void tlb_be_lazy(void)
{
    /* Late news does no harm: who is told in vain has lost a little time. Release: mmu_space_cpus(). */
    atomic_store_release(&this_cpu_ptr(tlb_cpu)->lazy, true);
}

void tlb_be_busy(void)
{
    struct tlb_cpu *tlb = this_cpu_ptr(tlb_cpu);

    if (atomic_load_relaxed(&tlb->lazy)) {
        /* A full barrier: pairs with space_changed(): either we are told, or we see the new generation. */
        (void)__atomic_exchange_n(&tlb->lazy, false, __ATOMIC_SEQ_CST);
    }
}

void tlb_catch_up(struct mmu_space *space)
{
    struct tlb_cpu *tlb = this_cpu_ptr(tlb_cpu);
    uint64_t generation = atomic_load_acquire(&space->generation);
    struct asid_slot *slot = &tlb->asids.slots[tlb->asids.current];

    if (slot->generation != generation) {
        slot->generation = generation;
        flush_local(0, UINT64_MAX);
    }
}

void tlb_leave(void)
{
    struct mmu_space *space = this_x86_cpu->active_space;

    if (space != NULL) {
        this_x86_cpu->active_space = NULL;
        cr3_write(mmu_kernel.root);
        (void)atomic_fetch_and(&space->cpus[cpu_id() / 64], ~BIT(cpu_id() % 64));
    }
}

static void leave_requested(void *arg)
{
    smp_message_add(SMP_TLB);
    if (this_x86_cpu->active_space == arg) {
        tlb_leave();
    }
}

void tlb_space_leave(struct mmu_space *space)
{
    struct cpumask mask;

    preempt_disable();
    uint64_t flags = irq_save();
    if (this_x86_cpu->active_space == space) {
        tlb_leave();
    }
    irq_restore(flags);
    if (unlikely(others_to_tell(space, true, &mask))) {
        smp_call_many(&mask, leave_requested, space, true);
    }
    preempt_enable();
}

/*
 * ---- the kernel's half ----
 *
 * A CPU that waits for an interrupt is not woken for it. It notes how many flushes had ended when it began to wait, and compares with how many have
 * begun when it is woken, before it does anything else: if the numbers differ it flushes all it knows. A flush counts itself before it looks at
 * who is idle; so either it sees that the CPU is not, or the CPU sees that it has begun.
 */
static uint64_t kernel_flushes; /* [a] begun */
static uint64_t kernel_flushed; /* [a] ended */

struct kernel_request {
    vaddr_t start, end;
};

static void kernel_flush_local(const struct kernel_request *request)
{
    if (request->end - request->start > SINGLE_PAGES_MAX * PAGE_SIZE) {
        uint64_t cr4 = cr4_read();
        cr4_write(cr4 ^ CR4_PGE);
        cr4_write(cr4);
        cr3_write(cr3_read()); /* CPUs without PGE */
        return;
    }
    for (vaddr_t va = request->start; va < request->end; va += PAGE_SIZE) {
        tlb_flush_page(va);
    }
}

static void kernel_flush_everything(void)
{
    const struct kernel_request all = {0, UINT64_MAX};

    kernel_flush_local(&all);
}

void tlb_idle_begin(void)
{
    struct tlb_cpu *tlb = this_cpu_ptr(tlb_cpu);

    tlb->idle_since = atomic_load_acquire(&kernel_flushed);
    atomic_store_release(&tlb->idle, true);
}

void tlb_idle_end(void)
{
    struct tlb_cpu *tlb = this_cpu_ptr(tlb_cpu);

    if (!atomic_load_relaxed(&tlb->idle)) {
        return;
    }
    /* A full barrier: pairs with tlb_flush_kernel(). */
    (void)__atomic_exchange_n(&tlb->idle, false, __ATOMIC_SEQ_CST);
    if (atomic_load_relaxed(&kernel_flushes) != tlb->idle_since) {
        kernel_flush_everything();
    }
}

static void kernel_flush_requested(void *arg)
{
    smp_message_add(SMP_TLB);
    kernel_flush_local(arg);
}

void tlb_flush_kernel(vaddr_t start, vaddr_t end)
{
    struct kernel_request request = {start, end};
    struct cpumask mask = CPUMASK_NONE;
    unsigned id;

    preempt_disable();
    uint64_t flags = irq_save();
    kernel_flush_local(&request);
    irq_restore(flags);
    (void)__atomic_add_fetch(&kernel_flushes, 1, __ATOMIC_SEQ_CST);
    for_each_online_cpu (id) {
        if (id != cpu_id() && !atomic_load_relaxed(&per_cpu_ptr(tlb_cpu, id)->idle)) {
            cpumask_set(&mask, id);
        }
    }
    smp_call_many(&mask, kernel_flush_requested, &request, true);
    (void)__atomic_add_fetch(&kernel_flushed, 1, __ATOMIC_SEQ_CST);
    preempt_enable();
}

void mmu_stats(struct mmu_stats *ret_stats)
{
    unsigned id;

    *ret_stats = (struct mmu_stats){0};
    for_each_cpu (id) {
        const struct mmu_stats *stats = &per_cpu_ptr(tlb_cpu, id)->stats;
        ret_stats->flush_page += READ_ONCE(stats->flush_page);
        ret_stats->flush_range += READ_ONCE(stats->flush_range);
        ret_stats->flush_all += READ_ONCE(stats->flush_all);
        ret_stats->flush_remote += READ_ONCE(stats->flush_remote);
        ret_stats->flush_received += READ_ONCE(stats->flush_received);
    }
    large_figures(&ret_stats->huge_leaves, &ret_stats->huge_splits);
}
