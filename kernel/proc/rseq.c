#include "kernel/proc/rseq.h"

#include <linux/rseq.h>

#include "kernel/machine/cpu.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/user.h"
#include "kernel/proc/internal.h"

int rseq_register(struct rseq __user *area, uint32_t signature)
{
    struct thread *thread = current_thread();

    if (thread->rseq.area != NULL) {
        return thread->rseq.area != area             ? -EINVAL
               : thread->rseq.signature != signature ? -EPERM
                                                     : -EBUSY;
    }
    if ((uintptr_t)area % __alignof__(struct rseq) != 0) {
        return -EINVAL;
    }
    if (!user_range_ok(area, sizeof(*area))) {
        return -EFAULT;
    }
    thread->rseq = (struct thread_rseq){area, signature, (uint32_t)RSEQ_CPU_ID_UNINITIALIZED};
    thread_set_work(thread, THREAD_WORK_RSEQ);
    return 0;
}

int rseq_unregister(struct rseq __user *area, uint32_t signature)
{
    struct thread *thread = current_thread();

    if (thread->rseq.area == NULL || thread->rseq.area != area) {
        return -EINVAL;
    }
    if (thread->rseq.signature != signature) {
        return -EPERM;
    }
    if (put_user(0u, user_member(area, cpu_id_start)) < 0 ||
        put_user((uint32_t)RSEQ_CPU_ID_UNINITIALIZED, user_member(area, cpu_id)) < 0) {
        return -EFAULT;
    }
    thread->rseq.area = NULL;
    return 0;
}

/* Does the sequence make sense, and has the place where it is aborted to the signature before it? */
static int sequence_check(const struct rseq_cs *cs, uint32_t signature)
{
    uint32_t found;

    if (cs->version != 0 || cs->start_ip >= USER_TOP || cs->abort_ip >= USER_TOP ||
        cs->post_commit_offset > USER_TOP - cs->start_ip || cs->abort_ip < sizeof(found) ||
        cs->abort_ip - cs->start_ip < cs->post_commit_offset) {
        return -EINVAL;
    }
    int err = get_user(found, (const uint32_t __user *)(cs->abort_ip - sizeof(found)));
    if (err < 0) {
        return err;
    }
    return found == signature ? 0 : -EINVAL;
}

/* <linux/rseq.h>: those that once kept a sequence from its restart are "no longer supported"; others never had a meaning. */
static int flags_check(struct rseq __user *area, const struct rseq_cs *cs)
{
    uint32_t flags;
    int err = get_user(flags, (uint32_t __user *)user_member(area, flags));

    return err < 0 ? err : (flags | cs->flags) != 0 ? -EINVAL : 0;
}

/* Whether the thread is in its sequence or has left it: the area names none any more. */
static int sequence_abort(const struct thread *thread, struct trapframe *frame)
{
    uint64_t __user *ucs = (uint64_t __user *)user_member(thread->rseq.area, rseq_cs);
    struct rseq_cs cs;
    uint64_t addr;

    int err = get_user(addr, ucs);
    if (err < 0 || likely(addr == 0)) {
        return err;
    }
    err = copy_from_user(&cs, (const void __user *)addr, sizeof(cs));
    if (err == 0) {
        err = sequence_check(&cs, thread->rseq.signature);
    }
    bool inside = err == 0 && trapframe_pc(frame) - cs.start_ip < cs.post_commit_offset;
    if (inside) {
        err = flags_check(thread->rseq.area, &cs);
    }
    if (err == 0) {
        err = put_user(0ull, ucs);
    }
    if (err == 0 && inside) {
        trapframe_set_pc(frame, cs.abort_ip);
    }
    return err;
}

void rseq_before_user(struct thread *thread, struct trapframe *frame)
{
    struct rseq __user *area = thread->rseq.area;

    if (area == NULL) {
        return;
    }
    int err = sequence_abort(thread, frame);
    uint32_t cpu = thread->cpu;
    if (err == 0 && unlikely(cpu != thread->rseq.cpu)) {
        err = put_user(cpu, user_member(area, cpu_id_start));
        if (err == 0) {
            err = put_user(cpu, user_member(area, cpu_id));
        }
        thread->rseq.cpu = cpu;
    }
    if (unlikely(err < 0)) {
        thread->rseq.area = NULL;
        signal_force_fatal(SIGSEGV);
    }
}
