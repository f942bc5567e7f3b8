/*
 * Descriptor tables (Intel SDM volume 3, 3.4.5, 6.14, 8.2; volume 2, SYSCALL).
 *
 * Interrupt gates only: every entry begins with interrupts off. #BP and #OF may be raised by user code (DPL 3), nothing else.
 */
#include "hal/x86_64/desc.h"

#include "hal/x86_64/features.h"
#include "hal/x86_64/offsets.h"
#include "hal/x86_64/regs.h"
#include "hal/x86_64/trap.h"
#include "hal/x86_64/vdso/cpunode.h"
#include "kernel/mm/arena.h"
#include "kernel/sched/thread.h"

_Static_assert(offsetof(struct cpu, current) == CPU_CURRENT, "offsets.h");
_Static_assert(offsetof(struct cpu, preempt_count) == CPU_PREEMPT_COUNT, "offsets.h");
_Static_assert(offsetof(struct cpu, kernel_stack_top) == CPU_STACK_TOP, "offsets.h");
_Static_assert(offsetof(struct cpu, scratch) == CPU_SCRATCH, "offsets.h");
_Static_assert(offsetof(struct cpu, rcu_nesting) == CPU_RCU_NESTING, "arch/cpu.h");
_Static_assert(offsetof(struct cpu, rcu_idle) == CPU_RCU_IDLE && RCU_IDLE == 1, "entry.S");
_Static_assert(offsetof(struct cpu, softirq_pending) == CPU_SOFTIRQ_PENDING, "offsets.h");
_Static_assert(offsetof(struct cpu, idle) == CPU_IDLE, "offsets.h");
_Static_assert(offsetof(struct cpu, irq_since) == CPU_IRQ_SINCE, "offsets.h");
_Static_assert(offsetof(struct cpu, irq_cycles) == CPU_IRQ_CYCLES, "offsets.h");
_Static_assert(offsetof(struct cpu, softirq_cycles) == CPU_SOFTIRQ_CYCLES, "offsets.h");
_Static_assert(offsetof(struct cpu, irq_idle_cycles) == CPU_IRQ_IDLE_CYCLES, "offsets.h");
_Static_assert(offsetof(struct cpu, irq_frame) == CPU_IRQ_FRAME, "offsets.h");
_Static_assert(offsetof(struct thread, work) == THREAD_WORK, "offsets.h");
_Static_assert(offsetof(struct thread, arch.sp) == 0, "switch_stacks");
_Static_assert(offsetof(struct trapframe, rbp) == FRAME_RBP, "offsets.h");
_Static_assert(offsetof(struct trapframe, rbx) == FRAME_RBX, "offsets.h");
_Static_assert(offsetof(struct trapframe, r11) == FRAME_R11, "offsets.h");
_Static_assert(offsetof(struct trapframe, rax) == FRAME_RAX, "offsets.h");
_Static_assert(offsetof(struct trapframe, rcx) == FRAME_RCX, "offsets.h");
_Static_assert(offsetof(struct trapframe, rdi) == FRAME_RDI, "offsets.h");
_Static_assert(offsetof(struct trapframe, rip) == FRAME_RIP, "offsets.h");
_Static_assert(offsetof(struct trapframe, rsp) == FRAME_RSP, "offsets.h");
_Static_assert(sizeof(struct trapframe) == FRAME_SIZE, "offsets.h");
_Static_assert(USER_CS == FRAME_USER_CS && USER_SS == FRAME_USER_SS, "offsets.h");
_Static_assert(BOOT_STACK_BYTES == KSTACK_SIZE, "offsets.h");
_Static_assert(PREEMPT_HARDIRQ_ONE == 0x10000, "entry.S");
_Static_assert(WORK_BEFORE_USER == (THREAD_WORK_ALL & ~THREAD_WORK_TRACE), "offsets.h");

#define IST_NMI           1
#define IST_DOUBLE_FAULT  2
#define IST_MACHINE_CHECK 3
#define IST_DEBUG         4

#define GATE_INTERRUPT 0x8e /* present, DPL 0, 64-bit interrupt gate */
#define GATE_USER      0xee /* the same with DPL 3 */

struct idt_gate {
    uint16_t offset_low;
    uint16_t selector;
    uint8_t ist;
    uint8_t type;
    uint16_t offset_middle;
    uint32_t offset_high;
    uint32_t reserved;
};
_Static_assert(sizeof(struct idt_gate) == 16, "SDM volume 3, figure 6-8");

struct table_register {
    uint16_t limit;
    uint64_t base;
} __packed;

static struct idt_gate idt[256] __ro_after_init __aligned(16);

static void __init gate_set(unsigned vector, const void *handler, uint8_t type, uint8_t ist)
{
    uintptr_t addr = (uintptr_t)handler;

    idt[vector] = (struct idt_gate){.offset_low = (uint16_t)addr,
                                    .selector = KERNEL_CS,
                                    .ist = ist,
                                    .type = type,
                                    .offset_middle = (uint16_t)(addr >> 16),
                                    .offset_high = (uint32_t)(addr >> 32)};
}

void __init desc_init(void)
{
    for (unsigned i = 0; i < MACHINE_VECTOR_FIRST; i++) {
        gate_set(i, entry_exceptions + 16 * i, GATE_INTERRUPT, 0);
    }
    gate_set(1, entry_debug, GATE_INTERRUPT, IST_DEBUG);
    gate_set(2, entry_nmi, GATE_INTERRUPT, IST_NMI);
    gate_set(3, entry_exceptions + 16 * 3, GATE_USER, 0);
    gate_set(4, entry_exceptions + 16 * 4, GATE_USER, 0);
    gate_set(8, entry_double_fault, GATE_INTERRUPT, IST_DOUBLE_FAULT);
    gate_set(14, entry_page_fault, GATE_INTERRUPT, 0);
    gate_set(18, entry_machine_check, GATE_INTERRUPT, IST_MACHINE_CHECK);
    for (unsigned i = MACHINE_VECTOR_FIRST; i < MACHINE_NVECTORS; i++) {
        gate_set(i, entry_interrupts + 16 * (i - MACHINE_VECTOR_FIRST), GATE_INTERRUPT, 0);
    }
}

_Static_assert(GDT_ENTRIES * 8 <= 0x100, "selectors_read");

static void ist_set(struct x86_cpu *cpu, unsigned ist, struct ist_stack *stack)
{
    stack->cpu = &cpu->cpu;
    cpu->tss.ist[ist - 1] = (uintptr_t)&stack->cpu;
}

/* Read-only data, DPL 3, limit in bytes: the number of the CPU and of its node. */
static uint64_t cpunode_descriptor(uint32_t cpunode)
{
    return 0x0040f10000000000ull | (cpunode & 0xffff) | (uint64_t)(cpunode >> 16 & 0xf) << 48;
}

static void gdt_fill(struct x86_cpu *cpu)
{
    uint64_t tss = (uintptr_t)&cpu->tss;

    cpu->gdt[KERNEL_CS / 8] = 0x00af9b000000ffffull;
    cpu->gdt[KERNEL_SS / 8] = 0x00cf93000000ffffull;
    cpu->gdt[USER_SS / 8] = 0x00cff3000000ffffull;
    cpu->gdt[USER_CS / 8] = 0x00affb000000ffffull;
    cpu->gdt[TSS_SELECTOR / 8] = (sizeof(struct tss) - 1) | (tss & 0xffffff) << 16 | 0x89ull << 40 |
                                 (tss >> 24 & 0xff) << 56;
    cpu->gdt[TSS_SELECTOR / 8 + 1] = tss >> 32;
    cpu->gdt[CPUNODE_SELECTOR / 8] = cpunode_descriptor(cpu->cpu.id);
}

void desc_tell_node(struct x86_cpu *cpu, unsigned node)
{
    uint32_t cpunode = cpu->cpu.id | node << CPUNODE_NODE_SHIFT;

    cpu->gdt[CPUNODE_SELECTOR / 8] = cpunode_descriptor(cpunode);
    if (cpu_features.rdtscp || cpu_features.rdpid) {
        msr_write(MSR_TSC_AUX, cpunode);
    }
}

static void segments_load(struct x86_cpu *cpu)
{
    struct table_register gdtr = {sizeof(cpu->gdt) - 1, (uintptr_t)cpu->gdt};
    struct table_register idtr = {sizeof(idt) - 1, (uintptr_t)idt};

    __asm__ volatile("lgdt %0\n\t"
                     "pushq %2\n\t"
                     "leaq 1f(%%rip), %%rax\n\t"
                     "pushq %%rax\n\t"
                     "lretq\n"
                     "1:\n\t"
                     "movl %3, %%ss\n\t"
                     "movl %4, %%ds\n\t"
                     "movl %4, %%es\n\t"
                     "movl %4, %%fs\n\t"
                     "movl %4, %%gs\n\t"
                     "lidt %1\n\t"
                     "ltr %w5"
                     :
                     : "m"(gdtr), "m"(idtr), "i"(KERNEL_CS), "r"(KERNEL_SS), "r"(0),
                       "r"(TSS_SELECTOR)
                     : "rax", "memory");
}

void desc_init_cpu(struct x86_cpu *cpu)
{
    cpu->cpu.self = &cpu->cpu;
    ist_set(cpu, IST_NMI, &cpu->nmi_stack);
    ist_set(cpu, IST_DOUBLE_FAULT, &cpu->double_fault_stack);
    ist_set(cpu, IST_MACHINE_CHECK, &cpu->machine_check_stack);
    ist_set(cpu, IST_DEBUG, &cpu->debug_stack);
    cpu->tss.io_bitmap = sizeof(struct tss);
    gdt_fill(cpu);
    segments_load(cpu);
    msr_write(MSR_GS_BASE, (uintptr_t)&cpu->cpu);
    msr_write(MSR_KERNEL_GS_BASE, 0);
    msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_SCE);
    msr_write(MSR_STAR, (uint64_t)SYSRET_BASE << 48 | (uint64_t)KERNEL_CS << 32);
    msr_write(MSR_LSTAR, (uintptr_t)entry_syscall);
    msr_write(MSR_SYSENTER_CS, 0);
    /* Flags that SYSCALL clears: everything that could upset the entry: see entry.S. */
    msr_write(MSR_FMASK, RFLAGS_TF | RFLAGS_IF | RFLAGS_DF | RFLAGS_NT | RFLAGS_AC | RFLAGS_RF |
                             0x3000 | 0x8d5);
}

void cpu_watch_syscall(bool on)
{
    msr_write(MSR_LSTAR, on ? (uintptr_t)entry_syscall_watched : (uintptr_t)entry_syscall);
}
