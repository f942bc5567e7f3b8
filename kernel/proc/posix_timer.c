/*
 * POSIX timers: timer_create(2).
 *
 * A timer owns the one queue entry that carries its signal (signal.c), made and accounted with it, so an expiration needs no memory. While that
 * entry is pending an interval timer stands still; what it missed is counted when the signal is taken, and told in si_overrun (POSIX.1-2017,
 * timer_getoverrun()). So a signal nobody takes costs nothing, however short the interval.
 *
 * Clocks: an absolute time of the wall clock is kept as such, and waited for anew whenever that clock is stepped; the alarm clocks are the plain
 * ones, there being no suspend to wake from; CPU time has timers of its own (cpu_timer.c). When one of these expires it arms the plain timer
 * for at once, so that all else is the same for both. The CPU time of another process cannot be read under this one's siglock: it is
 * read before that is taken, and such a timer is started by the plain timer's callback.
 *
 * Locking: all but `refs` under the siglock of the process, which expirations take in interrupt context. The table holds a reference, the entry
 * another while it is queued or being delivered. A deleted timer is never started again.
 */
#include "kernel/proc/posix_timer.h"

#include <linux/capability.h>
#include <linux/time.h>

#include "kernel/base/string.h"
#include "kernel/core/ntp.h"
#include "kernel/core/time.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/cpu_timer.h"
#include "kernel/proc/internal.h"

/* A timer whose signal is ignored may not take the CPU for itself. */
#define IGNORED_SPACING_NS (NS_PER_S / SCHED_TICK_HZ)
#define RETRY_NS           (50 * NS_PER_US)

/* The caller's own, as clock_getcpuclockid(3) and pthread_getcpuclockid(3) encode them: what /proc shows. */
#define CPU_CLOCK_OF_PROCESS (-6)
#define CPU_CLOCK_OF_THREAD  (-2)

enum timer_clock { CLOCK_OF_WALL, CLOCK_OF_SYSTEM, CLOCK_OF_CPU };

enum entry_state { ENTRY_FREE, ENTRY_QUEUED, ENTRY_TAKEN };

struct posix_timer {
    struct refcount refs;
    int id;                        /* [I] */
    int clock_id;                  /* [I] as it was asked for; CPU time: encoded */
    enum timer_clock clock;        /* [I] */
    bool foreign;                  /* [I] the CPU time of another process */
    bool tai;                      /* [I] a wall clock that is ahead */
    bool real;                     /* `next` is real time */
    struct time_listener listener; /* CLOCK_OF_WALL */
    int notify;                    /* [I] SIGEV_* */
    struct process *process;       /* [I] valid until deleted */
    struct thread *to;             /* [I] SIGEV_THREAD_ID: referenced; NULL: the process */
    struct rb_node node;
    struct timer timer;
    struct cpu_timer cpu;        /* CLOCK_OF_CPU */
    bool cpu_due;                /* [a] it has expired since it was started */
    ktime_t seen;                /* [a] what a foreign clock showed last */
    struct signal_queued *entry; /* [I] */
    bool deleted;
    bool active; /* set, and for one expiration not over */
    enum entry_state state;
    ktime_t next; /* of its clock; of the wall clock monotonic unless `real` */
    ktime_t interval;
    uint64_t missed; /* periods passed over since the last expiration that was told */
    int last_overrun;
};

/* ---- time ---- */

static bool counts_cpu(const struct posix_timer *timer)
{
    return timer->clock == CLOCK_OF_CPU;
}

static ktime_t now_locked(const struct posix_timer *timer)
{
    const struct cpu_clock *clock = &timer->cpu.clock;
    struct usage usage;

    if (!counts_cpu(timer)) {
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

/* Does it count the time of a thread that has ended? */
static bool counts_dead(const struct posix_timer *timer)
{
    const struct thread *thread = timer->cpu.clock.thread;

    return counts_cpu(timer) && thread != NULL && atomic_load_relaxed(&thread->exiting);
}

static void start_locked(struct posix_timer *timer)
{
    if (counts_cpu(timer)) {
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
    if (counts_cpu(timer)) {
        cpu_timer_stop(&timer->cpu);
        atomic_store_relaxed(&timer->cpu_due, false);
    }
    (void)timer_cancel(&timer->timer);
}

/* Move the next expiration of an interval timer behind `now`; how many were passed over. */
static uint64_t forward_locked(struct posix_timer *timer, ktime_t now)
{
    if (timer->next > now) {
        return 0;
    }
    uint64_t passed = (uint64_t)((now - timer->next) / timer->interval) + 1;
    timer->next += (ktime_t)passed * timer->interval;
    return passed;
}

/* ---- expiration and its signal ---- */

static void timer_ref_put(struct posix_timer *timer)
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
        (void)forward_locked(timer, now + IGNORED_SPACING_NS);
        start_locked(timer);
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
        !(counts_cpu(timer) && cpu_timer_is_armed(&timer->cpu))) {
        ktime_t now = now_locked(timer);
        if (now >= timer->next) {
            expire_locked(timer, now);
        } else if (timer->real || counts_cpu(timer)) {
            start_locked(
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
        start_locked(timer);
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
        passed = timer->missed + forward_locked(timer, now_locked(timer));
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
        start_locked(timer);
    }
    timer_ref_put(timer);
}

void posix_timer_done(struct posix_timer *timer)
{
    struct process *process = timer->process;
    uint64_t flags = spin_lock_irqsave(&process->siglock);

    posix_timer_done_locked(timer);
    spin_unlock_irqrestore(&process->siglock, flags);
}

/* A setting ends, and with it the signal that it has queued and nobody has taken. */
static void end_setting_locked(struct posix_timer *timer)
{
    stop_locked(timer);
    timer->active = false;
    if (timer->state == ENTRY_QUEUED) {
        signal_unqueue_locked(timer->process, timer->to, timer->entry);
        timer->state = ENTRY_FREE;
        timer_ref_put(timer);
    }
}

/* ---- the table ---- */

static struct posix_timer *find_locked(struct process *process, int id)
{
    struct rb_node *node = process->posix_timers.node;

    while (node != NULL) {
        struct posix_timer *timer = rb_entry(node, struct posix_timer, node);
        if (timer->id == id) {
            return timer;
        }
        node = id < timer->id ? node->left : node->right;
    }
    return NULL;
}

/* find_locked() that locks. What a foreign clock shows has been read just before. */
static struct posix_timer *find_and_lock(struct process *process, int id, uint64_t *ret_flags)
{
    *ret_flags = spin_lock_irqsave(&process->siglock);
    struct posix_timer *timer = find_locked(process, id);

    if (likely(timer == NULL || !timer->foreign)) {
        return timer;
    }
    struct cpu_clock clock = cpu_clock_dup(&timer->cpu.clock);
    spin_unlock_irqrestore(&process->siglock, *ret_flags);
    ktime_t now = cpu_clock_now(&clock);
    const struct process *whose = clock.process;
    cpu_clock_put(&clock);
    *ret_flags = spin_lock_irqsave(&process->siglock);
    timer = find_locked(process, id);
    if (timer != NULL && timer->foreign && timer->cpu.clock.process == whose) {
        atomic_store_relaxed(&timer->seen, now);
    }
    return timer;
}

/* Give it the next free number, from 0 up as Linux does. */
static void insert_locked(struct process *process, struct posix_timer *timer)
{
    struct rb_node **link = &process->posix_timers.node, *parent = NULL;

    do {
        timer->id = process->next_timer_id;
        process->next_timer_id = timer->id == INT32_MAX ? 0 : timer->id + 1;
    } while (find_locked(process, timer->id) != NULL);
    while (*link != NULL) {
        parent = *link;
        bool left = timer->id < rb_entry(parent, struct posix_timer, node)->id;
        link = left ? &parent->left : &parent->right;
    }
    rb_insert(&process->posix_timers, &timer->node, parent, link);
}

/* A thread of the process by its number, referenced; NULL: there is none. */
static struct thread *sibling_get(struct process *process, int tid)
{
    struct thread *thread;
    struct process *found = process_find_thread(tid, &thread);

    if (found == NULL) {
        return NULL;
    }
    bool ours = found == process;
    process_put(found);
    if (!ours) {
        thread_put(thread);
        return NULL;
    }
    return thread;
}

static int choose_cpu_clock(struct posix_timer *timer, int id)
{
    int err = cpu_clock_get(id, &timer->cpu.clock);

    if (err < 0) {
        return err;
    }
    timer->clock = CLOCK_OF_CPU;
    timer->foreign = timer->cpu.clock.process != timer->process;
    if (id >= 0) {
        timer->clock_id =
            id == CLOCK_PROCESS_CPUTIME_ID ? CPU_CLOCK_OF_PROCESS : CPU_CLOCK_OF_THREAD;
    }
    return 0;
}

/* Which clock `id` is; -EINVAL: none, -EOPNOTSUPP: one that has no timers. */
static int choose_clock(struct posix_timer *timer, int id)
{
    timer->clock = CLOCK_OF_SYSTEM;
    switch (id) {
    case CLOCK_REALTIME_ALARM:
    case CLOCK_BOOTTIME_ALARM:
        if (!current_has_cap(CAP_WAKE_ALARM)) {
            return -EPERM;
        }
        timer->clock = id == CLOCK_REALTIME_ALARM ? CLOCK_OF_WALL : CLOCK_OF_SYSTEM;
        return 0;
    case CLOCK_REALTIME:
    case CLOCK_TAI:
        timer->clock = CLOCK_OF_WALL;
        timer->tai = id == CLOCK_TAI;
        return 0;
    case CLOCK_MONOTONIC:
    case CLOCK_BOOTTIME:
        return 0;
    case CLOCK_MONOTONIC_RAW:
    case CLOCK_REALTIME_COARSE:
    case CLOCK_MONOTONIC_COARSE:
        return -EOPNOTSUPP;
    default:
        return choose_cpu_clock(timer, id);
    }
}

static int choose_target(struct posix_timer *timer, const sigevent_t *event)
{
    timer->notify = event->sigev_notify;
    if (timer->notify == SIGEV_NONE) {
        return 0;
    }
    if (timer->notify != SIGEV_SIGNAL && timer->notify != SIGEV_THREAD &&
        timer->notify != (SIGEV_SIGNAL | SIGEV_THREAD_ID)) {
        return -EINVAL;
    }
    if (event->sigev_signo < 1 || event->sigev_signo > SIGNAL_COUNT) {
        return -EINVAL;
    }
    if ((timer->notify & SIGEV_THREAD_ID) != 0) {
        timer->to = sibling_get(timer->process, event->sigev_notify_thread_id);
        return timer->to == NULL ? -EINVAL : 0;
    }
    return 0;
}

/* After the table let go of it, or before it was there. */
static void timer_discard(struct posix_timer *timer)
{
    if (timer->listener.stepped != NULL) {
        time_listener_remove(&timer->listener);
    }
    (void)timer_cancel_sync(&timer->timer);
    if (counts_cpu(timer)) {
        cpu_timer_stop(&timer->cpu); /* which that callback may have started */
        (void)timer_cancel_sync(&timer->timer);
        cpu_clock_put(&timer->cpu.clock);
    }
    thread_put(timer->to);
    timer_ref_put(timer);
}

int posix_timer_create(const struct posix_timer_request *request, int *ret_id)
{
    struct process *process = process_current();
    struct posix_timer *timer = kzalloc(sizeof(*timer));
    siginfo_t info = {0};

    if (timer == NULL) {
        return -EAGAIN;
    }
    refcount_init(&timer->refs, 1);
    cpu_timer_init(&timer->cpu, cpu_time_reached);
    timer_init(&timer->timer, timer_expired);
    timer->process = process;
    timer->clock_id = request->clock;
    info.si_signo = request->event.sigev_signo;
    info.si_code = SI_TIMER;
    info.si_value = request->event.sigev_value;
    int err = choose_clock(timer, request->clock);
    if (err == 0) {
        err = choose_target(timer, &request->event);
    }
    if (err == 0) {
        timer->entry = signal_queued_create(process, &info);
        err = timer->entry == NULL ? -EAGAIN : 0;
    }
    if (err < 0) {
        timer_discard(timer);
        return err;
    }
    timer->entry->timer = timer;
    if (timer->clock == CLOCK_OF_WALL) {
        timer->listener.stepped = timer_stepped;
        time_listener_add(&timer->listener);
    }
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    insert_locked(process, timer);
    timer->entry->info.si_tid = timer->id;
    if (request->plain) {
        timer->entry->info.si_value.sival_int = timer->id;
    }
    *ret_id = timer->id;
    spin_unlock_irqrestore(&process->siglock, flags);
    return 0;
}

static void delete_locked(struct process *process, struct posix_timer *timer)
{
    rb_remove(&process->posix_timers, &timer->node);
    end_setting_locked(timer);
    timer->deleted = true;
}

int posix_timer_delete(int id)
{
    struct process *process = process_current();
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    struct posix_timer *timer = find_locked(process, id);

    if (timer != NULL) {
        delete_locked(process, timer);
    }
    spin_unlock_irqrestore(&process->siglock, flags);
    if (timer == NULL) {
        return -EINVAL;
    }
    timer_discard(timer);
    return 0;
}

void posix_timers_end(struct process *process)
{
    while (unlikely(process->posix_timers.node != NULL)) {
        uint64_t flags = spin_lock_irqsave(&process->siglock);
        struct posix_timer *timer = rb_entry(process->posix_timers.node, struct posix_timer, node);
        delete_locked(process, timer);
        spin_unlock_irqrestore(&process->siglock, flags);
        timer_discard(timer);
    }
    process->next_timer_id = 0;
}

/* ---- settings ---- */

static void read_locked(struct posix_timer *timer, struct itimer *ret)
{
    ktime_t now = now_locked(timer);

    *ret = (struct itimer){.interval_ns = timer->interval};
    if (!timer->active || counts_dead(timer)) {
        return;
    }
    if (timer->interval != 0 && (timer->state != ENTRY_FREE || timer->notify == SIGEV_NONE)) {
        timer->missed += forward_locked(timer, now);
    }
    if (timer->next > now) {
        ret->value_ns = timer->next - now;
    } else {
        ret->value_ns = timer->notify == SIGEV_NONE ? 0 : 1; /* about to expire */
    }
}

/* The setting's first expiration, by the clock that now_locked() reads from then on; the far future instead of an overflow. */
static void next_set_locked(struct posix_timer *timer, bool absolute, ktime_t value)
{
    timer->real = absolute && timer->clock == CLOCK_OF_WALL;
    ktime_t now = absolute ? 0 : now_locked(timer);
    timer->next = value > KTIME_MAX - 1 - now ? KTIME_MAX - 1 : now + value;
    if (timer->real && timer->tai) {
        timer->next -= ntp_tai_offset() * NS_PER_S;
    }
}

int posix_timer_set(int id, bool absolute, const struct itimer *new, struct itimer *ret_old)
{
    struct process *process = process_current();
    uint64_t flags;
    struct posix_timer *timer = find_and_lock(process, id, &flags);
    int err = timer == NULL ? -EINVAL : counts_dead(timer) ? -ESRCH : 0;

    if (err == 0) {
        read_locked(timer, ret_old);
        end_setting_locked(timer);
        timer->interval = new->value_ns == 0 ? 0 : new->interval_ns;
        timer->last_overrun = 0;
        timer->missed = 0;
        if (new->value_ns != 0) {
            next_set_locked(timer, absolute, new->value_ns);
            timer->active = true;
            if (timer->notify != SIGEV_NONE) {
                start_locked(timer);
            }
        }
    }
    spin_unlock_irqrestore(&process->siglock, flags);
    return err;
}

int posix_timer_get(int id, struct itimer *ret_setting)
{
    struct process *process = process_current();
    uint64_t flags;
    struct posix_timer *timer = find_and_lock(process, id, &flags);

    if (timer != NULL) {
        read_locked(timer, ret_setting);
    }
    spin_unlock_irqrestore(&process->siglock, flags);
    return timer == NULL ? -EINVAL : 0;
}

int posix_timer_overrun(int id)
{
    struct process *process = process_current();
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    struct posix_timer *timer = find_locked(process, id);
    int overrun = timer == NULL ? -EINVAL : timer->last_overrun;

    spin_unlock_irqrestore(&process->siglock, flags);
    return overrun;
}

bool posix_timer_show(struct process *process, int id, struct posix_timer_shown *ret_shown)
{
    const struct posix_timer *found = NULL;
    uint64_t flags = spin_lock_irqsave(&process->siglock);

    for (struct rb_node *node = process->posix_timers.node; node != NULL;) {
        const struct posix_timer *timer = rb_entry(node, struct posix_timer, node);
        found = timer->id >= id ? timer : found;
        node = timer->id > id ? node->left : timer->id < id ? node->right : NULL;
    }
    if (found != NULL) {
        *ret_shown = (struct posix_timer_shown){
            .id = found->id,
            .clock = found->clock_id,
            .notify = found->notify,
            .signo = found->entry->info.si_signo,
            .value = (uintptr_t)found->entry->info.si_value.sival_ptr,
            .to = pid_nr(found->to != NULL ? found->to->pid : process->pid)};
    }
    spin_unlock_irqrestore(&process->siglock, flags);
    return found != NULL;
}
