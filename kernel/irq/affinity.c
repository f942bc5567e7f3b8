/*
 * Which CPU a line goes to.
 *
 * A new line goes to the CPU, of those that its affinity allows, which has the fewest. While many interrupts come, the loads of the CPUs are
 * compared from time to time, by the interrupts that each took since, and the line whose moving makes the worst one better goes over:
 * one at a time, so that what is measured next is what came of it. Nothing is measured on a machine where nothing comes.
 *
 * A CPU that leaves gives its lines away, within their affinity if it holds another CPU that is online, else to anyone; those come back when one of
 * their own returns.
 *
 * Locks: irq_lock for all of it; a line's target and affinity change under its own lock too, so that either is enough to read them.
 */
#include "kernel/base/errno.h"
#include "kernel/core/percpu.h"
#include "kernel/core/time.h"
#include "kernel/irq/impl.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/node.h"
#include "kernel/sched/work.h"

#define BALANCE_NS NS_PER_S /* not sooner */

static DEFINE_PER_CPU(uint32_t, line_count); /* [irq_lock] lines with handlers that go there */
static struct cpumask default_affinity;      /* [irq_lock] empty: all */
static ktime_t balance_next;                 /* [a] */
static DEFINE_PER_CPU(uint64_t, line_load);  /* [irq_lock] interrupts since the last look */

static struct cpumask default_mask_locked(void)
{
    struct cpumask mask = default_affinity;

    if (cpumask_empty(&mask)) {
        cpumask_set_all(&mask, cpu_count());
    }
    return mask;
}

/* ---- choosing ---- */

/* The CPU of the set with the fewest lines; MAX_CPUS: the set is empty. */
static unsigned least_lines_locked(const struct cpumask *mask)
{
    unsigned best = MAX_CPUS, id;

    for_each_cpu_in (id, mask) {
        if (best == MAX_CPUS || *per_cpu_ptr(line_count, id) < *per_cpu_ptr(line_count, best)) {
            best = id;
        }
    }
    return best;
}

/* Those of the set that are near the device; all of it if none is. */
static void prefer_near(const struct irq_line *line, struct cpumask *mask)
{
    struct cpumask near = CPUMASK_NONE;
    unsigned id;

    for_each_cpu_in (id, mask) {
        if (line->node >= 0 && cpu_node(id) == (unsigned)line->node) {
            cpumask_set(&near, id);
        }
    }
    if (!cpumask_empty(&near)) {
        *mask = near;
    }
}

/* Send it to a CPU that the chip reaches: of its affinity if any of those is in `online`, else to any in there. */
static int line_place_locked(struct irq_line *line, const struct cpumask *online)
{
    struct cpumask mask;
    int err = -EINVAL;

    if (!cpumask_and(&mask, &line->affinity, online)) {
        mask = *online;
    }
    while (err == -EINVAL && !cpumask_empty(&mask)) {
        struct cpumask near = mask;
        prefer_near(line, &near);
        unsigned cpu = least_lines_locked(&near);
        err = line->chip->set_target(line, cpu);
        if (err == 0) {
            line->target = cpu;
        }
        cpumask_clear(&mask, cpu);
    }
    return err;
}

/* The same for a line in use, which is counted where it goes. */
static int line_move_locked(struct irq_line *line, const struct cpumask *online)
{
    --*per_cpu_ptr(line_count, line->target);
    int err = line_place_locked(line, online);
    ++*per_cpu_ptr(line_count, line->target);
    return err;
}

void irq_target_first_locked(struct irq_line *line)
{
    if (cpumask_empty(&line->affinity)) {
        line->affinity = default_mask_locked();
    }
    if (!line->fixed) {
        (void)line_place_locked(line, cpus_online());
    }
    ++*per_cpu_ptr(line_count, line->target);
}

void irq_target_none_locked(struct irq_line *line)
{
    --*per_cpu_ptr(line_count, line->target);
}

/* ---- what users say ---- */

int irq_set_affinity(unsigned number, const struct cpumask *mask)
{
    struct irq_line *line = irq_line_at(number);
    int err = 0;

    if (line == NULL) {
        return -ENXIO;
    }
    uint64_t flags = spin_lock_irqsave(&irq_lock);
    spin_lock(&line->lock);
    if (line->fixed || line->chip->set_target == NULL) {
        err = -EIO;
    } else if (!cpumask_intersects(mask, cpus_online())) {
        err = -EINVAL;
    } else {
        line->affinity = *mask;
        if (!list_empty(&line->handlers) && !cpumask_test(mask, line->target)) {
            err = line_move_locked(line, cpus_online());
        }
    }
    spin_unlock(&line->lock);
    spin_unlock_irqrestore(&irq_lock, flags);
    return err;
}

int irq_set_default_affinity(const struct cpumask *mask)
{
    if (!cpumask_intersects(mask, cpus_online())) {
        return -EINVAL;
    }
    uint64_t flags = spin_lock_irqsave(&irq_lock);
    default_affinity = *mask;
    spin_unlock_irqrestore(&irq_lock, flags);
    return 0;
}

void irq_default_affinity(struct cpumask *ret_mask)
{
    uint64_t flags = spin_lock_irqsave(&irq_lock);

    *ret_mask = default_mask_locked();
    spin_unlock_irqrestore(&irq_lock, flags);
}

/* ---- CPUs come and go ---- */

/* For each line with handlers, its lock held. `online` is what the set of CPUs will be. */
typedef void line_fn(struct irq_line *line, unsigned id, const struct cpumask *online);

static void each_line_in_use(line_fn *fn, unsigned id, const struct cpumask *online)
{
    uint64_t flags = spin_lock_irqsave(&irq_lock);

    for (unsigned i = 0; i < irq_limit(); i++) {
        struct irq_line *line = irq_line_at(i);
        if (line == NULL) {
            continue;
        }
        spin_lock(&line->lock);
        if (!list_empty(&line->handlers)) {
            fn(line, id, online);
        }
        spin_unlock(&line->lock);
    }
    spin_unlock_irqrestore(&irq_lock, flags);
}

/* One that goes to a CPU outside of its affinity comes home. */
static void line_comes_locked(struct irq_line *line, unsigned id, const struct cpumask *online)
{
    if (!line->fixed && cpumask_test(&line->affinity, id) &&
        !cpumask_test(&line->affinity, line->target)) {
        (void)line_move_locked(line, online);
    }
}

/* One that was told to go elsewhere in between is looked at too: what was sent here before may have come only now. */
static void line_goes_locked(struct irq_line *line, unsigned id, const struct cpumask *online)
{
    if (line->target == id) {
        (void)line_move_locked(line, online);
    }
    if (line->chip->settle != NULL) {
        line->chip->settle(line, id);
    }
}

/* It is not in the set of those online yet. */
void irq_cpu_online(unsigned id)
{
    struct cpumask online = *cpus_online();

    cpumask_set(&online, id);
    each_line_in_use(line_comes_locked, id, &online);
}

void irq_cpu_offline(unsigned id)
{
    struct cpumask online = *cpus_online();

    cpumask_clear(&online, id);
    each_line_in_use(line_goes_locked, id, &online);
}

/* ---- balance ---- */

static uint64_t line_sum(const struct irq_line *line)
{
    uint64_t sum = 0;
    unsigned id;

    for_each_cpu (id) {
        sum += READ_ONCE(line->counts[id]);
    }
    return sum;
}

/* What came on each line since the last time, and so to the CPU where it goes. */
static void loads_measure_locked(uint64_t *since)
{
    unsigned id;

    for_each_cpu (id) {
        *per_cpu_ptr(line_load, id) = 0;
    }
    for (unsigned i = 0; i < irq_limit(); i++) {
        struct irq_line *line = irq_line_at(i);
        since[i] = 0;
        if (line == NULL || line->counts == NULL) {
            continue;
        }
        uint64_t sum = line_sum(line);
        since[i] = sum - line->weighed;
        line->weighed = sum;
        *per_cpu_ptr(line_load, line->target) += since[i];
    }
}

static unsigned most_loaded_locked(void)
{
    unsigned most = MAX_CPUS, id;

    for_each_online_cpu (id) {
        if (most == MAX_CPUS || *per_cpu_ptr(line_load, id) > *per_cpu_ptr(line_load, most)) {
            most = id;
        }
    }
    return most;
}

static unsigned least_loaded_locked(const struct cpumask *mask)
{
    unsigned least = MAX_CPUS, id;

    for_each_cpu_in (id, mask) {
        if (least == MAX_CPUS || *per_cpu_ptr(line_load, id) < *per_cpu_ptr(line_load, least)) {
            least = id;
        }
    }
    return least;
}

/* By how much the busiest CPU's load would sink, at most, if line i went to the CPU of its set that has the least to do. */
static uint64_t gain_locked(unsigned i, const uint64_t *since, unsigned from, unsigned *ret_to)
{
    struct irq_line *line = irq_line_at(i);
    struct cpumask mask;

    if (since[i] == 0 || line->target != from || line->fixed || list_empty(&line->handlers) ||
        !cpumask_and(&mask, &line->affinity, cpus_online())) {
        return 0;
    }
    *ret_to = least_loaded_locked(&mask);
    uint64_t busy = *per_cpu_ptr(line_load, from), to = *per_cpu_ptr(line_load, *ret_to);
    if (*ret_to == from || to + since[i] >= busy) {
        return 0;
    }
    return MIN(since[i], busy - (to + since[i]));
}

static void balance_locked(const uint64_t *since)
{
    unsigned from = most_loaded_locked(), best = 0, best_to = 0, to;
    uint64_t best_gain = 0;

    for (unsigned i = 0; i < irq_limit(); i++) {
        uint64_t gain = gain_locked(i, since, from, &to);
        if (gain > best_gain) {
            best_gain = gain;
            best = i;
            best_to = to;
        }
    }
    if (best_gain == 0) {
        return;
    }
    struct irq_line *line = irq_line_at(best);
    struct cpumask one = CPUMASK_NONE;
    cpumask_set(&one, best_to);
    spin_lock(&line->lock);
    if (line->chip->set_target(line, best_to) == 0) {
        --*per_cpu_ptr(line_count, line->target);
        ++*per_cpu_ptr(line_count, best_to);
        line->target = best_to;
    }
    spin_unlock(&line->lock);
}

void irq_balance(void)
{
    static uint64_t since[NR_LINES]; /* [irq_lock] */
    uint64_t flags = spin_lock_irqsave(&irq_lock);

    loads_measure_locked(since);
    balance_locked(since);
    spin_unlock_irqrestore(&irq_lock, flags);
}

static void balance_work(struct work *work)
{
    (void)work;
    irq_balance();
}

void irq_balance_poke(void)
{
    static struct work work = {.fn = balance_work};
    ktime_t now = ktime_now(), next = atomic_load_relaxed(&balance_next);

    if (now >= next && cpu_count_online() > 1 &&
        atomic_cas(&balance_next, &next, now + BALANCE_NS)) {
        (void)work_queue(&work);
    }
}
