/*
 * The way of a processor from its start-up message to the kernel: real mode, protected mode, long mode (Intel SDM volume 3, 8.4, 9.8.5).
 *
 * Everything from trampoline to trampoline_end is copied to one page below 1 MiB (ap.c), which fills in what is marked so. All processors
 * may be on their way at once: nothing here is written, and there is no stack before ap_entry has found the processor's own.
 * The page is mapped to itself by the page tables that ap.c makes for this purpose.
 */
#include "hal/x86_64/ap.h"

#define CR0_PE      0x00000001
#define CR0_MP      0x00000002
#define CR0_NE      0x00000020
#define CR0_WP      0x00010000
#define CR0_PG      0x80000000
#define MSR_EFER    0xc0000080
#define MSR_GS_BASE 0xc0000101
#define CS32        0x08
#define DS          0x10
#define CS64        0x18

#define AT(symbol) (symbol - trampoline)

    .section .rodata.trampoline, "a", @progbits
    .balign 16
    .globl trampoline
trampoline:
    .code16
    cli
    cld
    movw %cs, %ax
    movw %ax, %ds
    xorl %ebx, %ebx
    movw %ax, %bx
    shll $4, %ebx /* physical address of this page, from here on */
    lgdtl AT(trampoline_gdt_register)
    movl $(CR0_PE | CR0_NE | CR0_MP), %eax
    movl %eax, %cr0
    ljmpl *AT(trampoline_far32)

    .code32
trampoline_32:
    movl $DS, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
trampoline_paging:
    movl AT(trampoline_cr4)(%ebx), %eax
    movl %eax, %cr4
    movl AT(trampoline_cr3)(%ebx), %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    movl AT(trampoline_efer)(%ebx), %eax
    xorl %edx, %edx
    wrmsr
    movl $(CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_PE), %eax
    movl %eax, %cr0
    ljmpl *AT(trampoline_far64)(%ebx)

    .code64
trampoline_64:
    movq trampoline_entry(%rip), %rax
    jmpq *%rax

/*
 * From the mailbox (ACPI 6.5, 5.2.12.19): long mode, on page tables of the firmware's that map this page to itself, interrupts off. Back to
 * where the number of levels can be chosen.
 */
    .globl trampoline_mailbox
trampoline_mailbox:
    cli
    cld
    leaq trampoline(%rip), %rbx
    lgdt trampoline_gdt_register(%rip)
    ljmpl *trampoline_far_off(%rip)
    .code32
trampoline_off:
    movl $DS, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    movl $(CR0_PE | CR0_NE | CR0_MP), %eax
    movl %eax, %cr0
    jmp trampoline_paging
    .code64

    .balign 8
trampoline_gdt:
    .quad 0
    .quad 0x00cf9b000000ffff /* CS32; the accessed bits are set, so that no processor writes here */
    .quad 0x00cf93000000ffff /* DS */
    .quad 0x00af9b000000ffff /* CS64 */
    .word 0
    .globl trampoline_gdt_register, trampoline_far32, trampoline_far64, trampoline_far_off
trampoline_gdt_register:
    .word trampoline_gdt_register - trampoline_gdt - 3
    .long AT(trampoline_gdt) /* filled in: + the page */
    .long 0
trampoline_far32:
    .long AT(trampoline_32) /* filled in: + the page */
    .word CS32
trampoline_far64:
    .long AT(trampoline_64) /* filled in: + the page */
    .word CS64
trampoline_far_off:
    .long AT(trampoline_off) /* filled in: + the page */
    .word CS32
    .balign 8
    .globl trampoline_cr3, trampoline_cr4, trampoline_efer, trampoline_entry
trampoline_cr3:
    .long 0 /* filled in */
trampoline_cr4:
    .long 0 /* filled in */
trampoline_efer:
    .quad 0 /* filled in */
trampoline_entry:
    .quad 0 /* filled in: ap_entry */
    .globl trampoline_end
trampoline_end:

/*
 * In the kernel's own addresses. Which processor is this? The table ap_slots (struct ap_slot) says by APIC id: CPUID's leaf 0BH, or leaf 1
 * where there is none (SDM volume 2, CPUID). One that is not, or no longer, waited for stops.
 */
    .text
    .globl ap_entry
    .type ap_entry, @function
ap_entry:
    xorl %eax, %eax
    cpuid
    cmpl $0xb, %eax
    jb 1f
    movl $0xb, %eax
    xorl %ecx, %ecx
    cpuid
    testl %ebx, %ebx
    jz 1f
    movl %edx, %r8d
    jmp 2f
1:  movl $1, %eax
    cpuid
    shrl $24, %ebx
    movl %ebx, %r8d
2:  leaq ap_slots(%rip), %rdi
    movl ap_nslots(%rip), %ecx
3:  testl %ecx, %ecx
    jz 4f
    cmpl %r8d, AP_SLOT_APIC_ID(%rdi)
    je 5f
    addq $AP_SLOT_BYTES, %rdi
    decl %ecx
    jmp 3b
4:  cli
    hlt
    jmp 4b
5:  movl $AP_CALLED, %eax
    movl $AP_ARRIVED, %edx
    lock cmpxchgl %edx, AP_SLOT_STATE(%rdi)
    jne 4b
    movq AP_SLOT_STACK(%rdi), %rsp
    movq AP_SLOT_CPU(%rdi), %rdi
    movl $MSR_GS_BASE, %ecx
    movl %edi, %eax
    movq %rdi, %rdx
    shrq $32, %rdx
    wrmsr
    xorl %ebp, %ebp
    call x86_start_cpu
    ud2
    .size ap_entry, . - ap_entry
    .section .note.GNU-stack, "", @progbits
