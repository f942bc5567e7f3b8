/*
 * Dispatch of system calls, the answer for those that do not exist, and the tracer.
 */
#include <asm/unistd_64.h>

#include "kernel/base/bitmap.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/linux/syscall.h"
#include "kernel/machine/entry.h"
#include "kernel/proc/ptrace.h"
#include "kernel/sched/pid.h"
#include "kernel/sched/thread.h"
#include "kernel/sync/lockdep.h"

#define SYSCALL_ENTRY(name, ...) syscall_fn sys_##name;
#include "kernel/linux/syscalls.def"
#undef SYSCALL_ENTRY

#define SYSCALL_COUNT 512

static syscall_fn *const syscall_table[SYSCALL_COUNT] = {
#define SYSCALL_ENTRY(name, ...) [__NR_##name] = sys_##name,
#include "kernel/linux/syscalls.def"
#undef SYSCALL_ENTRY
};

/* The kinds of arguments, for the tracer. */
#define ARGS_N_(_1, _2, _3, _4, _5, _6, n, ...) n
#define ARGS_1_(a)                              ARG_##a
#define ARGS_2_(a, ...)                         ARG_##a, ARGS_1_(__VA_ARGS__)
#define ARGS_3_(a, ...)                         ARG_##a, ARGS_2_(__VA_ARGS__)
#define ARGS_4_(a, ...)                         ARG_##a, ARGS_3_(__VA_ARGS__)
#define ARGS_5_(a, ...)                         ARG_##a, ARGS_4_(__VA_ARGS__)
#define ARGS_6_(a, ...)                         ARG_##a, ARGS_5_(__VA_ARGS__)
#define ARGS_(...)                                                                                 \
    ARGS_N_(__VA_ARGS__, ARGS_6_, ARGS_5_, ARGS_4_, ARGS_3_, ARGS_2_, ARGS_1_, 0)(__VA_ARGS__)

static const uint8_t syscall_arg_kinds[SYSCALL_COUNT][6] = {
#define SYSCALL_ENTRY(name, ...) [__NR_##name] = {ARGS_(__VA_ARGS__)},
#include "kernel/linux/syscalls.def"
#undef SYSCALL_ENTRY
};

static const char *syscall_name(uint64_t nr)
{
    return nr < syscall_names_count && syscall_names[nr] != NULL ? syscall_names[nr] : "?";
}

/* Each missing call is logged once. */
static int64_t syscall_missing(uint64_t nr)
{
    static uint64_t logged[BITMAP_WORDS(SYSCALL_COUNT)]; /* [a] */
    uint64_t slot = nr < SYSCALL_COUNT ? nr : SYSCALL_COUNT - 1;

    if ((__atomic_fetch_or(&logged[slot / 64], BIT(slot % 64), __ATOMIC_RELAXED) &
         BIT(slot % 64)) == 0) {
        log_notice("syscall: %s (%llu) is not here; asked for by %s", syscall_name(nr),
                   (unsigned long long)nr, current_thread()->comm);
    }
    return -ENOSYS;
}

/* ---- the tracer: linnet.trace=PID|COMM|all ---- */

static bool syscall_tracing __ro_after_init;
static const char *trace_filter __ro_after_init;
static uint64_t trace_pid __ro_after_init;

void syscall_trace_init(void)
{
    trace_filter = param_string("linnet.trace");
    syscall_tracing = trace_filter != NULL;
    if (syscall_tracing) {
        (void)atomic_fetch_add_relaxed(&syscall_watchers, 1);
    }
    if (syscall_tracing && str_to_u64(trace_filter, 10, &trace_pid) < 0) {
        trace_pid = UINT64_MAX;
    }
}

static bool trace_wanted(void)
{
    const struct thread *thread = current_thread();

    return strcmp(trace_filter, "all") == 0 || strcmp(trace_filter, thread->comm) == 0 ||
           (uint64_t)pid_nr(thread->pid) == trace_pid;
}

static int trace_arg(char *buf, size_t size, enum syscall_arg kind, uint64_t value)
{
    char text[48];

    switch (kind) {
    case ARG_INT:
    case ARG_FD:
    case ARG_SIG:
        return kscnprintf(
            buf, size, "%lld",
            (long long)(int64_t)(kind == ARG_INT ? value : (uint64_t)(int64_t)(int)value));
    case ARG_OCT:
        return kscnprintf(buf, size, "0%llo", (unsigned long long)value);
    case ARG_SIZE:
        return kscnprintf(buf, size, "%llu", (unsigned long long)value);
    case ARG_STR:
        if (strncpy_from_user(text, (const char __user *)value, sizeof(text)) >= 0) {
            return kscnprintf(buf, size, "\"%s\"", text);
        }
        return kscnprintf(buf, size, "0x%llx", (unsigned long long)value);
    default:
        return kscnprintf(buf, size, "0x%llx", (unsigned long long)value);
    }
}

static void trace_enter(uint64_t nr, const uint64_t args[6])
{
    char line[256];
    int len = 0;

    for (unsigned i = 0; i < 6 && nr < SYSCALL_COUNT && syscall_arg_kinds[nr][i] != ARG_NONE; i++) {
        len += kscnprintf(line + len, sizeof(line) - (size_t)len, i > 0 ? ", " : "");
        len += trace_arg(line + len, sizeof(line) - (size_t)len, syscall_arg_kinds[nr][i], args[i]);
    }
    line[len] = '\0';
    log_debug("trace: %s[%d] %s(%s)", current_thread()->comm, pid_nr(current_thread()->pid),
              syscall_name(nr), line);
}

static int64_t syscall_logged(uint64_t nr, syscall_fn *fn, const struct trapframe *frame)
{
    uint64_t args[6];
    bool logged = syscall_tracing && trace_wanted();

    for (unsigned i = 0; i < 6; i++) {
        args[i] = trapframe_arg(frame, i);
    }
    if (logged) {
        trace_enter(nr, args);
    }
    int64_t result =
        fn != NULL ? fn(args[0], args[1], args[2], args[3], args[4], args[5]) : syscall_missing(nr);
    if (logged) {
        log_debug("trace: %s[%d] %s = %lld", current_thread()->comm, pid_nr(current_thread()->pid),
                  syscall_name(nr), (long long)result);
    }
    return result;
}

/* Somebody looks on, or the call does not exist. A tracer may change the call, or the result of one that it keeps from being made. */
static __noinline void syscall_slow(struct trapframe *frame)
{
    if ((atomic_load_relaxed(&current_thread()->work) & THREAD_WORK_TRACE) != 0) {
        trapframe_set_result(frame, -ENOSYS);
        if (!ptrace_syscall_enter(frame)) {
            return;
        }
    }
    uint32_t nr = (uint32_t)trapframe_syscall_nr(frame);
    trapframe_set_result(frame,
                         syscall_logged(nr, nr < SYSCALL_COUNT ? syscall_table[nr] : NULL, frame));
}

void machine_syscall(struct trapframe *frame)
{
    uint32_t nr = (uint32_t)trapframe_syscall_nr(frame);
    syscall_fn *fn = likely(nr < SYSCALL_COUNT) ? syscall_table[nr] : NULL;

    if (unlikely(fn == NULL || atomic_load_relaxed(&syscall_watchers) != 0)) {
        syscall_slow(frame);
        lockdep_check_none_held("the end of a system call");
        return;
    }
    trapframe_set_result(frame, fn(trapframe_arg(frame, 0), trapframe_arg(frame, 1),
                                   trapframe_arg(frame, 2), trapframe_arg(frame, 3),
                                   trapframe_arg(frame, 4), trapframe_arg(frame, 5)));
    lockdep_check_none_held("the end of a system call");
}
