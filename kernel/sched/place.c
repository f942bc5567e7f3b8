/*
 * On which CPU a thread is to run: when it wakes, when it begins, when it may not stay.
 *
 * A woken thread goes back to the CPU it ran on, whose caches know it, if that is idle; else to an idle CPU near by, a core with nothing to
 * do before an idle sibling of a busy one, and what is near before what is far (domain.h); else where there is less to do of its last CPU
 * and its waker's. A waker that says that it is about to sleep (WAKE_SYNC) leaves its CPU to the woken thread, whose data it has in its
 * caches; it is believed as long as it does sleep soon after such wakes. Real-time and deadline threads go to the CPU that
 * has the least important thing to do.
 *
 * Idle CPUs are found in a set, a word for 64 of them. All looks at other CPUs are without their locks, at a bounded number of them for
 * fair threads: a wrong guess costs a little time, and balance.c mends it.
 */
#include "kernel/sched/runqueue.h"

#define SEARCH_MAX   16 /* CPUs whose cores are looked at for one with nothing to do */
#define SLEEP_SOON   (50 * NS_PER_US) /* who sleeps so soon after a WAKE_SYNC meant it */
#define BELIEF_MAX   8
#define BELIEF_LIMIT 2 /* who has failed often enough to be below is not believed */

/* ---- looking around ---- */

static inline bool is_usable(const struct thread *thread, unsigned cpu)
{
    return cpumask_test(&sched_active, cpu) && (thread == NULL || thread_may_run_on(thread, cpu));
}

/* The idle CPUs of the span where the thread (NULL: any) may run, but for those in `known`. False: there are none. */
static bool idle_candidates(const struct thread *thread, const struct cpumask *span,
                            const struct cpumask *known, struct cpumask *ret_candidates)
{
    uint64_t any = 0;

    for (unsigned i = 0; i < CPUMASK_WORDS; i++) {
        uint64_t word = atomic_load_relaxed(&sched_idle.bits[i]) &
                        atomic_load_relaxed(&span->bits[i]) & ~known->bits[i];
        word = thread == NULL ? word : word & thread->cpu_mask.bits[i];
        ret_candidates->bits[i] = word;
        any |= word;
    }
    return any != 0;
}

static inline bool core_is_idle(unsigned cpu)
{
    return cpumask_covers(&sched_idle, &per_cpu_ptr(runqueue, cpu)->domain[DOMAIN_CORE].span);
}

/* Of the candidates one on a core that is idle as a whole, else any that is; the next ones behind `cpu` first. MAX_CPUS: none. */
static unsigned best_candidate(const struct cpumask *candidates, unsigned cpu)
{
    unsigned found = MAX_CPUS, id = cpumask_next(candidates, cpu + 1), looked = 0;

    id = id == MAX_CPUS ? cpumask_first(candidates) : id;
    for (unsigned first = id; looked < SEARCH_MAX; looked++) {
        if (runqueue_is_idle(per_cpu_ptr(runqueue, id)) && is_usable(NULL, id)) {
            if (core_is_idle(id)) {
                return id;
            }
            found = found == MAX_CPUS ? id : found;
        }
        id = cpumask_next(candidates, id + 1);
        id = id == MAX_CPUS ? cpumask_first(candidates) : id;
        if (id == first) {
            break;
        }
    }
    return found;
}

unsigned find_idle_cpu(const struct thread *thread, unsigned cpu)
{
    const struct sched_domain *domains = per_cpu_ptr(runqueue, cpu)->domain;
    struct cpumask known = CPUMASK_NONE, candidates;
    /* The siblings of a busy CPU are no nearer than the other cores behind the same cache. */
    unsigned level = domain_next(domains, DOMAIN_CACHE);

    level = level == DOMAIN_LEVELS ? domain_next(domains, DOMAIN_CORE) : level;
    for (; level < DOMAIN_LEVELS; level = domain_next(domains, level + 1)) {
        if (idle_candidates(thread, &domains[level].span, &known, &candidates)) {
            unsigned found = best_candidate(&candidates, cpu);
            if (found != MAX_CPUS) {
                return found;
            }
            (void)cpumask_or(&known, &known, &candidates);
        }
    }
    return MAX_CPUS;
}

/* Of all CPUs where it may run the one that does the least important thing; the nearest to `cpu` in number of equals. */
static unsigned find_lowest_cpu(const struct thread *thread, unsigned cpu)
{
    unsigned best = find_idle_cpu(thread, cpu), id;
    int worst_prio = thread->prio;

    if (best != MAX_CPUS) {
        return best;
    }
    for (unsigned i = 0; i < cpu_count(); i++) {
        id = (cpu + i) % cpu_count();
        int prio = atomic_load_relaxed(&per_cpu_ptr(runqueue, id)->current_prio);
        if (prio > worst_prio && is_usable(thread, id)) {
            worst_prio = prio;
            best = id;
        }
        if (worst_prio == PRIO_IDLE) {
            break;
        }
    }
    return best;
}

static unsigned least_busy(const struct thread *thread, unsigned cpu)
{
    const struct runqueue *rq = per_cpu_ptr(runqueue, cpu);
    unsigned best = cpu, least = runqueue_nr_running(rq), looked = 0, id;

    for_each_cpu_in (id, &rq->domain[DOMAIN_ALL].span) {
        unsigned n = runqueue_nr_running(per_cpu_ptr(runqueue, id));
        if (n < least && is_usable(thread, id)) {
            least = n;
            best = id;
        }
        if (++looked == 4 * SEARCH_MAX) {
            break;
        }
    }
    return best;
}

/* ---- decisions ---- */

/* The active CPU of the set that has least to do, MAX_CPUS: there is none. */
static unsigned least_busy_allowed(const struct thread *thread)
{
    unsigned best = MAX_CPUS, least = UINT32_MAX, id;

    for_each_cpu_in (id, &sched_active) {
        unsigned n = runqueue_nr_running(per_cpu_ptr(runqueue, id));
        if (n < least && thread_may_run_on(thread, id)) {
            least = n;
            best = id;
        }
    }
    return best;
}

/* If no CPU of the set is active, affinity gives way: the thread may run everywhere from now on. */
static unsigned any_allowed(struct thread *thread)
{
    unsigned cpu = least_busy_allowed(thread);

    if (cpu == MAX_CPUS) {
        cpumask_set_all(&thread->cpu_mask, MAX_CPUS);
        cpu = least_busy_allowed(thread);
    }
    return cpu;
}

unsigned placement_of_moved(struct thread *thread)
{
    unsigned cpu = thread->prio < PRIO_FAIR ? find_lowest_cpu(thread, thread->cpu)
                                            : find_idle_cpu(thread, thread->cpu);
    return cpu != MAX_CPUS ? cpu : any_allowed(thread);
}

/* The waker says that it is about to sleep: note when, and say whether it is believed. Its CPU is this one, where nobody else waits. */
static bool sync_is_believed(struct runqueue *here)
{
    struct thread *waker = here->current;

    if (waker == here->idle || !in_thread()) {
        return false;
    }
    waker->sync_since = ktime_now();
    return waker->sync_belief >= BELIEF_LIMIT;
}

void placement_note_sleep(struct thread *thread)
{
    if (thread->sync_since == 0) {
        return;
    }
    if (ktime_now() - thread->sync_since > SLEEP_SOON) {
        thread->sync_belief -= thread->sync_belief > 0;
    } else {
        thread->sync_belief += thread->sync_belief < BELIEF_MAX;
    }
    thread->sync_since = 0;
}

static unsigned place_fair(struct thread *thread, unsigned flags)
{
    unsigned last = thread->cpu, here = cpu_id();
    const struct runqueue *rq = per_cpu_ptr(runqueue, last);
    struct runqueue *here_rq = this_cpu_ptr(runqueue);
    bool last_usable = is_usable(thread, last);
    bool here_usable = here == last ? last_usable : is_usable(thread, here);

    if ((flags & WAKE_SYNC) != 0 && here_usable && here_rq->nqueued == 0 &&
        sync_is_believed(here_rq)) {
        return here;
    }
    if (last_usable && runqueue_is_idle(rq)) {
        return last;
    }
    unsigned near = last_usable ? last : here;
    if (here_usable && last_usable && runqueue_nr_running(here_rq) < runqueue_nr_running(rq)) {
        near = here;
    }
    if (near == here && here_usable && runqueue_is_idle(here_rq)) {
        return here;
    }
    unsigned idle = find_idle_cpu(thread, near);
    if (idle != MAX_CPUS) {
        return idle;
    }
    return last_usable || here_usable ? near : any_allowed(thread);
}

static unsigned place_real_time(struct thread *thread)
{
    unsigned last = thread->cpu;
    int prio = atomic_load_relaxed(&per_cpu_ptr(runqueue, last)->current_prio);

    /* A running real-time thread is not chased away while another CPU has less important things to do. */
    if (is_usable(thread, last) && prio >= PRIO_FAIR) {
        return last;
    }
    unsigned lowest = find_lowest_cpu(thread, last);
    if (lowest != MAX_CPUS) {
        return lowest;
    }
    return is_usable(thread, last) ? last : any_allowed(thread);
}

/* The level of a CPU's domains in which it meets another one is where the wake is counted. */
static void count_remote_wake(unsigned last, unsigned cpu)
{
    struct runqueue *here = this_cpu_ptr(runqueue);
    struct sched_domain *domains = here->domain;
    unsigned level;

    for_each_domain(level, domains)
    {
        if (cpumask_test(&domains[level].span, last)) {
            domains[level].stats.wake_remote++;
            domains[level].stats.wake_moved += cpu == cpu_id();
            return;
        }
    }
}

unsigned placement_of_woken(struct thread *thread, unsigned flags)
{
    unsigned last = thread->cpu;
    unsigned cpu = thread->prio < PRIO_FAIR ? place_real_time(thread) : place_fair(thread, flags);

    if (last != cpu_id()) {
        count_remote_wake(last, cpu);
    }
    return cpu;
}

unsigned placement_of_new(struct thread *thread)
{
    unsigned here = cpu_id();

    if (thread->prio < PRIO_FAIR) {
        return place_real_time(thread);
    }
    if (!is_usable(thread, here)) {
        return placement_of_moved(thread);
    }
    unsigned idle = find_idle_cpu(thread, here);
    return idle != MAX_CPUS ? idle : least_busy(thread, here);
}
