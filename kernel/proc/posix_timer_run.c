/*
 * POSIX timers that run: time passes, a timer expires, its signal is taken.
 *
 * A timer owns the one queue entry that carries its signal (signal.c), made and accounted with it, so an expiration needs no memory. While that
 * entry is pending an interval timer stands still; what it missed is counted when the signal is taken, and told in si_overrun (POSIX.1-2017,
 * timer_getoverrun()). So a signal nobody takes costs nothing, however short the interval.
 *
 * CPU time has timers of its own (cpu_timer.c). When one of these expires it arms the plain timer for at once, so that all else is the same for
 * both. The CPU time of another process cannot be read under this one's siglock: it is read before that is taken, and such a timer is started by
 * the plain timer's callback.
 */
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/posix_timer_impl.h"

/* A timer whose signal is ignored may not take the CPU for itself. */
#define IGNORED_SPACING_NS (NS_PER_S / SCHED_TICK_HZ)
#define RETRY_NS           (50 * NS_PER_US)

/* ---- time ---- */

ktime_t posix_timer_now_locked(const struct posix_timer *timer)
{
    const struct cpu_clock *clock = &timer->cpu.clock;
    struct usage usage;

    if (!posix_timer_counts_cpu(timer)) {
        return timer->real ? ktime_realtime() : ktime_now();
    }
    if (timer->foreign) {
        return atomic_load_relaxed(&timer->seen);
    }
    if (clock->thread != NULL) {
        thread_usage(clock->thread, &usage);
    } else {
        process_usage_locked(timer->process, &usage);
    }
    return usage.user_ns + (clock->user_only ? 0 : usage.system_ns);
}

void posix_timer_start_locked(struct posix_timer *timer)
{
    if (posix_timer_counts_cpu(timer)) {
        atomic_store_relaxed(&timer->cpu_due, false);
        if (timer->foreign) {
            timer_arm(&timer->timer, 0);
        } else {
            (void)cpu_timer_start_locked(&timer->cpu, timer->next);
        }
    } else if (timer->real) {
        ktime_t left = MAX(timer->next - ktime_realtime(), (ktime_t)0), now = ktime_now();
        timer_arm(&timer->timer, left > KTIME_MAX - 1 - now ? KTIME_MAX - 1 : now + left);
    } else {
        timer_arm(&timer->timer, timer->next);
    }
}

static void stop_locked(struct posix_timer *timer)
{
    if (posix_timer_counts_cpu(timer)) {
        cpu_timer_stop(&timer->cpu);
        atomic_store_relaxed(&timer->cpu_due, false);
    }
    (void)timer_cancel(&timer->timer);
}

uint64_t posix_timer_forward_locked(struct posix_timer *timer, ktime_t now)
{
    if (timer->next > now) {
        return 0;
    }
    uint64_t passed = (uint64_t)((now - timer->next) / timer->interval) + 1;
    timer->next += (ktime_t)passed * timer->interval;
    return passed;
}

/* ---- expiration and its signal ---- */

void posix_timer_put(struct posix_timer *timer)
{
    if (refcount_put(&timer->refs)) {
        if (timer->entry != NULL) {
            timer->entry->timer = NULL;
            signal_queued_free(timer->entry);
        }
        kfree(timer);
    }
}

static void expire_locked(struct posix_timer *timer, ktime_t now)
{
    struct signal_queued *entry = timer->entry;

    stop_locked(timer);
    if (timer->state != ENTRY_FREE) {
        /* Set anew while an older signal is on its way to a handler: its entry comes free in a moment. */
        timer_arm(&timer->timer, ktime_now() + RETRY_NS);
        return;
    }
    entry->info.si_overrun = 0;
    timer->missed = 0;
    if (signal_send_queued_locked(timer->process, timer->to, entry)) {
        refcount_get(&timer->refs);
        timer->state = ENTRY_QUEUED;
    }
    if (timer->interval == 0) {
        timer->active = false;
    } else if (timer->state == ENTRY_FREE && (timer->to == NULL || !timer->to->exiting)) {
        (void)posix_timer_forward_locked(timer, now + IGNORED_SPACING_NS);
        posix_timer_start_locked(timer);
    }
}

/* Of CPU time. The rest is the plain timer's, which needs the siglock of the timer's own process. */
static void cpu_time_reached(struct cpu_timer *reached, ktime_t now)
{
    struct posix_timer *timer = container_of(reached, struct posix_timer, cpu);

    atomic_store_relaxed(&timer->seen, MAX(now, atomic_load_relaxed(&timer->seen)));
    atomic_store_relaxed(&timer->cpu_due, true);
    timer_arm(&timer->timer, 0);
}

/* It may be stopped or set anew meanwhile: who finds that it has expired looks again. */
static void foreign_start(struct posix_timer *timer)
{
    spin_lock(&timer->process->siglock);
    bool wanted = !timer->deleted && timer->active;
    ktime_t at = timer->next;
    spin_unlock(&timer->process->siglock);
    if (wanted) {
        (void)cpu_timer_start(&timer->cpu, at);
    }
}

static void timer_expired(struct timer *fired)
{
    struct posix_timer *timer = container_of(fired, struct posix_timer, timer);
    struct process *process = timer->process;

    if (timer->foreign && !atomic_load_relaxed(&timer->cpu_due)) {
        foreign_start(timer);
        return;
    }
    spin_lock(&process->siglock);
    /* It may have been stopped or set anew while this came. */
    if (!timer->deleted && timer->active && !timer_is_armed(fired) &&
        !(posix_timer_counts_cpu(timer) && cpu_timer_is_armed(&timer->cpu))) {
        ktime_t now = posix_timer_now_locked(timer);
        if (now >= timer->next) {
            expire_locked(timer, now);
        } else if (timer->real || posix_timer_counts_cpu(timer)) {
            posix_timer_start_locked(
                timer); /* the clock was set back meanwhile, or it was for an older setting */
        }
    }
    spin_unlock(&process->siglock);
}

/* Real time was stepped. */
static void timer_stepped(struct time_listener *listener)
{
    struct posix_timer *timer = container_of(listener, struct posix_timer, listener);
    uint64_t flags = spin_lock_irqsave(&timer->process->siglock);

    if (timer->real && timer_is_armed(&timer->timer) && timer->state == ENTRY_FREE) {
        posix_timer_start_locked(timer);
    }
    spin_unlock_irqrestore(&timer->process->siglock, flags);
}

void posix_timer_taken_locked(struct posix_timer *timer)
{
    uint64_t passed = 0;

    timer->state = ENTRY_TAKEN;
    if (timer->deleted) {
        return;
    }
    if (timer->active && timer->interval != 0) {
        passed = timer->missed + posix_timer_forward_locked(timer, posix_timer_now_locked(timer));
    }
    /* The signal itself tells of the first one. */
    timer->last_overrun = passed == 0 ? 0 : (int)MIN(passed - 1, (uint64_t)INT32_MAX);
    timer->entry->info.si_overrun = timer->last_overrun;
}

void posix_timer_done_locked(struct posix_timer *timer)
{
    timer->state = ENTRY_FREE;
    if (!timer->deleted && timer->active && timer->interval != 0 &&
        !timer_is_armed(&timer->timer)) {
        posix_timer_start_locked(timer);
    }
    posix_timer_put(timer);
}

void posix_timer_done(struct posix_timer *timer)
{
    struct process *process = timer->process;
    uint64_t flags = spin_lock_irqsave(&process->siglock);

    posix_timer_done_locked(timer);
    spin_unlock_irqrestore(&process->siglock, flags);
}

void posix_timer_end_setting_locked(struct posix_timer *timer)
{
    stop_locked(timer);
    timer->active = false;
    if (timer->state == ENTRY_QUEUED) {
        signal_unqueue_locked(timer->process, timer->to, timer->entry);
        timer->state = ENTRY_FREE;
        posix_timer_put(timer);
    }
}

void posix_timer_prepare(struct posix_timer *timer)
{
    cpu_timer_init(&timer->cpu, cpu_time_reached);
    timer_init(&timer->timer, timer_expired);
}

void posix_timer_listen(struct posix_timer *timer)
{
    timer->listener.stepped = timer_stepped;
    time_listener_add(&timer->listener);
}
