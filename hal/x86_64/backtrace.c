/*
 * Backtraces by frame pointers, and the register dump of a panic.
 *
 * Every frame pointer read is inside the stack it came from, aligned and above the former one, so a corrupt chain ends the walk
 * and nothing more.
 */
#include "hal/x86_64/percpu.h"
#include "hal/x86_64/regs.h"
#include "kernel/base/printf.h"
#include "kernel/core/log.h"
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

/* From frame to frame, starting with the one at `fp`; `n` addresses are there already. */
static size_t walk(uintptr_t fp, const struct stack_range *range, uintptr_t *addrs, size_t n,
                   size_t max)
{
    while (n < max && range_holds(range, fp)) {
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
    return walk(fp, &range, addrs, n, max);
}

/* switch_stacks left r15 r14 r13 r12 rbp rbx and its return address at the saved stack pointer: rbp is the frame of who called it. */
size_t cpu_backtrace_thread(struct thread *thread, uintptr_t *addrs, size_t max)
{
    const struct stack_range range = {(uintptr_t)thread->stack,
                                      (uintptr_t)thread->stack + KSTACK_SIZE};
    uintptr_t saved = READ_ONCE(thread->arch.sp) + 4 * sizeof(uintptr_t);

    if (thread == current_thread()) {
        return cpu_backtrace(addrs, max, NULL);
    }
    return range_holds(&range, saved) ? walk(*(const uintptr_t *)saved, &range, addrs, 0, max) : 0;
}

/* The bytes around the instruction, for a disassembler; the one that faulted in brackets. */
static void dump_code(const struct trapframe *frame)
{
    char text[24 * 4 + 1];
    int len = 0;

    if (!kernel_text_contains(frame->rip - 8) || !kernel_text_contains(frame->rip + 15)) {
        return;
    }
    for (int i = -8; i < 16; i++) {
        len += kscnprintf(text + len, sizeof(text) - (size_t)len, i == 0 ? "[%02x] " : "%02x ",
                          ((const uint8_t *)frame->rip)[i]);
    }
    log_write(LOG_EMERG, "code %s", text);
}

void machine_dump_frame(const struct trapframe *frame)
{
    log_write(LOG_EMERG, "rip %016llx %pS", (unsigned long long)frame->rip, (void *)frame->rip);
    log_write(LOG_EMERG, "rsp %04llx:%016llx cs %04llx rflags %08llx error %llx",
              (unsigned long long)frame->ss, (unsigned long long)frame->rsp,
              (unsigned long long)frame->cs, (unsigned long long)frame->rflags,
              (unsigned long long)frame->orig_rax);
    const struct {
        const char *name;
        uint64_t value;
    } registers[] = {
        {"rax", frame->rax}, {"rbx", frame->rbx}, {"rcx", frame->rcx}, {"rdx", frame->rdx},
        {"rsi", frame->rsi}, {"rdi", frame->rdi}, {"rbp", frame->rbp}, {"r8 ", frame->r8},
        {"r9 ", frame->r9},  {"r10", frame->r10}, {"r11", frame->r11}, {"r12", frame->r12},
        {"r13", frame->r13}, {"r14", frame->r14}, {"r15", frame->r15}, {"cr2", cr2_read()},
        {"cr3", cr3_read()}, {"cr4", cr4_read()},
    };
    _Static_assert(ARRAY_SIZE(registers) % 3 == 0, "three to a line");
    for (size_t i = 0; i < ARRAY_SIZE(registers); i += 3) {
        log_write(LOG_EMERG, "%s %016llx  %s %016llx  %s %016llx", registers[i].name,
                  (unsigned long long)registers[i].value, registers[i + 1].name,
                  (unsigned long long)registers[i + 1].value, registers[i + 2].name,
                  (unsigned long long)registers[i + 2].value);
    }
    dump_code(frame);
}
