/*
 * POSIX timers: timer_create(2) and the calls that set, read and delete what it made; how a timer runs is in posix_timer_run.c.
 *
 * Clocks: an absolute time of the wall clock is kept as such, and waited for anew whenever that clock is stepped; the alarm clocks are the plain
 * ones, there being no suspend to wake from; CPU time has timers of its own (cpu_timer.c).
 */
#include "kernel/proc/posix_timer.h"

#include <linux/capability.h>
#include <linux/time.h>

#include "kernel/core/ntp.h"
#include "kernel/core/time.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/posix_timer_impl.h"

/* The caller's own, as clock_getcpuclockid(3) and pthread_getcpuclockid(3) encode them: what /proc shows. */
#define CPU_CLOCK_OF_PROCESS (-6)
#define CPU_CLOCK_OF_THREAD  (-2)

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
    if (posix_timer_counts_cpu(timer)) {
        cpu_timer_stop(&timer->cpu); /* which that callback may have started */
        (void)timer_cancel_sync(&timer->timer);
        cpu_clock_put(&timer->cpu.clock);
    }
    thread_put(timer->to);
    posix_timer_put(timer);
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
    posix_timer_prepare(timer);
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
        uint64_t flags = spin_lock_irqsave(&process->siglock);
        timer->entry = signal_queued_create(process, &info);
        spin_unlock_irqrestore(&process->siglock, flags);
        err = timer->entry == NULL ? -EAGAIN : 0;
    }
    if (err < 0) {
        timer_discard(timer);
        return err;
    }
    timer->entry->timer = timer;
    if (timer->clock == CLOCK_OF_WALL) {
        posix_timer_listen(timer);
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
    posix_timer_end_setting_locked(timer);
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
    ktime_t now = posix_timer_now_locked(timer);

    *ret = (struct itimer){.interval_ns = timer->interval};
    if (!timer->active || posix_timer_counts_dead(timer)) {
        return;
    }
    if (timer->interval != 0 && (timer->state != ENTRY_FREE || timer->notify == SIGEV_NONE)) {
        timer->missed += posix_timer_forward_locked(timer, now);
    }
    if (timer->next > now) {
        ret->value_ns = timer->next - now;
    } else {
        ret->value_ns = timer->notify == SIGEV_NONE ? 0 : 1; /* about to expire */
    }
}

/* The setting's first expiration, by the clock that posix_timer_now_locked() reads from then on; the far future instead of an overflow. */
static void next_set_locked(struct posix_timer *timer, bool absolute, ktime_t value)
{
    timer->real = absolute && timer->clock == CLOCK_OF_WALL;
    ktime_t now = absolute ? 0 : posix_timer_now_locked(timer);
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
    int err = timer == NULL ? -EINVAL : posix_timer_counts_dead(timer) ? -ESRCH : 0;

    if (err == 0) {
        read_locked(timer, ret_old);
        posix_timer_end_setting_locked(timer);
        timer->interval = new->value_ns == 0 ? 0 : new->interval_ns;
        timer->last_overrun = 0;
        timer->missed = 0;
        if (new->value_ns != 0) {
            next_set_locked(timer, absolute, new->value_ns);
            timer->active = true;
            if (timer->notify != SIGEV_NONE) {
                posix_timer_start_locked(timer);
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
