/*
 * The lock checker's view of what is held: spinlocks on a stack per CPU, locks that sleep on a stack in the thread.
 *
 * Everything runs with interrupts off. A CPU that is inside the checker ignores what it locks itself (the log and its consoles take
 * locks to print a report), so it never recurses. No lock is held while a report is written: another CPU may hold those of the log. Nor is
 * one needed to recognise what has been seen before, which is all that happens nearly always.
 *
 * Calls of functions on other CPUs (kernel/core/smp_call.c) are in the graph as an event: who waits for them with a lock held that they take
 * is reported like an inverted order.
 *
 * Locks:  c own CPU, interrupts off   a atomic
 */
#include "kernel/sync/lockdep.h"

#ifdef CONFIG_LOCKDEP

#include "kernel/base/printf.h"
#include "kernel/machine/preempt.h"
#include "kernel/machine/smp.h"
#include "kernel/sync/lockgraph.h"
#include "kernel/sync/rcu.h"
#include "kernel/sync/report.h"
#include "kernel/sync/spinlock.h"

#define PATH_MAX_LEN 8
#define PLACES_MAX   32

struct lockdep_cpu {
    struct lockdep_stack stack; /* [c] */
    bool busy;                  /* [c] inside the checker */
} __aligned(64);

static struct lockdep_cpu cpus[MAX_CPUS];
static bool ignores_sleeping;        /* [a] */
static bool is_off;                  /* [a] */
static uintptr_t places[PLACES_MAX]; /* [a] already reported */
static struct lockdep_stack
    no_stack; /* of the current thread, before there are threads: stays empty */

struct lockdep_stack *(*lockdep_thread_stack)(void);

/* Into the checker, unless this CPU is already there. */
static bool enter(uint64_t *ret_flags)
{
    uint64_t flags = irq_save();

    if (cpus[cpu_id()].busy || atomic_load_relaxed(&is_off)) {
        irq_restore(flags);
        return false;
    }
    cpus[cpu_id()].busy = true;
    *ret_flags = flags;
    return true;
}

static void leave(uint64_t flags)
{
    cpus[cpu_id()].busy = false;
    irq_restore(flags);
}

void lockdep_off(void)
{
    atomic_store_relaxed(&is_off, true);
}

static struct lockdep_stack *cpu_stack(void)
{
    return &cpus[cpu_id()].stack;
}

static struct lockdep_stack *thread_stack(void)
{
    /* A handler or softirq holds nothing of the thread that it interrupted: order between the two means nothing. */
    if (lockdep_thread_stack == NULL || !in_thread()) {
        return &no_stack;
    }
    return lockdep_thread_stack();
}

/* True the first time for each place. */
static bool place_is_new(uintptr_t place)
{
    for (unsigned i = 0; i < PLACES_MAX; i++) {
        uintptr_t seen = 0;
        if (atomic_cas(&places[i], &seen, place)) {
            return true;
        }
        if (seen == place) {
            return false;
        }
    }
    return false;
}

static void report_stack(const struct lockdep_stack *stack)
{
    for (unsigned i = stack->n; i-- > 0;) {
        sync_report(false, "lockdep:   held: %s %p, taken at %pS",
                    lockgraph_name(stack->held[i].class), stack->held[i].lock,
                    (void *)stack->held[i].place);
    }
}

static void report_held(void)
{
    report_stack(cpu_stack());
    report_stack(thread_stack());
}

static void report_path(uint16_t from, uint16_t to)
{
    uint16_t path[PATH_MAX_LEN];
    unsigned n = lockgraph_path(from, to, path, PATH_MAX_LEN);

    for (unsigned i = 1; i < n; i++) {
        sync_report(false, "lockdep:   before: %s was taken under %s at %pS",
                    lockgraph_name(path[i]), lockgraph_name(path[i - 1]),
                    (void *)lockgraph_edge_place(path[i - 1], path[i]));
    }
}

/* What may come in between, and how those locks are used that then matter. */
static const struct danger {
    const char *who, *what;
    unsigned inside, open;
} dangers[] = {
    {"an interrupt handler", "interrupts", LOCK_USED_IN_IRQ, LOCK_USED_IRQS_ON},
    {"a softirq", "softirqs", LOCK_USED_IN_SOFTIRQ, LOCK_USED_SOFTIRQS_ON},
};

/* Something new at `id`: is there now a lock of interrupt handlers (softirqs) behind which stands one taken with interrupts (softirqs) on? */
static void check_danger(uint16_t id, const struct danger *danger)
{
    uint16_t inside, open;

    if (!lockgraph_unsafe(id, danger->inside, danger->open, &inside, &open)) {
        return;
    }
    /* The two classes are told of once. */
    if (!place_is_new((uintptr_t)danger->open << 32 | (uintptr_t)inside << 16 | open)) {
        return;
    }
    sync_report(false, "lockdep: %s is taken by %s at %pS", lockgraph_name(inside), danger->who,
                (void *)lockgraph_use_place(inside, danger->inside));
    sync_report(false, "lockdep:   but %s with %s on at %pS", lockgraph_name(open), danger->what,
                (void *)lockgraph_use_place(open, danger->open));
    report_path(inside, open);
    report_held();
    sync_report(true, "lockdep:   found here:");
}

/* Those that the uses have to do with. */
static void check_dangers(uint16_t id, unsigned uses)
{
    for (unsigned i = 0; i < ARRAY_SIZE(dangers); i++) {
        if (((dangers[i].inside | dangers[i].open) & uses) != 0) {
            check_danger(id, &dangers[i]);
        }
    }
}

/* ---- taking ---- */

/* What taking it here says about its class: LOCK_USED_* that are true. */
static unsigned use_here(const struct lock_class *class, bool irqs_on)
{
    if (class->sleeps || class->event) {
        return 0;
    }
    if (in_hardirq()) {
        return LOCK_USED_IN_IRQ;
    }
    unsigned open = irqs_on ? LOCK_USED_IRQS_ON : 0;
    if (in_softirq()) {
        return open | LOCK_USED_IN_SOFTIRQ;
    }
    return irqs_on && !in_interrupt() ? open | LOCK_USED_SOFTIRQS_ON : open;
}

static bool order_known(const struct lock_class *class, uint16_t id, const void *lock,
                        const struct lockdep_stack *stack)
{
    for (unsigned i = 0; i < stack->n; i++) {
        uint16_t held = stack->held[i].class;
        if (stack->held[i].lock == lock ||
            (held == id ? !class->nests : !lockgraph_has_edge(held, id))) {
            return false;
        }
    }
    return true;
}

/* Has all of this been seen before, and been right? Then no lock is needed to know it. */
static bool all_known(const struct lock_class *class, const void *lock, unsigned use)
{
    uint16_t id = atomic_load_acquire(&class->id);

    return id != 0 && lockgraph_has_use(id, use) && order_known(class, id, lock, thread_stack()) &&
           order_known(class, id, lock, cpu_stack());
}

static void check_order(const struct lock_class *class, uint16_t id, const void *lock,
                        uint16_t held_id, const void *held_lock, uintptr_t place)
{
    uint16_t unused;

    if (held_lock == lock || (held_id == id && !class->nests)) {
        if (place_is_new(place)) {
            sync_report(false, "lockdep: %s %p is taken at %pS while %s is held",
                        lockgraph_name(id), lock, (void *)place,
                        held_lock == lock ? "it" : "another of its class");
            report_held();
            sync_report(true, "lockdep:   found here:");
        }
        return;
    }
    if (held_id == id || lockgraph_has_edge(held_id, id) ||
        !lockgraph_add_edge(held_id, id, place)) {
        return;
    }
    if (lockgraph_path(id, held_id, &unused, 1) != 0) {
        sync_report(false, "lockdep: order inverted: %s is taken at %pS while %s is held",
                    lockgraph_name(id), (void *)place, lockgraph_name(held_id));
        report_path(id, held_id);
        report_held();
        sync_report(true, "lockdep:   found here:");
    }
    check_dangers(id, ~0u);
}

static void check_stack_order(const struct lock_class *class, uint16_t id, const void *lock,
                              const struct lockdep_stack *stack, uintptr_t place)
{
    for (unsigned i = 0; i < stack->n; i++) {
        check_order(class, id, lock, stack->held[i].class, stack->held[i].lock, place);
    }
}

static void push(struct lockdep_stack *stack, uint16_t id, const void *lock, uintptr_t place)
{
    if (stack == &no_stack) {
        return;
    }
    if (stack->n < LOCKDEP_HELD_MAX) {
        stack->held[stack->n].lock = lock;
        stack->held[stack->n].class = id;
        stack->held[stack->n].place = place;
        stack->n++;
    } else if (place_is_new(place)) {
        sync_report(true, "lockdep: too many locks held");
    }
}

static void learn(struct lock_class *class, const void *lock, bool trylock, unsigned use,
                  uintptr_t place)
{
    uint16_t id = lockgraph_class_id(class);

    if (trylock || id == 0) {
        return;
    }
    for (; use != 0; use &= use - 1) {
        unsigned one = use & -use;
        if (!lockgraph_has_use(id, one) && lockgraph_note_use(id, one, place)) {
            check_dangers(id, one);
        }
    }
    check_stack_order(class, id, lock, thread_stack(), place);
    check_stack_order(class, id, lock, cpu_stack(), place);
}

void lockdep_acquire(struct lock_class *class, const void *lock, bool trylock, uintptr_t caller)
{
    uintptr_t place = caller != 0 ? caller : (uintptr_t)__builtin_return_address(0);
    bool irqs_on = irq_enabled();
    uint64_t flags;

    if (class == NULL || !enter(&flags)) {
        return;
    }
    unsigned use = trylock ? 0 : use_here(class, irqs_on);
    if (trylock ? atomic_load_acquire(&class->id) == 0 : !all_known(class, lock, use)) {
        learn(class, lock, trylock, use, place);
    }
    push(class->sleeps ? thread_stack() : cpu_stack(), class->id, lock, place);
    leave(flags);
}

/* ---- releasing and asking ---- */

static bool pop(struct lockdep_stack *stack, const void *lock)
{
    for (unsigned i = stack->n; i-- > 0;) {
        if (stack->held[i].lock == lock) {
            for (stack->n--; i < stack->n; i++) {
                stack->held[i] = stack->held[i + 1];
            }
            return true;
        }
    }
    return false;
}

void lockdep_release(struct lock_class *class, const void *lock)
{
    uintptr_t place = (uintptr_t)__builtin_return_address(0);
    uint64_t flags;

    if (class == NULL || !enter(&flags)) {
        return;
    }
    if (!pop(class->sleeps ? thread_stack() : cpu_stack(), lock) &&
        !(class->sleeps && lockdep_thread_stack == NULL) && place_is_new(place)) {
        sync_report(false, "lockdep: %s %p is released at %pS but is not held", class->name, lock,
                    (void *)place);
        report_held();
        sync_report(true, "lockdep:   found here:");
    }
    leave(flags);
}

static bool is_on(const struct lockdep_stack *stack, const void *lock)
{
    for (unsigned i = 0; i < stack->n; i++) {
        if (stack->held[i].lock == lock) {
            return true;
        }
    }
    return false;
}

bool lockdep_held(const void *lock)
{
    uint64_t flags;
    bool held;

    if (!enter(&flags)) {
        return true; /* nobody knows */
    }
    held = is_on(cpu_stack(), lock) || is_on(thread_stack(), lock) || lockdep_thread_stack == NULL;
    leave(flags);
    return held;
}

/* `what` at file:line is wrong, with these locks held. Once per place of the caller. */
static void report_at(uintptr_t place, const char *what, const char *file, int line)
{
    uint64_t flags;

    if (!enter(&flags)) {
        return;
    }
    if (place_is_new(place)) {
        sync_report(false, "lockdep: %s at %s:%d (preempt count 0x%x)", what, file, line,
                    preempt_count());
        report_held();
        sync_report(true, "lockdep:   found here:");
    }
    leave(flags);
}

void lockdep_fail_not_held(const char *lock, const char *file, int line)
{
    char what[80];

    (void)kscnprintf(what, sizeof(what), "%s is not held", lock);
    report_at((uintptr_t)__builtin_return_address(0), what, file, line);
}

void lockdep_fail_at(uintptr_t place, const char *what, const char *file, int line)
{
    report_at(place, what, file, line);
}

void lockdep_ignore_sleeping(bool ignore)
{
    atomic_store_relaxed(&ignores_sleeping, ignore);
}

void might_sleep_at(const char *file, int line)
{
    if (lockdep_thread_stack == NULL || atomic_load_relaxed(&ignores_sleeping)) {
        return;
    }
    if (in_atomic()) {
        report_at((uintptr_t)__builtin_return_address(0), "sleeping where it is forbidden", file,
                  line);
    } else if (rcu_read_held()) {
        report_at((uintptr_t)__builtin_return_address(0), "sleeping inside a read section", file,
                  line);
    }
}

void lockdep_check_none_held(const char *where)
{
    uint64_t flags;

    if (!enter(&flags)) {
        return;
    }
    if ((cpu_stack()->n + thread_stack()->n != 0 || rcu_read_held()) &&
        place_is_new((uintptr_t)__builtin_return_address(0))) {
        sync_report(false, "lockdep: locks are held at %s (read sections: %u)", where,
                    rcu_nesting() & ~RCU_NOT_BLOCKED);
        report_held();
        sync_report(true, "lockdep:   found here:");
    }
    leave(flags);
}

#endif /* CONFIG_LOCKDEP */
