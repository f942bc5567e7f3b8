/*
 * Softirqs: what an interrupt leaves to be done as soon as it is over, with interrupts on.
 *
 *     static bool net_receive(void) { ... at most 64 packets ...; return left; }
 *     softirq_open(SOFTIRQ_NET_RX, net_receive);      at boot
 *     softirq_raise(SOFTIRQ_NET_RX);                  in the interrupt handler
 *
 * The function runs on the CPU that raised, at the end of the outermost interrupt, or of the section without preemption that it met: interrupts on,
 * preemption off, never twice at once on one CPU, but on several CPUs at once. It may not sleep. It does a portion of its work, some ten
 * microseconds or a fixed number of items, and says whether more is left; then its turn comes again, after the others'. All together have a
 * budget (softirq.c); what is not done then, and whatever else waits when a thread wants the CPU, is left to the CPU's thread ksoftirqd/N, which is
 * as urgent as any other.
 *
 * So a flood of work delays nobody for long, as long as the interrupts themselves are few: a device's own stay masked from the handler that raises until
 * the function has found it empty. The stack is that of the interrupted thread.
 *
 * Locks. A lock that a softirq takes and an interrupt handler takes too is taken with interrupts off everywhere. One that a softirq and threads
 * take is taken by threads with spin_lock_softirq(), or with interrupts off; by softirqs with spin_lock(). The lock checker reports anything else.
 *
 * A CPU that goes: its queues of work are taken over by whoever owns the vector (struct cpu_step `dead`, which comes before softirqs' own), what
 * it had raised is raised elsewhere.
 */
#pragma once

#include "kernel/base/types.h"
#include "kernel/core/percpu.h"

/* By falling urgency. The order and the names are those of Linux's /proc/softirqs. */
enum softirq {
    SOFTIRQ_HI,
    SOFTIRQ_TIMER,
    SOFTIRQ_NET_TX,
    SOFTIRQ_NET_RX,
    SOFTIRQ_BLOCK,
    SOFTIRQ_IRQ_POLL,
    SOFTIRQ_TASKLET,
    SOFTIRQ_SCHED,
    SOFTIRQ_HRTIMER,
    SOFTIRQ_RCU,
    SOFTIRQS
};

/* Do a portion of the work of this CPU. True: more is left. */
typedef bool softirq_fn(void);

/* Who does the work of a vector. Once, before it is raised. */
void softirq_open(enum softirq vector, softirq_fn *fn);
/*
 * Let it run soon on this CPU. One that runs already runs once more. Any context but NMI; under a run
 * queue's lock in interrupt handlers only.
 */
void softirq_raise(enum softirq vector);

/* What ran like an interrupt handler, but called by a thread, is over: what it raised goes to the thread. Interrupts off. */
void softirq_check(void);

/* "NET_RX". */
const char *softirq_name(enum softirq vector);
/* How often it has run on CPU `cpu`. Any context. */
uint64_t softirq_count(enum softirq vector, unsigned cpu);

/* ---- for the thread (kernel/sched/softirqd.c) ---- */

struct softirq_thread {
    void (*wake)(void);          /* this CPU's thread has something to do. Interrupts off */
    bool (*cpu_is_wanted)(void); /* somebody waits for this CPU who should have it now */
};
void softirq_set_thread(const struct softirq_thread *thread);
/* One round. Preemption off, interrupts on. */
void softirq_run_round(void);
/* What a CPU that does not run any more has left behind is raised on this one. Thread context. */
void softirq_adopt(unsigned dead);

DECLARE_PER_CPU(bool, softirqs_held); /* own CPU, preemption off */
void softirqs_go_on(bool urgent);     /* for softirqs_release() */
/*
 * For the scheduler, which is about to choose who runs, with preemption on: what was held back for the sake of a section without is done first, or left
 * to the thread if somebody wants the CPU who is more `urgent`. Interrupts off, at the return too, but on in between.
 */
static inline void softirqs_release(bool urgent)
{
    if (unlikely(*this_cpu_ptr(softirqs_held))) {
        softirqs_go_on(urgent);
    }
}

/*
 * Entry point that the machine calls: the outermost interrupt is over, something is pending. It is done, or a reschedule wanted. Interrupts off, at the
 * return too.
 */
void machine_softirqs(void);
