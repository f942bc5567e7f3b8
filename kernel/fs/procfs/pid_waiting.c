/*
 * /proc/PID/{wchan,stack,syscall} (proc(5)): what a thread waits for, as the function that put it to sleep, as the way that it came there, and
 * as the system call that it is in.
 *
 * A thread that runs, or could, has none of these, but for the reader itself: the others are looked at while they are kept off the CPUs, and only
 * their stack is read meanwhile.
 */
#include <asm/unistd.h>
#include <linux/capability.h>

#include "kernel/core/symbols.h"
#include "kernel/fs/procfs/procfs.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/entry.h"

#define STACK_DEPTH 64

struct waiting_stack {
    size_t n;
    uintptr_t addrs[STACK_DEPTH];
};

static bool look_at(struct thread *thread, void (*look)(struct thread *thread, void *arg),
                    void *arg)
{
    if (thread == current_thread()) {
        look(thread, arg);
        return true;
    }
    return thread_look_waiting(thread, look, arg);
}

/* Return addresses, without those of the scheduler, in which everybody waits. */
static void look_at_stack(struct thread *thread, void *arg)
{
    struct waiting_stack *stack = arg;
    size_t n = cpu_backtrace_thread(thread, stack->addrs, STACK_DEPTH), skip = 0;

    while (skip < n && kernel_text_is_sched(stack->addrs[skip])) {
        skip++;
    }
    stack->n = n - skip;
    for (size_t i = 0; i < stack->n; i++) {
        stack->addrs[i] = stack->addrs[skip + i];
    }
}

/* A return address stands behind its call, which may be the last instruction of its function. */
static const char *caller_name(uintptr_t addr, char *buf, size_t size, size_t *ret_offset,
                               size_t *ret_size)
{
    const char *name = symbol_find(addr - 1, buf, size, ret_offset, ret_size);

    *ret_offset += 1;
    return name;
}

static int wchan_show(struct text *text, const struct proc_target *target)
{
    struct waiting_stack stack = {0};
    char name[128];
    size_t offset = 0, size = 0;

    if (process_may_access(target->process)) {
        (void)thread_look_waiting(target->thread, look_at_stack, &stack);
    }
    if (stack.n > 0 && caller_name(stack.addrs[0], name, sizeof(name), &offset, &size) != NULL) {
        text_puts(text, name);
    } else {
        text_putc(text, '0');
    }
    return 0;
}

static int stack_show(struct text *text, const struct proc_target *target)
{
    struct waiting_stack stack = {0};
    char name[128];
    size_t offset = 0, size = 0;

    if (!current_has_cap(CAP_SYS_ADMIN)) {
        return -EACCES;
    }
    (void)look_at(target->thread, look_at_stack, &stack);
    for (size_t i = 0; i < stack.n; i++) {
        if (caller_name(stack.addrs[i], name, sizeof(name), &offset, &size) != NULL) {
            text_printf(text, "[<0>] %s+%#zx/%#zx\n", name, offset, size);
        }
    }
    return 0;
}

/* The registers that a thread came into the kernel with. */
struct waiting_call {
    bool user;
    uint64_t sp, pc;
    int nr; /* -1: it waits in an exception, or on its way back */
    uint64_t args[6];
};

static void look_at_call(struct thread *thread, void *arg)
{
    struct waiting_call *call = arg;

    call->user = thread->mmu != NULL;
    if (call->user) {
        const struct trapframe *frame = thread_trapframe(thread);
        call->nr = trapframe_syscall_nr(frame);
        call->sp = trapframe_sp(frame);
        call->pc = trapframe_pc(frame);
        for (unsigned i = 0; i < ARRAY_SIZE(call->args); i++) {
            call->args[i] = trapframe_arg(frame, i);
        }
    }
}

static int syscall_show(struct text *text, const struct proc_target *target)
{
    struct waiting_call call = {.nr = -1};

    if (!look_at(target->thread, look_at_call, &call)) {
        text_puts(text, "running\n");
        return 0;
    }
    text_printf(text, "%d", call.nr);
    for (unsigned i = 0; call.nr != -1 && i < ARRAY_SIZE(call.args); i++) {
        text_printf(text, " 0x%llx", (unsigned long long)call.args[i]);
    }
    text_printf(text, " 0x%llx 0x%llx\n", (unsigned long long)call.sp, (unsigned long long)call.pc);
    return 0;
}

#define PID_FILE(name_, perm_, flags_)                                                             \
    PROC_PID_FILE(name_) = {                                                                       \
        .name = #name_, .mode = S_IFREG | (perm_), .flags = (flags_), .show = name_##_show}

PID_FILE(wchan, 0444, PROC_PID_TASK);
PID_FILE(stack, 0400, PROC_PID_TASK | PROC_PID_ACCESS);
PID_FILE(syscall, 0400, PROC_PID_TASK | PROC_PID_ACCESS);
