/*
 * What a tracer asks of a stopped tracee (ptrace(2)): going on, memory, registers, signals, and what the stop is about.
 *
 * A request finds its tracee under the siglock, as one that this very thread traces and that is in a stop, and waits until it has left its
 * CPU. From then on the tracee stays still, unless SIGKILL comes: then it ends without ever looking at what is read or written
 * here. References keep its structures until the request is done.
 */
#include <asm/ptrace-abi.h>
#include <asm/siginfo.h>
#include <linux/elf.h>
#include <linux/rseq.h>

#include "kernel/base/string.h"
#include "kernel/machine/debug.h"
#include "kernel/machine/user.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/ptrace_impl.h"
#include "kernel/proc/rseq.h"

#define OPTIONS_KNOWN  (PTRACE_O_MASK & ~(uint32_t)PTRACE_O_SUSPEND_SECCOMP)
#define PEEK_AT_A_TIME 16 /* siginfos */

struct tracee {
    struct thread *thread;
    struct process *process;
    struct trace *trace;
};

/* ---- going on ---- */

static int resume(const struct tracee *tracee, enum trace_mode mode, uint64_t signal)
{
    struct trace *trace = tracee->trace;

    if (signal > SIGNAL_COUNT) {
        return -EIO;
    }
    cpu_step_set(tracee->thread, mode == TRACE_STEP || mode == TRACE_SYSEMU_STEP);
    uint64_t flags = spin_lock_irqsave(&tracee->process->siglock);
    if (trace->stopped) { /* else it was killed just now */
        trace->mode = mode;
        trace_watch_locked(trace, mode != TRACE_CONT);
        trace_resume_locked(trace, (int)signal);
    }
    spin_unlock_irqrestore(&tracee->process->siglock, flags);
    return 0;
}

static int detach(const struct tracee *tracee, uint64_t signal)
{
    struct trace *trace = tracee->trace;
    struct trace_refs refs = {NULL, NULL};

    if (signal > SIGNAL_COUNT) {
        return -EIO;
    }
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    spin_lock(&tracee->process->siglock);
    if (trace->tracer == current_thread()) { /* it may have been waited for, dead, by a sibling */
        trace_unlink_locked(trace, (int)signal, &refs);
    }
    spin_unlock(&tracee->process->siglock);
    spin_unlock_irqrestore(&process_tree_lock, flags);
    trace_release(&refs);
    return 0;
}

static int kill_tracee(const struct tracee *tracee)
{
    siginfo_t info;

    siginfo_user(&info, SIGKILL, SI_USER);
    uint64_t flags = spin_lock_irqsave(&tracee->process->siglock);
    /* The thread itself may have forgotten its process, when it has ended already. */
    int err = signal_send_locked(tracee->process, tracee->thread, &info, false);
    spin_unlock_irqrestore(&tracee->process->siglock, flags);
    return err;
}

/* Seized ones only; in any state. */
static int interrupt(const struct tracee *tracee)
{
    uint64_t flags = spin_lock_irqsave(&tracee->process->siglock);
    int err = tracee->trace->seized ? 0 : -EIO;

    if (err == 0) {
        ptrace_interrupt_locked(tracee->trace);
    }
    spin_unlock_irqrestore(&tracee->process->siglock, flags);
    return err;
}

static int listen(const struct tracee *tracee)
{
    struct trace *trace = tracee->trace;
    int err = -EIO;
    uint64_t flags = spin_lock_irqsave(&tracee->process->siglock);

    if (trace->seized && trace->stopped && trace->has_info &&
        trace->info.si_code >> 8 == PTRACE_EVENT_STOP) {
        atomic_store_release(&trace->listening, true);
        if (trace->trap_notify) {
            /* It has happened since the stop began. */
            (void)thread_wake_states(tracee->thread, BIT(THREAD_TRACED));
        }
        err = 0;
    }
    spin_unlock_irqrestore(&tracee->process->siglock, flags);
    return err;
}

/* ---- memory ---- */

/* Memory that is not to be dumped is for a privileged tracer alone, whenever it has come to be that. */
static int access_word(const struct tracee *tracee, uint64_t addr, uint64_t *word, bool write)
{
    struct vmspace *vm = thread_vm_get(tracee->thread);
    ssize_t n = -EIO;

    if (vm == NULL) {
        return -EIO;
    }
    if (atomic_load_relaxed(&vm->dumpable) == 1 || tracee->trace->privileged) {
        n = vmspace_access(vm, addr, word, sizeof(*word), write, true);
    }
    vmspace_put(vm);
    return n == (ssize_t)sizeof(*word) ? 0 : -EIO;
}

static int peek(const struct tracee *tracee, uint64_t addr, uint64_t __user *to)
{
    uint64_t word = 0;
    int err = access_word(tracee, addr, &word, false);

    return err < 0 ? err : put_user(word, to);
}

static int peek_user(const struct tracee *tracee, uint64_t offset, uint64_t __user *to)
{
    uint64_t word = 0;
    int err = cpu_user_area_get(tracee->thread, offset, &word);

    return err < 0 ? err : put_user(word, to);
}

/* ---- registers ---- */

static int64_t regset_copy(const struct tracee *tracee, unsigned type, void __user *user,
                           size_t len, bool set)
{
    size_t size = cpu_regset_size(type);
    uint8_t *buf = kzalloc(size);
    int err;

    if (buf == NULL) {
        return -ENOMEM;
    }
    if (set) {
        err = copy_from_user(buf, user, len);
        if (err == 0) {
            err = cpu_regset_set(tracee->thread, type, buf, len);
        }
    } else {
        cpu_regset_get(tracee->thread, type, buf);
        err = copy_to_user(user, buf, len);
    }
    kfree(buf);
    return err;
}

/* PTRACE_GETREGS and kin: the whole set at one address. */
static int64_t regset_whole(const struct tracee *tracee, unsigned type, uint64_t user, bool set)
{
    return regset_copy(tracee, type, (void __user *)user, cpu_regset_size(type), set);
}

/* PTRACE_GETREGSET, PTRACE_SETREGSET: as much as the vector has room for, which is told back. */
static int64_t regset_vector(const struct tracee *tracee, uint64_t type, struct iovec __user *uvec,
                             bool set)
{
    struct iovec vec;
    size_t size = type <= UINT32_MAX ? cpu_regset_size((unsigned)type) : 0;

    if (copy_from_user(&vec, uvec, sizeof(vec)) < 0) {
        return -EFAULT;
    }
    if (size == 0 || vec.iov_len % sizeof(uint64_t) != 0) {
        return -EINVAL;
    }
    vec.iov_len = MIN(vec.iov_len, size);
    int64_t err = regset_copy(tracee, (unsigned)type, vec.iov_base, vec.iov_len, set);
    return err < 0 ? err : put_user(vec.iov_len, user_member(uvec, iov_len));
}

/* ---- signals ---- */

static int siginfo_get(const struct tracee *tracee, siginfo_t __user *to)
{
    siginfo_t info;
    uint64_t flags = spin_lock_irqsave(&tracee->process->siglock);
    bool there = tracee->trace->stopped && tracee->trace->has_info;

    info = tracee->trace->info;
    spin_unlock_irqrestore(&tracee->process->siglock, flags);
    return there ? copy_to_user(to, &info, sizeof(info)) : -EINVAL;
}

static int siginfo_set(const struct tracee *tracee, const siginfo_t __user *from)
{
    siginfo_t info;

    if (copy_from_user(&info, from, sizeof(info)) < 0) {
        return -EFAULT;
    }
    uint64_t flags = spin_lock_irqsave(&tracee->process->siglock);
    bool there = tracee->trace->stopped && tracee->trace->has_info;
    if (there) {
        tracee->trace->info = info;
    }
    spin_unlock_irqrestore(&tracee->process->siglock, flags);
    return there ? 0 : -EINVAL;
}

/* Copies of up to `max` entries of a queue from number `from` on: those of a signal one after another, oldest first. */
static int queue_read(const struct tracee *tracee, bool shared, uint64_t from, siginfo_t *infos,
                      int max)
{
    const struct signal_pending *pending =
        shared ? &tracee->process->shared : &tracee->thread->sig_pending;
    struct signal_queued *oldest, *queued;
    uint64_t at = 0;
    int n = 0;
    uint64_t flags = spin_lock_irqsave(&tracee->process->siglock);

    list_for_each (oldest, &pending->queue, node) {
        if (at++ >= from && n < max) {
            infos[n++] = oldest->info;
        }
        list_for_each (queued, &oldest->others, node) {
            if (n == max) {
                break;
            }
            if (at++ >= from) {
                infos[n++] = queued->info;
            }
        }
    }
    spin_unlock_irqrestore(&tracee->process->siglock, flags);
    return n;
}

static int64_t peek_siginfo(const struct tracee *tracee, const void __user *uargs,
                            siginfo_t __user *to)
{
    struct ptrace_peeksiginfo_args args;
    int done = 0, n;

    if (copy_from_user(&args, uargs, sizeof(args)) < 0) {
        return -EFAULT;
    }
    if ((args.flags & ~(uint32_t)PTRACE_PEEKSIGINFO_SHARED) != 0 || args.nr < 0) {
        return -EINVAL;
    }
    siginfo_t *infos = kmalloc(PEEK_AT_A_TIME * sizeof(*infos));
    if (infos == NULL) {
        return -ENOMEM;
    }
    int64_t result = 0;
    do {
        n = queue_read(tracee, (args.flags & PTRACE_PEEKSIGINFO_SHARED) != 0,
                       args.off + (uint64_t)done, infos, MIN(args.nr - done, PEEK_AT_A_TIME));
        if (n > 0 && copy_to_user(user_at(to, (size_t)done * sizeof(*infos)), infos,
                                  (size_t)n * sizeof(*infos)) < 0) {
            result = -EFAULT;
            break;
        }
        done += n;
    } while (n == PEEK_AT_A_TIME && done < args.nr && !thread_signal_pending(current_thread()));
    kfree(infos);
    return done > 0 ? done : result;
}

static int sigmask_get(const struct tracee *tracee, uint64_t size, uint64_t __user *to)
{
    const struct thread *thread = tracee->thread;
    bool saved = (atomic_load_relaxed(&thread->work) & THREAD_WORK_SIGMASK) != 0;

    if (size != sizeof(uint64_t)) {
        return -EINVAL;
    }
    return put_user(saved ? thread->saved_sigmask : thread->sig_blocked, to);
}

static int sigmask_set(const struct tracee *tracee, uint64_t size, const uint64_t __user *from)
{
    struct thread *thread = tracee->thread;
    uint64_t mask;

    if (size != sizeof(mask)) {
        return -EINVAL;
    }
    if (get_user(mask, from) < 0) {
        return -EFAULT;
    }
    uint64_t flags = spin_lock_irqsave(&tracee->process->siglock);
    if (!thread->exiting) { /* killed meanwhile */
        uint64_t newly = mask & ~thread->sig_blocked;
        thread->sig_blocked = mask & ~SIGMASK_UNBLOCKABLE;
        thread_clear_work(thread, THREAD_WORK_SIGMASK);
        signal_retarget_locked(tracee->process, thread, newly);
        signal_recalc_locked(thread);
    }
    spin_unlock_irqrestore(&tracee->process->siglock, flags);
    return 0;
}

/* ---- what the stop is about ---- */

static int options_set(const struct tracee *tracee, uint64_t options)
{
    if ((options & ~(uint64_t)OPTIONS_KNOWN) != 0) {
        return -EINVAL;
    }
    uint64_t flags = spin_lock_irqsave(&tracee->process->siglock);
    tracee->trace->options = (uint32_t)options;
    spin_unlock_irqrestore(&tracee->process->siglock, flags);
    return 0;
}

static size_t fill_entry(struct ptrace_syscall_info *info, const struct trapframe *frame)
{
    info->op = PTRACE_SYSCALL_INFO_ENTRY;
    info->entry.nr = (uint64_t)trapframe_syscall_nr(frame);
    for (unsigned i = 0; i < ARRAY_SIZE(info->entry.args); i++) {
        info->entry.args[i] = trapframe_arg(frame, i);
    }
    return offsetof(struct ptrace_syscall_info, entry.args) + sizeof(info->entry.args);
}

static size_t fill_exit(struct ptrace_syscall_info *info, const struct trapframe *frame)
{
    info->op = PTRACE_SYSCALL_INFO_EXIT;
    info->exit.rval = trapframe_result(frame);
    info->exit.is_error = (uint64_t)info->exit.rval >= (uint64_t)-4095;
    return offsetof(struct ptrace_syscall_info, exit.is_error) + sizeof(info->exit.is_error);
}

static int64_t syscall_info(const struct tracee *tracee, uint64_t size, void __user *to)
{
    const struct trace *trace = tracee->trace;
    const struct trapframe *frame = thread_trapframe(tracee->thread);
    struct ptrace_syscall_info info;
    size_t len = offsetof(struct ptrace_syscall_info, entry);

    memset(&info, 0, sizeof(info));
    info.op = PTRACE_SYSCALL_INFO_NONE;
    info.arch = cpu_audit_arch();
    info.instruction_pointer = trapframe_pc(frame);
    info.stack_pointer = trapframe_sp(frame);
    if (trace->has_info && trace->info.si_code == (SIGTRAP | 0x80)) {
        if (trace->message == PTRACE_EVENTMSG_SYSCALL_ENTRY) {
            len = fill_entry(&info, frame);
        } else if (trace->message == PTRACE_EVENTMSG_SYSCALL_EXIT) {
            len = fill_exit(&info, frame);
        }
    }
    return copy_to_user(to, &info, MIN(len, size)) < 0 ? -EFAULT : (int64_t)len;
}

static int64_t rseq_configuration(const struct tracee *tracee, uint64_t size, void __user *to)
{
    const struct thread_rseq *rseq = &tracee->thread->rseq;
    struct ptrace_rseq_configuration conf = {
        .rseq_abi_pointer = (uint64_t)rseq->area,
        .rseq_abi_size = rseq->area != NULL ? sizeof(struct rseq) : 0,
        .signature = rseq->signature,
    };

    return copy_to_user(to, &conf, MIN(size, sizeof(conf))) < 0 ? -EFAULT : (int64_t)sizeof(conf);
}

/* ---- dispatch ---- */

static int64_t do_resume(const struct tracee *tracee, int request, uint64_t data)
{
    switch (request) {
    case PTRACE_CONT:
        return resume(tracee, TRACE_CONT, data);
    case PTRACE_SYSCALL:
        return resume(tracee, TRACE_SYSCALL, data);
    case PTRACE_SINGLESTEP:
        return resume(tracee, TRACE_STEP, data);
    case PTRACE_SYSEMU:
        return resume(tracee, TRACE_SYSEMU, data);
    case PTRACE_SYSEMU_SINGLESTEP:
        return resume(tracee, TRACE_SYSEMU_STEP, data);
    default:
        return -EIO;
    }
}

static int64_t do_registers(const struct tracee *tracee, int request, uint64_t addr, uint64_t data)
{
    switch (request) {
    case PTRACE_GETREGS:
    case PTRACE_SETREGS:
        return regset_whole(tracee, NT_PRSTATUS, data, request == PTRACE_SETREGS);
    case PTRACE_GETFPREGS:
    case PTRACE_SETFPREGS:
        return regset_whole(tracee, NT_PRFPREG, data, request == PTRACE_SETFPREGS);
    case PTRACE_GETREGSET:
    case PTRACE_SETREGSET:
        return regset_vector(tracee, addr, (struct iovec __user *)data,
                             request == PTRACE_SETREGSET);
    case PTRACE_PEEKUSR:
        return peek_user(tracee, addr, (uint64_t __user *)data);
    case PTRACE_POKEUSR:
        return cpu_user_area_set(tracee->thread, addr, data);
    case PTRACE_ARCH_PRCTL:
        return cpu_arch_prctl_other(tracee->thread, (int)data, addr);
    default:
        return do_resume(tracee, request, data);
    }
}

static int64_t do_request(const struct tracee *tracee, int request, uint64_t addr, uint64_t data)
{
    switch (request) {
    case PTRACE_PEEKTEXT:
    case PTRACE_PEEKDATA:
        return peek(tracee, addr, (uint64_t __user *)data);
    case PTRACE_POKETEXT:
    case PTRACE_POKEDATA:
        return access_word(tracee, addr, &data, true);
    case PTRACE_KILL:
        return kill_tracee(tracee);
    case PTRACE_DETACH:
        return detach(tracee, data);
    case PTRACE_INTERRUPT:
        return interrupt(tracee);
    case PTRACE_LISTEN:
        return listen(tracee);
    case PTRACE_SETOPTIONS:
    case PTRACE_OLDSETOPTIONS:
        return options_set(tracee, data);
    case PTRACE_GETEVENTMSG:
        return put_user(tracee->trace->message, (uint64_t __user *)data);
    case PTRACE_GETSIGINFO:
        return siginfo_get(tracee, (siginfo_t __user *)data);
    case PTRACE_SETSIGINFO:
        return siginfo_set(tracee, (const siginfo_t __user *)data);
    case PTRACE_PEEKSIGINFO:
        return peek_siginfo(tracee, (const void __user *)addr, (siginfo_t __user *)data);
    case PTRACE_GETSIGMASK:
        return sigmask_get(tracee, addr, (uint64_t __user *)data);
    case PTRACE_SETSIGMASK:
        return sigmask_set(tracee, addr, (const uint64_t __user *)data);
    case PTRACE_GET_SYSCALL_INFO:
        return syscall_info(tracee, addr, (void __user *)data);
    case PTRACE_GET_RSEQ_CONFIGURATION:
        return rseq_configuration(tracee, addr, (void __user *)data);
    default:
        return do_registers(tracee, request, addr, data);
    }
}

/* Is it ours, and does it stand still for us? */
static int check(const struct tracee *tracee, bool any_state)
{
    struct trace *trace = tracee->trace;

    if (trace == NULL) {
        return -ESRCH;
    }
    uint64_t flags = spin_lock_irqsave(&tracee->process->siglock);
    bool ours = trace->tracer == current_thread();
    bool still = trace->stopped && !trace->listening;
    spin_unlock_irqrestore(&tracee->process->siglock, flags);
    if (!ours || (!any_state && !still)) {
        return -ESRCH;
    }
    return any_state || thread_wait_switched_out(tracee->thread, THREAD_TRACED) ? 0 : -ESRCH;
}

int64_t ptrace_request(int request, int tid, uint64_t addr, uint64_t data)
{
    struct tracee tracee;

    tracee.process = tid > 0 ? process_find_thread(tid, &tracee.thread) : NULL;
    if (tracee.process == NULL) {
        return -ESRCH;
    }
    tracee.trace = atomic_load_acquire(&tracee.thread->trace);
    int64_t result = check(&tracee, request == PTRACE_KILL || request == PTRACE_INTERRUPT);
    if (result == 0) {
        result = do_request(&tracee, request, addr, data);
    }
    thread_put(tracee.thread);
    process_put(tracee.process);
    return result;
}
