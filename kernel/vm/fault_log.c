/*
 * The log of page faults: a ring for each CPU.
 *
 * What a fault was about is told from the entry of the page table before and after it, so that nothing of it is in the way of faults
 * that are not logged. Of two threads that fault on the same page at once, one may be told as what the other did.
 *
 * A record is written with preemption off, so there is one writer to a ring. Its number is 0 while it is written and is set last, with
 * release; a reader copies a record and looks at its number before and after.
 */
#include "kernel/vm/fault_log.h"

#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/preempt.h"
#include "kernel/mm/arena.h"
#include "kernel/sched/pid.h"
#include "kernel/vm/private.h"

struct fault_ring {
    uint64_t last; /* [p] the number of the latest record; preemption off */
    struct fault_record records[FAULT_LOG_ENTRIES];
};

bool fault_log_on;

static DEFINE_PER_CPU(struct fault_ring *, fault_rings); /* [switch_lock] until made, then [I] */
static struct mutex switch_lock = MUTEX_INIT(switch_lock);

int fault_log_switch(bool on)
{
    int err = 0;
    unsigned cpu;

    mutex_lock(&switch_lock);
    for_each_cpu (cpu) {
        struct fault_ring **ring = per_cpu_ptr(fault_rings, cpu);
        if (on && *ring == NULL) {
            struct fault_ring *fresh = vmalloc(sizeof(*fresh)); /* zeroed: no records */
            if (fresh == NULL) {
                err = -ENOMEM;
                break;
            }
            atomic_store_release(ring, fresh);
        }
    }
    if (err == 0) {
        atomic_store_relaxed(&fault_log_on, on);
    }
    mutex_unlock(&switch_lock);
    return err;
}

/* ---- what it was about ---- */

struct entry_state {
    paddr_t pa;
    unsigned flags;
    bool present, soft;
};

static void entry_look(struct vmspace *vm, uint64_t va, struct entry_state *ret_state)
{
    uint64_t value;

    *ret_state = (struct entry_state){0};
    read_lock(&vm->locks.shape);
    ret_state->present = mmu_query(&vm->mmu, va, &ret_state->pa, &ret_state->flags);
    ret_state->soft = !ret_state->present && mmu_query_soft(&vm->mmu, va, &value);
    read_unlock(&vm->locks.shape);
}

static enum fault_kind kind_of(const struct entry_state *before, const struct entry_state *after,
                               int err)
{
    if (err < 0) {
        return err == -ENOMEM ? FAULT_KIND_NOMEM : FAULT_KIND_DENIED;
    }
    if (!after->present) {
        return FAULT_KIND_OTHER;
    }
    if (before->soft) {
        return FAULT_KIND_SWAP;
    }
    if (before->present && before->pa == after->pa) {
        return (after->flags & ~before->flags & MMU_WRITE) != 0 ? FAULT_KIND_REUSE
                                                                : FAULT_KIND_OTHER;
    }
    if ((after->flags & MMU_HUGE) != 0) {
        return FAULT_KIND_HUGE;
    }
    if ((after->flags & MMU_SPECIAL) != 0) {
        return phys_to_page(after->pa) == vm_zero_page ? FAULT_KIND_ZERO : FAULT_KIND_FILE;
    }
    if (phys_to_page(after->pa)->kind != PAGE_ANON) {
        return FAULT_KIND_FILE;
    }
    return before->present ? FAULT_KIND_COW : FAULT_KIND_ANON;
}

const char *fault_kind_name(unsigned kind)
{
    static const char *const names[FAULT_NKINDS] = {
        [FAULT_KIND_ZERO] = "zero",   [FAULT_KIND_ANON] = "anon",     [FAULT_KIND_COW] = "cow",
        [FAULT_KIND_REUSE] = "reuse", [FAULT_KIND_FILE] = "file",     [FAULT_KIND_SWAP] = "swap",
        [FAULT_KIND_HUGE] = "huge",   [FAULT_KIND_DENIED] = "denied", [FAULT_KIND_NOMEM] = "nomem",
        [FAULT_KIND_OTHER] = "other",
    };

    return kind < FAULT_NKINDS ? names[kind] : "?";
}

/* ---- the rings ---- */

static void note(const struct fault_record *record)
{
    preempt_disable();
    struct fault_ring *ring = *this_cpu_ptr(fault_rings);
    if (ring != NULL) {
        uint64_t number = ring->last + 1;
        struct fault_record *at = &ring->records[number % FAULT_LOG_ENTRIES];
        atomic_store_relaxed(&at->number, 0);
        __atomic_thread_fence(__ATOMIC_RELEASE); /* the 0 before what follows */
        memcpy(&at->time, &record->time, sizeof(*at) - offsetof(struct fault_record, time));
        atomic_store_release(&at->number, number);
        atomic_store_release(&ring->last, number);
    }
    preempt_enable();
}

int fault_log_fault(struct vmspace *vm, uint64_t addr, unsigned flags)
{
    struct thread *thread = current_thread();
    struct entry_state before, after;
    struct fault_record record = {.addr = addr, .flags = (uint8_t)flags};

    entry_look(vm, addr, &before);
    record.time = ktime_now();
    int err = vmspace_fault(vm, addr, flags);
    ktime_t cost = ktime_now() - record.time;
    entry_look(vm, addr, &after);
    record.kind = (uint8_t)kind_of(&before, &after, err);
    record.cost_ns = (uint32_t)MIN(cost, (ktime_t)UINT32_MAX);
    record.ip = trapframe_pc(thread_trapframe(thread));
    record.pid = (uint32_t)pid_nr(thread->pid);
    memcpy(record.comm, thread->comm, COMM_SIZE);
    record.comm[COMM_SIZE - 1] = '\0';
    note(&record);
    return err;
}

bool fault_log_read(unsigned cpu, uint64_t number, struct fault_record *ret_record)
{
    const struct fault_ring *ring = atomic_load_acquire(per_cpu_ptr(fault_rings, cpu));

    if (ring == NULL) {
        return false;
    }
    uint64_t last = atomic_load_acquire(&ring->last);
    if (last >= FAULT_LOG_ENTRIES) { /* the oldest may be written over just now: it is left out */
        number = MAX(number, last - FAULT_LOG_ENTRIES + 2);
    }
    for (number = MAX(number, 1u); number <= last; number++) {
        const struct fault_record *at = &ring->records[number % FAULT_LOG_ENTRIES];
        bool whole = atomic_load_acquire(&at->number) == number;
        memcpy(ret_record, at, sizeof(*at));
        __atomic_thread_fence(
            __ATOMIC_ACQUIRE); /* what was copied before the number is looked at again */
        if (whole && atomic_load_relaxed(&at->number) == number) {
            ret_record->number = number;
            return true;
        }
    }
    return false;
}
