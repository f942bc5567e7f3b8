/*
 * Whom a scheduling call is about, and what the caller may do to him.
 */
#include "kernel/linux/sched_target.h"

#include <linux/capability.h>
#include <linux/resource.h>

#include "kernel/security/cred.h"

bool sched_target_get(int tid, struct sched_target *ret_target)
{
    struct thread *thread = current_thread();

    if (tid == 0) {
        *ret_target = (struct sched_target){process_get(thread->process), thread};
        thread_get(thread);
        return true;
    }
    ret_target->process = process_find_thread(tid, &ret_target->thread);
    return ret_target->process != NULL;
}

void sched_target_put(const struct sched_target *target)
{
    thread_put(target->thread);
    process_put(target->process);
}

bool sched_target_allowed(const struct sched_target *target)
{
    const struct cred *mine = cred_current();
    struct cred *theirs = thread_cred_get(target->thread);
    bool same = mine->euid == theirs->uid || mine->euid == theirs->euid;

    cred_put(theirs);
    return same || current_has_cap(CAP_SYS_NICE);
}

uint64_t sched_target_limit(const struct sched_target *target, unsigned resource)
{
    return READ_ONCE(target->process->limits[resource].rlim_cur);
}

bool sched_target_may_have_nice(const struct sched_target *target, int nice)
{
    return (uint64_t)(20 - nice) <= sched_target_limit(target, RLIMIT_NICE) ||
           current_has_cap(CAP_SYS_NICE);
}
