/*
 * Backtraces by frame pointers, and the register dump of a panic.
 *
 * Every frame pointer read is inside the stack it came from, aligned and above the former one, so a corrupt chain ends the walk
 * and nothing more.
 */
#include "hal/x86_64/percpu.h"
#include "hal/x86_64/regs.h"
#include "kernel/core/symbols.h"
#include "kernel/machine/entry.h"
#include "kernel/mm/arena.h"
#include "kernel/sched/thread.h"

struct stack_range {
    uintptr_t low, high;
};

static bool range_holds(const struct stack_range *range, uintptr_t addr)
{
    return addr >= range->low && addr <= range->high - 16 && (addr & 7) == 0;
}

/* The stack that `addr` lies in: the current thread's or one of this CPU's exception stacks. */
static bool stack_of(uintptr_t addr, struct stack_range *ret_range)
{
    struct x86_cpu *cpu = (struct x86_cpu *)cpu_self();
    const struct thread *thread = current_thread();
    const struct stack_range ranges[] = {
        {(uintptr_t)thread->stack, (uintptr_t)thread->stack + KSTACK_SIZE},
        {(uintptr_t)&cpu->nmi_stack, (uintptr_t)(&cpu->nmi_stack + 1)},
        {(uintptr_t)&cpu->double_fault_stack, (uintptr_t)(&cpu->double_fault_stack + 1)},
        {(uintptr_t)&cpu->machine_check_stack, (uintptr_t)(&cpu->machine_check_stack + 1)},
    };

    for (size_t i = 0; i < ARRAY_SIZE(ranges); i++) {
        if (range_holds(&ranges[i], addr)) {
            *ret_range = ranges[i];
            return true;
        }
    }
    return false;
}

size_t cpu_backtrace(uintptr_t *addrs, size_t max, const struct trapframe *from)
{
    uintptr_t fp = (uintptr_t)__builtin_frame_address(0);
    struct stack_range range;
    size_t n = 0;

    if (from != NULL) {
        if (n < max) {
            addrs[n++] = from->rip;
        }
        fp = from->rbp;
        if (trapframe_from_user(from)) {
            return n;
        }
    }
    if (!stack_of(fp, &range)) {
        return n;
    }
    while (n < max && range_holds(&range, fp)) {
        const uintptr_t *words = (const uintptr_t *)fp;

        if (!kernel_text_contains(words[1])) {
            break;
        }
        addrs[n++] = words[1];
        if (words[0] <= fp) {
            break;
        }
        fp = words[0];
    }
    return n;
}
