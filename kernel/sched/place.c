/*
 * On which CPU a thread is to run: when it wakes, when it begins, when it may not stay.
 *
 * Each CPU has a few domains, sets of CPUs that grow from its nearest neighbours to all. A woken thread goes back to the CPU it ran on,
 * whose caches know it, if that is idle; else to its waker's, if the waker is about to sleep; else to an idle CPU near by; else
 * where there is less to do of those two. Real-time and deadline threads go to the CPU that has the least important
 * thing to do. All looks at other CPUs are without their locks, at a bounded number of them for fair threads: a wrong guess costs a
 * little time, and balance.c mends it.
 *
 * Locking: domains are built before their CPU comes online, and stay.
 */
#include "kernel/sched/runqueue.h"

#define SEARCH_MAX 16 /* CPUs looked at for an idle one */

/* ---- domains ---- */

/* Until the machine tells more about its CPUs than their number, there is one domain: all of them. */
void sched_domains_build(unsigned cpu)
{
    struct runqueue *rq = per_cpu_ptr(runqueue, cpu);

    cpumask_set_all(&rq->domain[0], cpu_count());
    rq->ndomains = 1;
}

/* ---- looking around ---- */

static inline bool is_usable(const struct thread *thread, unsigned cpu)
{
    return cpumask_test(&sched_active, cpu) && (thread == NULL || thread_may_run_on(thread, cpu));
}

unsigned find_idle_cpu(const struct thread *thread, unsigned cpu)
{
    const struct runqueue *rq = per_cpu_ptr(runqueue, cpu);
    unsigned looked = 0;

    for (unsigned level = 0; level < rq->ndomains; level++) {
        const struct cpumask *domain = &rq->domain[level];
        unsigned id = cpu;
        do {
            id = cpumask_next(domain, id + 1);
            id = id == MAX_CPUS ? cpumask_first(domain) : id;
            if (id == cpu || looked++ >= SEARCH_MAX) {
                break;
            }
            if (runqueue_is_idle(per_cpu_ptr(runqueue, id)) && is_usable(thread, id)) {
                return id;
            }
        } while (true);
    }
    return MAX_CPUS;
}

/* Of all CPUs where it may run the one that does the least important thing; the nearest to `cpu` in number of equals. */
static unsigned find_lowest_cpu(const struct thread *thread, unsigned cpu)
{
    unsigned best = MAX_CPUS, id;
    int worst_prio = thread->prio;

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

    for_each_cpu_in (id, &rq->domain[rq->ndomains - 1]) {
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

static unsigned place_fair(struct thread *thread, unsigned flags)
{
    unsigned last = thread->cpu, here = cpu_id();
    const struct runqueue *rq = per_cpu_ptr(runqueue, last), *here_rq = this_cpu_ptr(runqueue);

    bool last_usable = is_usable(thread, last);
    if (last_usable && runqueue_is_idle(rq)) {
        return last;
    }
    bool here_usable = here == last ? last_usable : is_usable(thread, here);
    if (here_usable && (flags & WAKE_SYNC) != 0 && here_rq->nqueued == 0 && !in_hardirq()) {
        return here; /* the waker is about to leave it */
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

unsigned placement_of_woken(struct thread *thread, unsigned flags)
{
    return thread->prio < PRIO_FAIR ? place_real_time(thread) : place_fair(thread, flags);
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
