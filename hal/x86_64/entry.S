/*
 * Ways into the kernel and out of it: boot, system call, exceptions, interrupts; and the switch between threads.
 *
 * All ways in from user mode build a struct trapframe at the very top of the thread's kernel stack, with every register. On the way
 * out C code has preserved the callee-saved ones (rbx rbp r12-r15) in place, so the common way out leaves them alone. Whoever changes
 * them in the frame (signal delivery and return, exec) also sets a work flag of the thread, which leads through the full restore.
 *
 * Stacks are aligned to 8 bytes here (compiler flag -mstack-alignment=8): a frame of 21 words ends on a 16-byte boundary.
 *
 * Frame invariant: cs and ss of a user frame are always USER_CS and USER_SS. Only trapframe_init_user and cpu_signal_return write them.
 *
 * GS: in user mode GS base is the user's and the hidden one this CPU's; SWAPGS at every entry from and return to user mode. NMI, #DF and
 * #MC may come between an entry and its SWAPGS: they have stacks of their own, which tell their CPU, and restore the base they found.
 */
#include "hal/x86_64/offsets.h"

#define MSR_GS_BASE 0xc0000101

    .text
    .section .text.entry, "ax", @progbits

/*
 * After the stubs have pushed orig_rax and rdi: known flags for C code, and the other registers. What was interrupted may have had user
 * memory open, or be a user program that sets AC: CLAC on CPUs with SMAP (user.c).
 */
    .macro PUSH_INTERRUPTED
    cld
771: .byte 0x0f, 0x1f, 0x00
    .pushsection .clac_sites, "a"
    .long 771b - .
    .popsection
    PUSH_REGISTERS
    .endm

    .macro PUSH_REGISTERS
    pushq %rsi
    pushq %rdx
    pushq %rcx
    pushq %rax
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    .endm

    /* With the latency tracer (kernel/machine/latency.h): all that a call may change is in the frame. */
    .macro LATENCY hook
#ifdef CONFIG_LATENCY
    call \hook
#endif
    .endm

    .macro POP_CALLEE_SAVED
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbp
    popq %rbx
    .endm

    .macro POP_CALLER_SAVED
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rax
    popq %rcx
    popq %rdx
    popq %rsi
    popq %rdi
    .endm

/* ---- boot: kernel/abi/boot.h says in what state; rdi = handoff ---- */
    .globl kernel_entry
    .type kernel_entry, @function
kernel_entry:
    leaq boot_stack_top(%rip), %rsp
    xorl %ebp, %ebp
    call x86_start
    ud2
    .size kernel_entry, . - kernel_entry

    .macro PUSH_SYSCALL
    swapgs
    movq %rsp, %gs:CPU_SCRATCH
    movq %gs:CPU_STACK_TOP, %rsp
    pushq $FRAME_USER_SS
    pushq %gs:CPU_SCRATCH
    pushq %r11
    pushq $FRAME_USER_CS
    pushq %rcx
    pushq %rax
    pushq %rdi
    PUSH_REGISTERS
    .endm

/* The same way in, when somebody on this CPU waits for it (cpu_watch_syscall). */
    .globl entry_syscall_watched
    .type entry_syscall_watched, @function
    .balign 64
entry_syscall_watched:
    PUSH_SYSCALL
    call machine_syscall_watched
    jmp syscall_entered
    .size entry_syscall_watched, . - entry_syscall_watched

/* ---- SYSCALL: rcx = return address, r11 = flags, interrupts off by FMASK, stack still the user's ---- */
    .globl entry_syscall
    .type entry_syscall, @function
    .balign 64
entry_syscall:
    PUSH_SYSCALL
syscall_entered:
    movq %rsp, %rdi
    sti
    call machine_syscall
    cli
    movq %gs:CPU_CURRENT, %rdx
    testl $WORK_BEFORE_USER, THREAD_WORK(%rdx)
    jnz syscall_work
    /*
     * SYSRET takes rip from rcx and flags from r11. It faults in kernel mode when rip is not canonical (Intel SDM volume 2, SYSRET;
     * CVE-2012-0217), and cannot restore RF or a trap flag properly: all odd cases leave by IRET.
     */
    movq FRAME_RCX(%rsp), %rcx
    cmpq FRAME_RIP(%rsp), %rcx
    jne syscall_iret
    movq FRAME_R11(%rsp), %r11
    cmpq FRAME_RFLAGS(%rsp), %r11
    jne syscall_iret
    testl $0x10100, %r11d
    jnz syscall_iret
    movq %rcx, %rax
771:
    shrq $47, %rax /* 56 with 5 levels of page tables: arch/user.h */
    .pushsection .user_shift_sites, "a"
    .long 771b + 3 - .
    .popsection
    jnz syscall_iret
    movq FRAME_R10(%rsp), %r10
    movq FRAME_R9(%rsp), %r9
    movq FRAME_R8(%rsp), %r8
    movq FRAME_RAX(%rsp), %rax
    movq FRAME_RDX(%rsp), %rdx
    movq FRAME_RSI(%rsp), %rsi
    movq FRAME_RDI(%rsp), %rdi
    movq FRAME_RSP(%rsp), %rsp
    swapgs
    sysretq

syscall_work:
    LATENCY latency_irqs_off
    movq %rsp, %rdi
    movl $1, %esi
    call x86_user_work
    LATENCY latency_irqs_on
syscall_iret:
    POP_CALLEE_SAVED
    jmp user_iret
    .size entry_syscall, . - entry_syscall

/* ---- common ways out; interrupts are off ---- */
    .globl entry_enter_user
    .type entry_enter_user, @function
/* void entry_enter_user(struct trapframe *frame): to user mode for the first time */
entry_enter_user:
    movq %rdi, %rsp
    xorl %ebp, %ebp
    jmp user_work

    .type exception_return, @function
exception_return:
    cli
    testb $3, FRAME_CS(%rsp)
    jz kernel_restore
    .type user_return, @function
user_return:
    movq %gs:CPU_CURRENT, %rdx
    testl $WORK_BEFORE_USER, THREAD_WORK(%rdx)
    jnz user_work
    LATENCY latency_irqs_on
    addq $FRAME_R11, %rsp
user_iret:
    POP_CALLER_SAVED
    addq $8, %rsp
    swapgs
    .globl entry_user_iret
entry_user_iret:
    iretq

user_work:
    LATENCY latency_irqs_off
    movq %rsp, %rdi
    xorl %esi, %esi
    call x86_user_work
    LATENCY latency_irqs_on
    POP_CALLEE_SAVED
    jmp user_iret

kernel_restore:
    POP_CALLEE_SAVED
    POP_CALLER_SAVED
    addq $8, %rsp
    iretq

/* ---- exceptions ---- */

/* #PF has its own way, because it is the one that is hot. */
    .balign 64
    .globl entry_page_fault
    .type entry_page_fault, @function
entry_page_fault:
    pushq %rdi
    testb $3, 24(%rsp)
    jz 1f
    swapgs
1:  PUSH_INTERRUPTED
    movq %rsp, %rdi
    call x86_page_fault
    jmp exception_return
    .size entry_page_fault, . - entry_page_fault

    .macro EXCEPTION vector, has_error
    .balign 16
    .if \has_error == 0
    pushq $0
    .endif
    pushq %rdi
    movl $\vector, %edi
    jmp exception_common
    .endm

/* Vectors 0 to 31, 16 bytes each; those that push an error code: 8, 10-14, 17, 21, 29, 30 (SDM volume 3, table 6-1; APM volume 2, 8.2). */
    .balign 16
    .globl entry_exceptions
    .type entry_exceptions, @function
entry_exceptions:
    .altmacro
    .set vector, 0
    .rept 32
    .if (vector == 8) || ((vector >= 10) && (vector <= 14)) || (vector == 17) || (vector == 21) || (vector == 29) || (vector == 30)
    EXCEPTION %vector, 1
    .else
    EXCEPTION %vector, 0
    .endif
    .set vector, vector + 1
    .endr
    .balign 16
    .size entry_exceptions, . - entry_exceptions

    .type exception_common, @function
exception_common:
    testb $3, 24(%rsp)
    jz 2f
    swapgs
exception_from_user:
1:  PUSH_INTERRUPTED
    movl %edi, %esi
    movq %rsp, %rdi
    call x86_exception
    jmp exception_return
2:  /* The IRET to user mode itself may fault, after its SWAPGS. */
    pushq %rax
    leaq entry_user_iret(%rip), %rax
    cmpq %rax, 24(%rsp)
    popq %rax
    jne 1b
    swapgs
    PUSH_INTERRUPTED
    movl %edi, %esi
    movq %rsp, %rdi
    call x86_iret_fault
    movq %rax, %rsp
    jmp user_work
    .size exception_common, . - exception_common

/*
 * #DB arrives on a stack of its own too: behind MOV SS it may strike at the first instruction of entry_syscall, on the user's stack and GS
 * base. From user mode it moves to the thread's stack and is an exception like any other.
 */
    .globl entry_debug
    .type entry_debug, @function
entry_debug:
    pushq $0
    pushq %rdi
    testb $3, 24(%rsp)
    jz 1f
    swapgs
    movq %rsp, %rdi
    movq %gs:CPU_STACK_TOP, %rsp
    pushq 48(%rdi)
    pushq 40(%rdi)
    pushq 32(%rdi)
    pushq 24(%rdi)
    pushq 16(%rdi)
    pushq 8(%rdi)
    pushq (%rdi)
    movl $1, %edi
    jmp exception_from_user
1:  movl $1, %edi
    jmp paranoid_common
    .size entry_debug, . - entry_debug

/* NMI, #DF, #MC: on stacks of their own, whatever GS is. */
    .macro PARANOID name, vector, has_error
    .globl \name
    .type \name, @function
\name:
    .if \has_error == 0
    pushq $0
    .endif
    pushq %rdi
    movl $\vector, %edi
    jmp paranoid_common
    .size \name, . - \name
    .endm
    PARANOID entry_nmi, 2, 0
    PARANOID entry_double_fault, 8, 1
    PARANOID entry_machine_check, 18, 0

    .type paranoid_common, @function
paranoid_common:
    PUSH_INTERRUPTED
    movl %edi, %ebx
    movl $MSR_GS_BASE, %ecx
    rdmsr
    movl %eax, %r12d
    movl %edx, %r13d
    movq FRAME_SIZE(%rsp), %rax /* struct ist_stack: the CPU */
    movq %rax, %rdx
    shrq $32, %rdx
    wrmsr
    movq %rsp, %rdi
    movl %ebx, %esi
    call x86_paranoid
    movl $MSR_GS_BASE, %ecx
    movl %r12d, %eax
    movl %r13d, %edx
    wrmsr
    jmp kernel_restore
    .size paranoid_common, . - paranoid_common

/* ---- interrupts: vectors 32 to 255, 16 bytes each ---- */
    .macro INTERRUPT vector
    .balign 16
    pushq $-1
    pushq %rdi
    movl $\vector, %edi
    jmp interrupt_common
    .endm

    .balign 16
    .globl entry_interrupts
    .type entry_interrupts, @function
entry_interrupts:
    .set vector, 32
    .rept 224
    INTERRUPT %vector
    .set vector, vector + 1
    .endr
    .noaltmacro
    .balign 16
    .size entry_interrupts, . - entry_interrupts

/* rax: cpu_cycles() */
    .macro READ_CYCLES
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    .endm

/* From CPU_IRQ_SINCE up to rax the CPU has done this (kernel/machine/percpu.h). Changes rcx, rdx. */
    .macro CHARGE_CYCLES sum
    movq %rax, %rdx
    subq %gs:CPU_IRQ_SINCE, %rdx
    addq %rdx, %gs:\sum
    movq %gs:CPU_IDLE, %rcx
    cmpq %rcx, %gs:CPU_CURRENT
    jne 91f
    addq %rdx, %gs:CPU_IRQ_IDLE_CYCLES
91: movq %rax, %gs:CPU_IRQ_SINCE
    .endm

    .type interrupt_common, @function
interrupt_common:
    testb $3, 24(%rsp)
    jz 1f
    swapgs
1:  PUSH_INTERRUPTED
    addl $0x10000, %gs:CPU_PREEMPT_COUNT /* PREEMPT_HARDIRQ_ONE */
    READ_CYCLES
    movq %rsp, %gs:CPU_IRQ_FRAME
    testl $0x100, %gs:CPU_PREEMPT_COUNT /* PREEMPT_SOFTIRQ */
    jnz 5f
    movq %rax, %gs:CPU_IRQ_SINCE
6:
#ifdef CONFIG_LATENCY
    pushq %rdi
    call latency_interrupt_enter
    popq %rdi
#endif
    movl %edi, %esi
    movq %rsp, %rdi
    leaq x86_vector_handlers(%rip), %rax
    testb $1, %gs:CPU_RCU_IDLE
    jnz 3f
2:  call *(%rax,%rsi,8)
    READ_CYCLES
    CHARGE_CYCLES CPU_IRQ_CYCLES
    subl $0x10000, %gs:CPU_PREEMPT_COUNT
    LATENCY latency_interrupt_exit
    cmpl $0, %gs:CPU_SOFTIRQ_PENDING
    jne 4f
interrupt_done:
    testb $3, FRAME_CS(%rsp)
    jnz user_return
    /* Back to the kernel: 0 says preemptible and a reschedule wanted; not where it had interrupts off. */
    cmpl $0, %gs:CPU_PREEMPT_COUNT
    jne interrupt_return
    testl $0x200, FRAME_RFLAGS(%rsp)
    jz kernel_restore
    call preempt_schedule_irq
interrupt_return:
    LATENCY latency_irqs_on
    jmp kernel_restore
3:  lock incl %gs:CPU_RCU_IDLE /* rcu_irq_enter(): the CPU is idle no more */
    pushq %rsi
    pushq %rdi
    call tlb_idle_end /* what it missed of the kernel's half, before anything is done there */
    popq %rdi
    popq %rsi
    leaq x86_vector_handlers(%rip), %rax
    jmp 2b
4:  testl $0x200, FRAME_RFLAGS(%rsp)
    jz interrupt_done
    call machine_softirqs
    jmp interrupt_done
5:  CHARGE_CYCLES CPU_SOFTIRQ_CYCLES
    jmp 6b
    .size interrupt_common, . - interrupt_common

/* ---- threads ---- */

/* struct thread *switch_stacks(struct thread *prev, struct thread *next): arch_thread.sp is the first member of both. POP_CALLEE_SAVED's order, backwards */
    .globl switch_stacks
    .type switch_stacks, @function
    .balign 16
switch_stacks:
    pushq %rbx
    pushq %rbp
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq (%rsi), %rsp
    movq %rdi, %rax
    POP_CALLEE_SAVED
    ret
    .size switch_stacks, . - switch_stacks

/* Where the first switch to a thread returns to (thread.c): rbx = function, r12 = its argument. */
    .globl thread_first_kernel
    .type thread_first_kernel, @function
thread_first_kernel:
    movq %r12, %rdi
    call *%rbx
    ud2
    .size thread_first_kernel, . - thread_first_kernel

/* The same for a user thread: its frame lies right above. */
    .globl thread_first_user
    .type thread_first_user, @function
thread_first_user:
    call machine_thread_started
    cli
    jmp user_work
    .size thread_first_user, . - thread_first_user

    .bss
    .balign BOOT_STACK_BYTES /* so that its shadow does not straddle pages */
    .globl boot_stack
boot_stack:
    .skip BOOT_STACK_BYTES
boot_stack_top:
    .section .note.GNU-stack, "", @progbits
