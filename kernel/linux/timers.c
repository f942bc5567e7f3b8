/*
 * POSIX timers.
 */
#include <linux/time.h>

#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/proc/posix_timer.h"

static int setting_to_user(struct __kernel_itimerspec __user *user, const struct itimer *setting)
{
    const struct __kernel_itimerspec spec = {
        .it_interval = timespec_of_ktime(setting->interval_ns),
        .it_value = timespec_of_ktime(setting->value_ns),
    };

    return copy_to_user(user, &spec, sizeof(spec));
}

SYSCALL3(timer_create, int, clock, const sigevent_t __user *, uevent, int __user *, uid)
{
    struct posix_timer_request request = {.clock = clock, .plain = uevent == NULL};
    int id;

    if (uevent == NULL) {
        request.event.sigev_notify = SIGEV_SIGNAL;
        request.event.sigev_signo = SIGALRM;
    } else if (copy_from_user(&request.event, uevent, sizeof(request.event)) < 0) {
        return -EFAULT;
    }
    int err = posix_timer_create(&request, &id);
    if (err == 0 && put_user(id, uid) < 0) {
        (void)posix_timer_delete(id);
        err = -EFAULT;
    }
    return err;
}

SYSCALL4(timer_settime, int, id, int, flags, const struct __kernel_itimerspec __user *, unew,
         struct __kernel_itimerspec __user *, uold)
{
    struct __kernel_itimerspec spec;
    struct itimer old;

    if (unew == NULL) {
        return -EINVAL;
    }
    if (copy_from_user(&spec, unew, sizeof(spec)) < 0) {
        return -EFAULT;
    }
    if (!timespec_valid(&spec.it_interval) || !timespec_valid(&spec.it_value)) {
        return -EINVAL;
    }
    const struct itimer new = {.value_ns = ktime_of_timespec(&spec.it_value),
                               .interval_ns = ktime_of_timespec(&spec.it_interval)};
    int err = posix_timer_set(id, (flags & TIMER_ABSTIME) != 0, &new, &old);
    return err < 0 || uold == NULL ? err : setting_to_user(uold, &old);
}

SYSCALL2(timer_gettime, int, id, struct __kernel_itimerspec __user *, usetting)
{
    struct itimer setting;
    int err = posix_timer_get(id, &setting);

    return err < 0 ? err : setting_to_user(usetting, &setting);
}

SYSCALL1(timer_getoverrun, int, id)
{
    return posix_timer_overrun(id);
}

SYSCALL1(timer_delete, int, id)
{
    return posix_timer_delete(id);
}
