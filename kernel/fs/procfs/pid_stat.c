/*
 * /proc/PID/{stat,statm,status,comm,limits,io,personality}: proc(5)'s formats, which
 * ps and top parse field by field.
 */
#include <linux/capability.h>

#include "kernel/base/bitmap.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/symbols.h"
#include "kernel/core/time.h"
#include "kernel/dev/tty.h"
#include "kernel/fs/procfs/procfs.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/frame.h"
#include "kernel/proc/ptrace.h"
#include "kernel/vm/huge.h"

#define USER_HZ 100

static uint64_t ns_to_ticks(ktime_t ns)
{
    return (uint64_t)ns / (NS_PER_S / USER_HZ);
}

/*
 * The letter of ps' STAT column, and status' word for it. A kernel thread whose sleep no signal ends is idle: it is not counted as load (proc(5)).
 */
static char state_letter(const struct proc_target *target, const char **ret_word)
{
    static const struct {
        char letter;
        const char *word;
    } states[] = {
        [THREAD_NEW] = {'R', "running"},       [THREAD_RUNNABLE] = {'R', "running"},
        [THREAD_SLEEPING] = {'S', "sleeping"}, [THREAD_UNINTERRUPTIBLE] = {'D', "disk sleep"},
        [THREAD_STOPPED] = {'T', "stopped"},   [THREAD_TRACED] = {'t', "tracing stop"},
        [THREAD_DEAD] = {'Z', "zombie"}};
    uint32_t state = READ_ONCE(target->thread->state);

    if (target->process->state != PROCESS_LIVE || state > THREAD_DEAD || target->thread->exiting) {
        state = THREAD_DEAD;
    } else if (ptrace_is_stopped(target->thread)) {
        state = THREAD_TRACED;
    } else if (target->process->stopped && READ_ONCE(target->process->call) != CALL_STOP &&
               !thread_stop_wanted(target->process, target->thread) &&
               !thread_is_traced(target->thread)) {
        state = THREAD_STOPPED;
    }
    bool idle = state == THREAD_UNINTERRUPTIBLE && target->process->kernel_thread;
    if (ret_word != NULL) {
        *ret_word = idle ? "idle" : states[state].word;
    }
    return idle ? 'I' : states[state].letter;
}

/* Family, read in one go under the tree lock. */
struct family {
    int ppid, group, session, nthreads;
    int tty_nr, tty_group;
    ktime_t child_user, child_system;
    uint64_t child_minflt, child_majflt;
    int exit_code;
};

static void family_read(struct process *process, struct family *ret)
{
    uint64_t rdev, flags;

    tty_describe_slot(&process->tty, &rdev, &ret->tty_group);
    ret->tty_nr = (int)rdev;
    flags = spin_lock_irqsave(&process_tree_lock);
    ret->ppid = process->parent == NULL ? 0 : pid_nr(process->parent->pid);
    ret->group = pid_nr(process->group);
    ret->session = pid_nr(process->session);
    ret->nthreads = (int)process->nthreads;
    ret->child_user = process->reaped.user_ns;
    ret->child_system = process->reaped.system_ns;
    ret->child_minflt = process->reaped.minflt;
    ret->child_majflt = process->reaped.majflt;
    ret->exit_code = process->exit_code;
    spin_unlock_irqrestore(&process_tree_lock, flags);
}

/* Signal masks, read in one go under the signal lock. */
struct signals {
    uint64_t pending, shared, blocked, ignored, caught;
    uint32_t nqueued;
    uint64_t limit;
};

static void signals_read(const struct proc_target *target, struct signals *ret)
{
    struct process *process = target->process;
    uint64_t flags = spin_lock_irqsave(&process->siglock);

    ret->pending = target->thread->sig_pending.set;
    ret->shared = process->shared.set;
    ret->blocked = target->thread->sig_blocked;
    ret->ignored = 0;
    ret->caught = 0;
    for (unsigned i = 0; i < SIGNAL_COUNT; i++) {
        uint64_t handler = process->actions->action[i].handler;
        if (handler == (uint64_t)SIG_IGN) {
            ret->ignored |= BIT(i);
        } else if (handler != (uint64_t)SIG_DFL) {
            ret->caught |= BIT(i);
        }
    }
    ret->nqueued = atomic_load_relaxed(&process->user->nsigpending);
    ret->limit = process->limits[RLIMIT_SIGPENDING].rlim_cur;
    spin_unlock_irqrestore(&process->siglock, flags);
}

static uint64_t vm_rss_pages(const struct vmspace *vm)
{
    return atomic_load_relaxed(&vm->rss_anon) + atomic_load_relaxed(&vm->rss_file) +
           atomic_load_relaxed(&vm->rss_shared);
}

/* ---- stat ---- */

/* Fields 23 to 30 and 45 to 51 tell addresses only to who may inspect the process. */
static void stat_memory(struct text *text, const struct proc_target *target, struct vmspace *vm)
{
    bool allowed = process_may_access(target->process);
    uint64_t limit = target->process->limits[RLIMIT_RSS].rlim_cur;

    text_number(text, vm == NULL ? 0 : vm->total_pages << PAGE_SHIFT);
    text_number(text, vm == NULL ? 0 : vm_rss_pages(vm));
    text_number(text, limit);
    text_number(text, vm == NULL ? 0 : allowed ? vm->code_start : 1);
    text_number(text, vm == NULL ? 0 : allowed ? vm->code_end : 1);
    text_number(text, vm != NULL && allowed ? vm->stack_top : 0);
    text_puts(text, " 0 0"); /* kstkesp, kstkeip: of exiting processes only */
}

static void stat_layout(struct text *text, const struct proc_target *target, struct vmspace *vm)
{
    if (vm == NULL || !process_may_access(target->process)) {
        text_puts(text, " 0 0 0 0 0 0 0");
        return;
    }
    text_number(text, vm->data_start);
    text_number(text, vm->data_end);
    text_number(text, vm->brk_start);
    text_number(text, vm->arg_start);
    text_number(text, vm->arg_end);
    text_number(text, vm->env_start);
    text_number(text, vm->env_end);
}

static void stat_signals(struct text *text, const struct signals *signals)
{
    const uint64_t first = 0x7fffffff; /* the classic 31; realtime ones are in status */

    text_number(text, (signals->pending | signals->shared) & first);
    text_number(text, signals->blocked & first);
    text_number(text, signals->ignored & first);
    text_number(text, signals->caught & first);
}

/* PF_* of Linux: those that mean the same here. */
static uint64_t stat_flags(const struct proc_target *target)
{
    const uint64_t kernel_thread = 0x200000, randomize = 0x400000, no_set_affinity = 0x4000000;

    return (target->process->kernel_thread ? kernel_thread : randomize) |
           (target->thread->bound ? no_set_affinity : 0);
}

static int stat_show(struct text *text, const struct proc_target *target)
{
    struct thread *thread = target->thread;
    struct vmspace *vm = thread_vm_get(target->thread);
    struct family family;
    struct signals signals;
    struct usage usage;

    family_read(target->process, &family);
    signals_read(target, &signals);
    if (target->task) {
        thread_usage(thread, &usage);
    } else {
        process_usage(target->process, &usage);
    }
    char state = state_letter(target, NULL);
    bool waits = state != 'R' && state != 'Z' && process_may_access(target->process);
    text_printf(text, "%d (%s) %c %d %d %d %d %d", pid_nr(thread->pid), thread->comm, state,
                family.ppid, family.group, family.session, family.tty_nr, family.tty_group);
    text_number(text, stat_flags(target));
    text_number(text, usage.minflt);
    text_number(text, family.child_minflt);
    text_number(text, usage.majflt);
    text_number(text, family.child_majflt);
    text_number(text, ns_to_ticks(usage.user_ns));
    text_number(text, ns_to_ticks(usage.system_ns));
    text_number(text, ns_to_ticks(family.child_user));
    text_number(text, ns_to_ticks(family.child_system));
    text_printf(text, " %d %d %d 0", (int)thread->prio - 100, thread->nice, family.nthreads);
    text_number(text, ns_to_ticks(target->task ? thread->start_time : target->process->start_time));
    stat_memory(text, target, vm);
    stat_signals(text, &signals);
    text_number(text, waits); /* wchan: that there is one */
    text_puts(text, " 0 0");  /* nswap, cnswap */
    text_printf(text, " %d %u %u %u", target->process->exit_signal, thread->cpu,
                thread->rt_priority, thread->policy);
    text_number(text, ns_to_ticks(atomic_load_relaxed(&thread->io_delay)));
    text_puts(text, " 0 0"); /* guest time */
    stat_layout(text, target, vm);
    text_printf(text, " %d\n", process_may_access(target->process) ? family.exit_code : 0);
    if (vm != NULL) {
        vmspace_put(vm);
    }
    return 0;
}

static int statm_show(struct text *text, const struct proc_target *target)
{
    struct vmspace *vm = thread_vm_get(target->thread);
    uint64_t shared;

    if (vm == NULL) {
        text_puts(text, "0 0 0 0 0 0 0\n");
        return 0;
    }
    shared = atomic_load_relaxed(&vm->rss_file) + atomic_load_relaxed(&vm->rss_shared);
    text_printf(text, "%llu %llu %llu %llu 0 %llu 0\n", (unsigned long long)vm->total_pages,
                (unsigned long long)vm_rss_pages(vm), (unsigned long long)shared,
                (unsigned long long)(ALIGN_UP(vm->code_end, PAGE_SIZE) -
                                     ALIGN_DOWN(vm->code_start, PAGE_SIZE)) >>
                    PAGE_SHIFT,
                (unsigned long long)(vm->data_pages + vm->stack_pages));
    vmspace_put(vm);
    return 0;
}

/* ---- status ---- */

static void status_line_kb(struct text *text, const char *name, uint64_t pages)
{
    text_printf(text, "%s:\t%8llu kB\n", name, (unsigned long long)pages << (PAGE_SHIFT - 10));
}

static void status_memory(struct text *text, struct vmspace *vm)
{
    uint64_t rss = vm_rss_pages(vm), code, exec;

    code =
        (ALIGN_UP(vm->code_end, PAGE_SIZE) - ALIGN_DOWN(vm->code_start, PAGE_SIZE)) >> PAGE_SHIFT;
    code = MIN(code, vm->exec_pages);
    exec = vm->exec_pages - code;
    status_line_kb(text, "VmPeak", vmspace_total_peak(vm));
    status_line_kb(text, "VmSize", vm->total_pages);
    status_line_kb(text, "VmLck", vm->locked_pages);
    status_line_kb(text, "VmPin", 0);
    status_line_kb(text, "VmHWM", vmspace_rss_peak(vm));
    status_line_kb(text, "VmRSS", rss);
    status_line_kb(text, "RssAnon", atomic_load_relaxed(&vm->rss_anon));
    status_line_kb(text, "RssFile", atomic_load_relaxed(&vm->rss_file));
    status_line_kb(text, "RssShmem", atomic_load_relaxed(&vm->rss_shared));
    status_line_kb(text, "VmData", vm->data_pages);
    status_line_kb(text, "VmStk", vm->stack_pages);
    status_line_kb(text, "VmExe", code);
    status_line_kb(text, "VmLib", exec);
    status_line_kb(text, "VmPTE", vm->mmu.ntables);
    status_line_kb(text, "VmSwap", atomic_load_relaxed(&vm->rss_swap));
    status_line_kb(text, "HugetlbPages", 0);
    text_puts(text, "CoreDumping:\t0\n");
    text_puts(text, vmspace_huge_is_disabled(vm) ? "THP_enabled:\t0\n" : "THP_enabled:\t1\n");
}

static void status_identity(struct text *text, const struct cred *cred)
{
    text_printf(text, "Uid:\t%u\t%u\t%u\t%u\n", cred->uid, cred->euid, cred->suid, cred->fsuid);
    text_printf(text, "Gid:\t%u\t%u\t%u\t%u\n", cred->gid, cred->egid, cred->sgid, cred->fsgid);
}

static void status_groups(struct text *text, const struct cred *cred)
{
    const struct group_list *groups = cred->groups;

    text_puts(text, "Groups:\t");
    for (uint32_t i = 0; groups != NULL && i < groups->count; i++) {
        text_printf(text, "%s%u", i == 0 ? "" : " ", groups->gids[i]);
    }
    text_puts(text, " \n");
}

static void status_mask(struct text *text, const char *name, uint64_t mask)
{
    text_printf(text, "%s:\t%016llx\n", name, (unsigned long long)mask);
}

static void status_signals(struct text *text, const struct proc_target *target)
{
    struct signals signals;

    signals_read(target, &signals);
    text_printf(text, "SigQ:\t%u/%llu\n", signals.nqueued, (unsigned long long)signals.limit);
    status_mask(text, "SigPnd", signals.pending);
    status_mask(text, "ShdPnd", signals.shared);
    status_mask(text, "SigBlk", signals.blocked);
    status_mask(text, "SigIgn", signals.ignored);
    status_mask(text, "SigCgt", signals.caught);
}

static void status_caps(struct text *text, const struct cred *cred)
{
    status_mask(text, "CapInh", cred->cap_inheritable);
    status_mask(text, "CapPrm", cred->cap_permitted);
    status_mask(text, "CapEff", cred->cap_effective);
    status_mask(text, "CapBnd", cred->cap_bounding);
    status_mask(text, "CapAmb", cred->cap_ambient);
}

/* On which CPUs the thread may run and from which nodes it may have memory: of those that there can be. */
static void status_affinity(struct text *text, const struct thread *thread)
{
    nodemask_t nodes = nodes_with_memory();

    text_puts(text, "Cpus_allowed:\t");
    text_bit_mask(text, thread->cpu_mask.bits, cpu_count_possible());
    text_puts(text, "\nCpus_allowed_list:\t");
    text_bit_list(text, thread->cpu_mask.bits, cpu_count_possible());
    text_puts(text, "\nMems_allowed:\t");
    text_bit_mask(text, &nodes, nodes_count());
    text_puts(text, "\nMems_allowed_list:\t");
    text_bit_list(text, &nodes, nodes_count());
    text_putc(text, '\n');
}

static int status_show(struct text *text, const struct proc_target *target)
{
    struct process *process = target->process;
    struct thread *thread = target->thread;
    struct cred *cred = process_cred_get(process);
    struct vmspace *vm = thread_vm_get(thread);
    struct fdtable *files = thread_files_pin(thread);
    struct fs_context *fs = thread_fs_get(thread);
    struct family family;
    const char *word;
    char letter = state_letter(target, &word);

    family_read(process, &family);
    text_puts(text, "Name:\t");
    text_escaped(text, thread->comm, "\n\\");
    text_putc(text, '\n');
    if (fs != NULL) {
        text_printf(text, "Umask:\t%04o\n", fs->umask);
        fs_context_put(fs);
    }
    text_printf(text, "State:\t%c (%s)\nTgid:\t%d\nNgid:\t0\nPid:\t%d\nPPid:\t%d\nTracerPid:\t%d\n",
                letter, word, pid_nr(process->pid), pid_nr(thread->pid), family.ppid,
                ptrace_tracer_nr(thread));
    status_identity(text, cred);
    text_printf(text, "FDSize:\t%u\n", files == NULL ? 0 : files->size);
    status_groups(text, cred);
    text_printf(text, "NStgid:\t%d\nNSpid:\t%d\nNSpgid:\t%d\nNSsid:\t%d\n", pid_nr(process->pid),
                pid_nr(thread->pid), family.group, family.session);
    if (vm != NULL) {
        status_memory(text, vm);
        vmspace_put(vm);
    }
    text_printf(text, "Threads:\t%d\n", family.nthreads);
    status_signals(text, target);
    status_caps(text, cred);
    text_printf(text, "NoNewPrivs:\t%d\nSeccomp:\t0\nSeccomp_filters:\t0\n", process->no_new_privs);
    status_affinity(text, thread);
    text_printf(text, "voluntary_ctxt_switches:\t%llu\nnonvoluntary_ctxt_switches:\t%llu\n",
                (unsigned long long)thread->nvcsw, (unsigned long long)thread->nivcsw);
    if (files != NULL) {
        fdtable_unpin(files);
    }
    cred_put(cred);
    return 0;
}

/* ---- small ones ---- */

static int comm_show(struct text *text, const struct proc_target *target)
{
    text_printf(text, "%s\n", target->thread->comm);
    return 0;
}

static int comm_write(const struct proc_target *target, char *value, size_t len)
{
    char comm[COMM_SIZE] = {0};

    if (target->process != process_current()) {
        return -EINVAL; /* a thread may name itself and its siblings */
    }
    memcpy(comm, value, MIN(len, (size_t)COMM_SIZE - 1));
    memcpy(target->thread->comm, comm, COMM_SIZE);
    return 0;
}

static const struct limit_name {
    const char *name, *unit;
} limit_names[RLIM_NLIMITS] = {
    [RLIMIT_CPU] = {"Max cpu time", "seconds"},
    [RLIMIT_FSIZE] = {"Max file size", "bytes"},
    [RLIMIT_DATA] = {"Max data size", "bytes"},
    [RLIMIT_STACK] = {"Max stack size", "bytes"},
    [RLIMIT_CORE] = {"Max core file size", "bytes"},
    [RLIMIT_RSS] = {"Max resident set", "bytes"},
    [RLIMIT_NPROC] = {"Max processes", "processes"},
    [RLIMIT_NOFILE] = {"Max open files", "files"},
    [RLIMIT_MEMLOCK] = {"Max locked memory", "bytes"},
    [RLIMIT_AS] = {"Max address space", "bytes"},
    [RLIMIT_LOCKS] = {"Max file locks", "locks"},
    [RLIMIT_SIGPENDING] = {"Max pending signals", "signals"},
    [RLIMIT_MSGQUEUE] = {"Max msgqueue size", "bytes"},
    [RLIMIT_NICE] = {"Max nice priority", NULL},
    [RLIMIT_RTPRIO] = {"Max realtime priority", NULL},
    [RLIMIT_RTTIME] = {"Max realtime timeout", "us"},
};

static void limit_value(struct text *text, uint64_t value)
{
    if (value == RLIM64_INFINITY) {
        text_printf(text, "%-20s ", "unlimited");
    } else {
        text_printf(text, "%-20llu ", (unsigned long long)value);
    }
}

static int limits_show(struct text *text, const struct proc_target *target)
{
    struct rlimit64 limits[RLIM_NLIMITS];
    uint64_t flags = spin_lock_irqsave(&target->process->siglock);

    memcpy(limits, target->process->limits, sizeof(limits));
    spin_unlock_irqrestore(&target->process->siglock, flags);
    text_printf(text, "%-25s %-20s %-20s %-10s\n", "Limit", "Soft Limit", "Hard Limit", "Units");
    for (int i = 0; i < RLIM_NLIMITS; i++) {
        text_printf(text, "%-25s ", limit_names[i].name);
        limit_value(text, limits[i].rlim_cur);
        limit_value(text, limits[i].rlim_max);
        if (limit_names[i].unit != NULL) {
            text_printf(text, "%-10s\n", limit_names[i].unit);
        } else {
            text_putc(text, '\n');
        }
    }
    return 0;
}

/* No storage is there to be read or written: those bytes are none. A process' figures have those of its reaped children in them. */
static int io_show(struct text *text, const struct proc_target *target)
{
    struct usage usage;
    struct thread_io io;

    if (target->task) {
        thread_usage(target->thread, &usage);
        io = usage.io;
    } else {
        process_io(target->process, &io);
    }
    text_printf(
        text,
        "rchar: %llu\nwchar: %llu\nsyscr: %llu\nsyscw: %llu\nread_bytes: 0\nwrite_bytes: 0\n"
        "cancelled_write_bytes: 0\n",
        (unsigned long long)io.read_bytes, (unsigned long long)io.write_bytes,
        (unsigned long long)io.reads, (unsigned long long)io.writes);
    return 0;
}

static int personality_show(struct text *text, const struct proc_target *target)
{
    text_printf(text, "%08x\n", target->process->personality);
    return 0;
}

#define PID_FILE(name_, perm_, flags_)                                                             \
    PROC_PID_FILE(name_) = {                                                                       \
        .name = #name_, .mode = S_IFREG | (perm_), .flags = (flags_), .show = name_##_show}

PID_FILE(stat, 0444, PROC_PID_TASK);
PID_FILE(statm, 0444, PROC_PID_TASK);
PID_FILE(status, 0444, PROC_PID_TASK);
PID_FILE(limits, 0444, PROC_PID_TASK);
PID_FILE(io, 0400, PROC_PID_TASK | PROC_PID_ACCESS);
PID_FILE(personality, 0400, PROC_PID_TASK | PROC_PID_ACCESS);
PROC_PID_FILE(comm) = {.name = "comm",
                       .mode = S_IFREG | 0644,
                       .flags = PROC_PID_TASK,
                       .show = comm_show,
                       .write = comm_write};
