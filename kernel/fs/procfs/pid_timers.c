/*
 * /proc/PID/timers (proc(5)): the POSIX timers of a process, so that they can be made anew elsewhere.
 */
#include <asm/siginfo.h>

#include "kernel/fs/procfs/procfs.h"
#include "kernel/proc/posix_timer.h"

static void show_timer(struct text *text, const struct posix_timer_shown *timer)
{
    static const char *const notify[] = {
        [SIGEV_SIGNAL] = "signal", [SIGEV_NONE] = "none", [SIGEV_THREAD] = "thread"};

    text_printf(text, "ID: %d\nsignal: %d/%016llx\n", timer->id, timer->signo,
                (unsigned long long)timer->value);
    text_printf(text, "notify: %s/%s.%d\nClockID: %d\n", notify[timer->notify & ~SIGEV_THREAD_ID],
                (timer->notify & SIGEV_THREAD_ID) != 0 ? "tid" : "pid", timer->to, timer->clock);
}

static int timers_next(struct text *text, const struct proc_target *target, uint64_t *cursor)
{
    struct posix_timer_shown timer;

    while (!text_is_enough(text)) {
        if (*cursor > INT32_MAX || !posix_timer_show(target->process, (int)*cursor, &timer)) {
            return 0;
        }
        *cursor = (uint64_t)timer.id + 1;
        show_timer(text, &timer);
    }
    return 1;
}

PROC_PID_FILE(timers) = {
    .name = "timers", .mode = S_IFREG | 0444, .flags = PROC_PID_ACCESS, .next = timers_next};
