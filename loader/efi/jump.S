/*
 * From the firmware's address space to the kernel's.
 *
 * void jump(const struct jump_args *args)   Microsoft convention: args in %rcx. See cpu.h.
 *
 * Runs from a copy in one page below 4 GiB that the firmware's tables and the kernel's both map at
 * its physical address. Changing the number of paging levels is possible only with paging off
 * (Intel SDM 3A 4.1.1), hence in 32-bit mode: that road has its own little descriptor table and
 * stack, at the end of this code.
 *
 * Registers, on both roads:
 *     %rax CR3   %rbx stack   %rdi handoff   %rbp entry   %rsi new CR4
 *     %rdx where code64 is, on the long road
 */
#define ARG_CR3     0
#define ARG_STACK   8
#define ARG_ENTRY   16
#define ARG_HANDOFF 24
#define ARG_LA57    32

#define CR0_WP     (1 << 16)
#define CR0_PG     (1 << 31)
#define CR4_PGE    (1 << 7)
#define CR4_LA57   (1 << 12)
#define CR4_PCIDE  (1 << 17)
#define CR4_CET    (1 << 23)

#define SEL_CODE64 0x08
#define SEL_CODE32 0x10
#define SEL_DATA   0x18

    .text
    .globl jump_start
    .globl jump_end
    .balign 16
jump_start:
    cli
    cld
    movq ARG_CR3(%rcx), %rax
    movq ARG_STACK(%rcx), %rbx
    movq ARG_ENTRY(%rcx), %rbp
    movq ARG_HANDOFF(%rcx), %rdi
    movq ARG_LA57(%rcx), %rdx

    /*
     * No global translation may outlive the switch, and no feature that the kernel has not asked
     * for.
     */
    movq %cr4, %rsi
    andq $~(CR4_PGE | CR4_PCIDE | CR4_CET), %rsi
    movq %rsi, %cr4

    /* The levels as they are now? */
    shlq $12, %rdx
    movq %rsi, %rcx
    andl $CR4_LA57, %ecx
    cmpq %rcx, %rdx
    je same_levels
    xorq $CR4_LA57, %rsi

    movq %rbx, saved_stack(%rip)
    movq %rbp, saved_entry(%rip)
    movq %rdi, saved_handoff(%rip)
    leaq gdt(%rip), %rcx
    movq %rcx, gdt_base(%rip)
    lgdt gdt_pointer(%rip)
    leaq code64(%rip), %rcx
    leaq far_code64(%rip), %rdx
    movl %ecx, (%rdx)
    leaq small_stack_top(%rip), %rsp
    leaq code32(%rip), %rcx
    pushq $SEL_CODE32
    pushq %rcx
    lretq

    .code32
code32:
    movl $SEL_DATA, %ecx
    movl %ecx, %ds
    movl %ecx, %es
    movl %ecx, %ss
    movl %cr0, %ecx
    andl $~CR0_PG, %ecx
    movl %ecx, %cr0         /* leaves long mode: EFER.LMA falls with PG, LME stays */
    movl %esi, %cr4
    movl %eax, %cr3         /* the tables' root lies below 4 GiB */
    orl $CR0_PG, %ecx
    movl %ecx, %cr0         /* long mode again, still in a 32-bit segment */
    ljmpl *(%edx)           /* this page is read-only now: push nothing */

    .code64
code64:
    /*
     * The upper halves of %rbx, %rbp and %rdi are undefined after 32-bit mode (SDM 1, 3.4.1.1):
     * load them again.
     */
    movq saved_stack(%rip), %rbx
    movq saved_entry(%rip), %rbp
    movq saved_handoff(%rip), %rdi
    jmp enter

same_levels:
    movq %rax, %cr3

enter:
    movq %cr0, %rax
    orq $CR0_WP, %rax
    movq %rax, %cr0
    movq %rbx, %rsp
    movq %rbp, %rax
    xorl %ebp, %ebp         /* ends every backtrace */
    pushq $0                /* no return address: keeps the stack as after a call */
    jmpq *%rax

    .balign 16
gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* 64-bit code */
    .quad 0x00cf9b000000ffff /* 32-bit code */
    .quad 0x00cf93000000ffff /* data */
gdt_pointer:
    .word 4 * 8 - 1
gdt_base:
    .quad 0
    .balign 8
far_code64:
    .long 0
    .word SEL_CODE64
    .balign 8
saved_stack:
    .quad 0
saved_entry:
    .quad 0
saved_handoff:
    .quad 0
    .skip 64
small_stack_top:
jump_end:
