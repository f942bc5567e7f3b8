/*
 * CPU-time clocks, and timers that run by them.
 *
 * A thread's own clock can only advance while the thread runs, so its earliest timer is an alarm by its running time. A process' clock advances as fast as
 * its threads run together. So there is a moment before which it cannot reach the earliest value that somebody waits for: now, plus
 * what is left divided by as many threads as can run at once. All its threads carry that moment as an alarm: whichever runs then adds up what they have
 * used, and either that is enough, or the moment moves on. What is left shrinks geometrically if fewer threads ran, and no timer is late. A process
 * whose threads sleep costs nothing.
 *
 * Interval timers and RLIMIT_CPU (itimer.c) are looked at along with these.
 *
 * Locks:  S siglock   c cpu_timers.lock of the process whose time counts. Order: siglock -> c -> run queue. The clock may be another process' than
 * the timer's user; of two siglocks never both are held.
 */
#include "kernel/proc/cpu_timer.h"

#include <linux/time.h>

#include "kernel/core/time.h"
#include "kernel/machine/smp.h"
#include "kernel/proc/internal.h"

#define STEP_LEAST_NS (20 * NS_PER_US) /* between two looks at what many threads have used */

/* ---- clocks ---- */

/*
 * Encoded: the complement of a number above three bits, of which one says "thread" and two what is counted: 0 all, 1 user time, 2 all by the
 * scheduler; 3 would be a clock's descriptor. The number 0 means the caller.
 */
int cpu_clock_get(int id, struct cpu_clock *ret_clock)
{
    bool named = id == CLOCK_PROCESS_CPUTIME_ID || id == CLOCK_THREAD_CPUTIME_ID;
    int nr = named ? 0 : ~(id >> 3), kind = named ? 2 : id & 3;
    bool of_thread = named ? id == CLOCK_THREAD_CPUTIME_ID : (id & 4) != 0;
    struct thread *thread = current_thread();
    struct process *process;

    if ((!named && id >= 0) || kind == 3) {
        return -EINVAL;
    }
    if (nr == 0) {
        process = process_get(thread->process);
        thread_get(thread);
    } else {
        process = process_find_thread(nr, &thread);
        if (process == NULL) {
            return -EINVAL;
        }
    }
    bool found = of_thread ? process == process_current() : nr == 0 || process->pid->nr == nr;
    if (!found || !of_thread) {
        thread_put(thread);
        thread = NULL;
    }
    if (!found) {
        process_put(process);
        return -EINVAL;
    }
    *ret_clock = (struct cpu_clock){.process = process, .thread = thread, .user_only = kind == 1};
    return 0;
}

struct cpu_clock cpu_clock_dup(const struct cpu_clock *clock)
{
    (void)process_get(clock->process);
    if (clock->thread != NULL) {
        thread_get(clock->thread);
    }
    return *clock;
}

void cpu_clock_put(struct cpu_clock *clock)
{
    thread_put(clock->thread);
    process_put(clock->process);
    *clock = (struct cpu_clock){0};
}

ktime_t cpu_clock_now(const struct cpu_clock *clock)
{
    struct usage usage;

    if (clock->thread != NULL) {
        thread_usage(clock->thread, &usage);
    } else {
        process_usage(clock->process, &usage);
    }
    return usage.user_ns + (clock->user_only ? 0 : usage.system_ns);
}

/* ---- looking, and aiming the alarms ---- */

/* Those whose time has come go; the least that one of the others waits for. */
static ktime_t expire_due_locked(struct list_node *armed, ktime_t user, ktime_t system)
{
    struct cpu_timer *timer, *next;
    ktime_t left = KTIME_MAX;

    list_for_each_safe (timer, next, armed, node) {
        ktime_t now = user + (timer->clock.user_only ? 0 : system);
        if (now >= timer->at) {
            list_remove(&timer->node);
            timer->expired(timer, now);
        } else {
            left = MIN(left, timer->at - now);
        }
    }
    return left;
}

static void thread_look_locked(struct process *process, struct thread *thread)
{
    ktime_t user, system, left = KTIME_MAX;

    spin_lock(&process->cpu_timers.lock);
    if (!list_empty(&thread->cpu_timers)) {
        thread_times(thread, &user, &system);
        left = expire_due_locked(&thread->cpu_timers, user, system);
        atomic_store_relaxed(&thread->alarm_at, ktime_after(user + system, left));
    }
    sched_alarm_set(thread, SWITCH_ALARM_THREAD, left != KTIME_MAX);
    spin_unlock(&process->cpu_timers.lock);
}

/* The process' clock is looked at when `left` more may have been used, and not at all for KTIME_MAX. */
static void process_aim_locked(struct process *process, ktime_t left)
{
    struct cpu_timers *timers = &process->cpu_timers;
    unsigned at_once = CLAMP(process->nlive, 1u, cpu_count());
    bool wanted = left != KTIME_MAX;
    ktime_t step = MAX(left / at_once, MIN(left, STEP_LEAST_NS));
    ktime_t until = wanted ? ktime_after(ktime_now(), step) : KTIME_MAX;
    bool tell = wanted != timers->watched || until < timers->alarm.until;
    struct thread *thread;

    atomic_store_relaxed(&timers->alarm.until, until);
    timers->watched = wanted;
    if (!tell) {
        return; /* those that run will find that it is later now */
    }
    list_for_each (thread, &process->threads, process_node) {
        if (!thread->exiting) {
            sched_alarm_set(thread, SWITCH_ALARM_GROUP, wanted);
            if (wanted) {
                sched_alarm_changed(thread);
            }
        }
    }
}

void cpu_timers_look_locked(struct process *process)
{
    struct cpu_timers *timers = &process->cpu_timers;
    struct usage usage;

    process_usage_locked(process, &usage);
    ktime_t left = itimers_look_locked(process, &usage);
    spin_lock(&timers->lock);
    left = MIN(left, expire_due_locked(&timers->armed, usage.user_ns, usage.system_ns));
    spin_unlock(&timers->lock);
    process_aim_locked(process, left);
}

void cpu_timers_alarm(struct thread *thread)
{
    /* A kernel thread does not know its process. */
    struct process *process = container_of(thread->alarm_group, struct process, cpu_timers.alarm);

    spin_lock(&process->siglock);
    if (!thread->exiting) {
        check_real_time_locked(process, thread);
        thread_look_locked(process, thread);
        if (process->cpu_timers.watched && process->cpu_timers.alarm.until <= ktime_now()) {
            cpu_timers_look_locked(process);
        }
    }
    spin_unlock(&process->siglock);
}

/* ---- threads and processes come and go ---- */

void cpu_timers_rt_limit_locked(struct process *process)
{
    ktime_t limit = rt_limit_ns(&process->limits[RLIMIT_RTTIME]);
    struct thread *thread;

    atomic_store_relaxed(&process->cpu_timers.alarm.rt_limit, limit);
    list_for_each (thread, &process->threads, process_node) {
        if (!thread->exiting) {
            sched_alarm_set(thread, SWITCH_ALARM_RT, limit != KTIME_MAX);
            sched_alarm_changed(thread);
        }
    }
}

void cpu_timers_join(struct process *process, struct thread *thread)
{
    const struct cpu_timers *timers = &process->cpu_timers;

    thread->alarm_group = &timers->alarm;
    if (unlikely(timers->watched)) {
        sched_alarm_set(thread, SWITCH_ALARM_GROUP, true);
    }
    if (unlikely(timers->alarm.rt_limit != KTIME_MAX)) {
        sched_alarm_set(thread, SWITCH_ALARM_RT, true);
    }
}

/* The limits are inherited, the timers are not. The first look is its first thread's, as soon as that runs. */
void cpu_timers_start(struct process *process)
{
    struct cpu_timers *timers = &process->cpu_timers;

    timers->prof_next = timers->prof_interval = 0;
    timers->virt_next = timers->virt_interval = 0;
    timers->watched = process->limits[RLIMIT_CPU].rlim_cur != RLIM64_INFINITY;
    timers->alarm = (struct alarm_group){
        .until = timers->watched ? 0 : KTIME_MAX,
        .rt_limit = rt_limit_ns(&process->limits[RLIMIT_RTTIME]),
    };
    cpu_timers_join(process, process->leader);
}

static void expire_all_locked(struct list_node *armed)
{
    struct cpu_timer *timer, *next;

    list_for_each_safe (timer, next, armed, node) {
        list_remove(&timer->node);
        timer->expired(timer, 0);
    }
}

void cpu_timers_leave_locked(struct process *process, struct thread *thread)
{
    sched_alarm_set(thread, SWITCH_ALARMS, false);
    spin_lock(&process->cpu_timers.lock);
    expire_all_locked(&thread->cpu_timers);
    if (process->nlive == 0) {
        expire_all_locked(&process->cpu_timers.armed);
    }
    spin_unlock(&process->cpu_timers.lock);
}

/* ---- timers ---- */

void cpu_timer_init(struct cpu_timer *timer, cpu_timer_fn *expired)
{
    *timer = (struct cpu_timer){.expired = expired};
    list_init(&timer->node);
}

bool cpu_timer_start_locked(struct cpu_timer *timer, ktime_t at)
{
    struct process *process = timer->clock.process;
    struct thread *thread = timer->clock.thread;

    if (thread != NULL ? thread->exiting : process->nlive == 0) {
        return false;
    }
    spin_lock(&process->cpu_timers.lock);
    if (!list_empty(&timer->node)) {
        list_remove(&timer->node);
    }
    timer->at = at;
    list_push_back(thread != NULL ? &thread->cpu_timers : &process->cpu_timers.armed, &timer->node);
    spin_unlock(&process->cpu_timers.lock);
    if (thread != NULL) {
        thread_look_locked(process, thread);
        sched_alarm_changed(thread);
    } else {
        cpu_timers_look_locked(process);
    }
    return true;
}

bool cpu_timer_start(struct cpu_timer *timer, ktime_t at)
{
    struct process *process = timer->clock.process;
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    bool started = cpu_timer_start_locked(timer, at);

    spin_unlock_irqrestore(&process->siglock, flags);
    return started;
}

/* An alarm that has become idle is noticed when it comes. */
void cpu_timer_stop(struct cpu_timer *timer)
{
    uint64_t flags = spin_lock_irqsave(&timer->clock.process->cpu_timers.lock);

    if (!list_empty(&timer->node)) {
        list_remove(&timer->node);
    }
    spin_unlock_irqrestore(&timer->clock.process->cpu_timers.lock, flags);
}

bool cpu_timer_is_armed(struct cpu_timer *timer)
{
    uint64_t flags = spin_lock_irqsave(&timer->clock.process->cpu_timers.lock);
    bool armed = !list_empty(&timer->node);

    spin_unlock_irqrestore(&timer->clock.process->cpu_timers.lock, flags);
    return armed;
}

/* ---- sleeping ---- */

struct sleeper {
    struct cpu_timer timer;
    struct thread *thread; /* [I] */
    bool done;             /* [a] */
};

static void sleeper_expired(struct cpu_timer *timer, ktime_t now)
{
    struct sleeper *sleeper = container_of(timer, struct sleeper, timer);

    (void)now;
    atomic_store_relaxed(&sleeper->done, true);
    (void)thread_wake(sleeper->thread);
}

int cpu_clock_sleep(const struct cpu_clock *clock, ktime_t until)
{
    struct sleeper sleeper = {.thread = current_thread()};

    cpu_timer_init(&sleeper.timer, sleeper_expired);
    sleeper.timer.clock = *clock;
    if (!cpu_timer_start(&sleeper.timer, until)) {
        return 0;
    }
    for (;;) {
        thread_prepare_sleep(THREAD_SLEEPING);
        if (atomic_load_relaxed(&sleeper.done) || thread_signal_pending(sleeper.thread)) {
            break;
        }
        schedule();
    }
    thread_finish_sleep();
    cpu_timer_stop(&sleeper.timer); /* behind whoever calls sleeper_expired(): it holds the lock */
    return atomic_load_relaxed(&sleeper.done) ? 0 : -EINTR;
}
