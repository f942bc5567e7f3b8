/*
 * Alarms by CPU time: a thread's process room is told when the thread, or its process, may have used as much as somebody waits for. Who waits
 * and for what is kernel/proc's (cpu_timer.c); this room aims a timer of the CPU that runs the thread.
 *
 * A thread without alarms costs its switches one test of `switch_work`.
 */
#pragma once

#include "kernel/base/types.h"
#include "kernel/machine/clock.h"

struct thread;

/* thread->switch_work: what the CPU that begins or ceases to run the thread has to see to. */
#define SWITCH_ALARM_THREAD 0x1u /* thread->alarm_at */
#define SWITCH_ALARM_GROUP  0x2u /* alarm_group->until */
#define SWITCH_ALARM_RT     0x4u /* alarm_group->rt_limit */
#define SWITCH_ALARMS       0x7u
#define SWITCH_TICKLESS     0x8u /* its CPU takes no ticks while it runs: tickless.c */

/* What the threads of a process have in common. */
struct alarm_group {
    ktime_t until;    /* [a] monotonic: nothing that its threads use together comes true before */
    ktime_t rt_limit; /* [a] ns that a real-time thread may run without having slept */
};

/* Set and clear bits of switch_work. Any context; sched_alarm_changed() when they are to take effect on a running thread. */
void sched_alarm_set(struct thread *thread, uint32_t kinds, bool on);
/* The thread's alarms are other ones, or nearer: if it runs, its CPU looks. No run queue's lock held. Any context. */
void sched_alarm_changed(struct thread *thread);

/*
 * Hook of kernel/proc: one of the running thread's alarms may have come true. Hard interrupt context. What it does not move is looked at again
 * a little later.
 */
extern void (*sched_alarm_hook)(struct thread *thread);
