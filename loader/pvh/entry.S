/*
 * PVH: the entry point of the ELF note, in 32-bit protected mode without paging (Xen public headers, "PVH direct boot ABI": ebx =
 * struct hvm_start_info, flat segments, interrupts off, no stack), and the last jump to the kernel.
 *
 * Everything here runs at the image's physical address. Nothing is relocated yet, so addresses are made from %ebp = pvh_entry.
 */
#define CR0_PE   0x00000001
#define CR0_MP   0x00000002
#define CR0_NE   0x00000020
#define CR0_WP   0x00010000
#define CR0_PG   0x80000000
#define CR4_PAE  0x00000020
#define CR4_LA57 0x00001000
#define MSR_EFER 0xc0000080
#define EFER_LME 0x00000100
#define EFER_NXE 0x00000800
#define MSR_PAT  0x00000277
#define CS64     0x08
#define DS       0x10
#define CS32     0x18
#define STACK_BYTES 16384

/* ELF note: name "Xen", type 18 (XEN_ELFNOTE_PHYS32_ENTRY). */
    .section .note.pvh, "a", @note
    .balign 4
    .long 4, 8, 18
    .asciz "Xen"
    .quad pvh_entry_phys

    .section .init.text, "ax", @progbits
    .code32
    .globl pvh_entry
    .type pvh_entry, @function
pvh_entry:
    cld
    cli
    movl $pvh_entry_phys, %ebp
    leal (pvh_stack + STACK_BYTES - pvh_entry)(%ebp), %esp

    /* Identity map of the first 4 GiB with 2 MiB pages: one top table, one below it, four below that. */
    leal (pvh_tables - pvh_entry)(%ebp), %edi
    leal (4096 + 3)(%edi), %eax
    movl %eax, (%edi)
    leal (8192 + 3)(%edi), %eax
    xorl %ecx, %ecx
1:  movl %eax, 4096(%edi,%ecx,8)
    addl $4096, %eax
    incl %ecx
    cmpl $4, %ecx
    jne 1b
    movl $0x83, %eax
    xorl %ecx, %ecx
2:  movl %eax, 8192(%edi,%ecx,8)
    addl $0x200000, %eax
    incl %ecx
    cmpl $2048, %ecx
    jne 2b

    /* The descriptor table's register image needs its physical address. */
    leal (pvh_gdt - pvh_entry)(%ebp), %eax
    movl %eax, (pvh_gdt_register + 2 - pvh_entry)(%ebp)
    lgdt (pvh_gdt_register - pvh_entry)(%ebp)

    movl %cr4, %eax
    orl $CR4_PAE, %eax
    movl %eax, %cr4
    movl %edi, %cr3
    movl %ebx, %esi
    movl $0x80000001, %eax
    cpuid
    movl $EFER_LME, %edi
    btl $20, %edx
    jnc 3f
    orl $EFER_NXE, %edi
3:  movl $MSR_EFER, %ecx
    rdmsr
    orl %edi, %eax
    wrmsr
    /* Page attributes: as after reset, but entry 4 write-combining (kernel/abi/boot.h). Linear with PAT of CPUID 1 EDX 16. */
    movl $1, %eax
    cpuid
    btl $16, %edx
    jnc 4f
    movl $MSR_PAT, %ecx
    movl $0x00070406, %eax
    movl $0x00070401, %edx
    wrmsr
4:  movl $(CR0_PG | CR0_WP | CR0_NE | CR0_MP | CR0_PE), %eax
    movl %eax, %cr0
    leal (5f - pvh_entry)(%ebp), %eax
    pushl $CS64
    pushl %eax
    lret

    .code64
5:  movl $DS, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    movl %esi, %edi
    xorl %ebp, %ebp
    call pvh_main
    ud2

/*
 * void pvh_jump(void): go to the kernel as pvh_jump_args (struct pvh_jump_args in pvh.c) says.
 *
 * Code, arguments and descriptors share one 512-byte block, hence one page: the one that the final tables map to itself.
 */
    .balign 512
    .globl pvh_jump
    .type pvh_jump, @function
pvh_jump:
    leaq pvh_jump_args(%rip), %rbp
    movq (%rbp), %rdi
    cmpq $0, 32(%rbp)
    je 7f
    /* The number of levels changes only with paging off, that is in 32-bit code; the page and the root lie below 4 GiB. */
    leaq 7f(%rip), %rax
    movl %eax, pvh_far_pointer(%rip)
    leaq 6f(%rip), %rax
    pushq $CS32
    pushq %rax
    lretq
    .code32
6:  movl %cr0, %eax
    andl $~CR0_PG, %eax
    movl %eax, %cr0
    movl %cr4, %eax
    orl $CR4_LA57, %eax
    movl %eax, %cr4
    movl %edi, %cr3
    movl %cr0, %eax
    orl $CR0_PG, %eax
    movl %eax, %cr0
    ljmpl *(pvh_far_pointer - pvh_jump_args)(%ebp)
    .code64
7:  movq pvh_jump_args(%rip), %rdi
    movq %rdi, %cr3
    movq pvh_jump_args + 16(%rip), %rdi
    movq pvh_jump_args + 24(%rip), %rsp
    xorl %ebp, %ebp
    jmpq *pvh_jump_args + 8(%rip)

    .balign 8
    .globl pvh_jump_args
pvh_jump_args:
    .skip 40
pvh_far_pointer:
    .long 0
    .word CS64
    .balign 8
pvh_gdt:
    .quad 0
    .quad 0x00af9b000000ffff /* CS64 */
    .quad 0x00cf93000000ffff /* DS */
    .quad 0x00cf9b000000ffff /* CS32 */
pvh_gdt_register:
    .word pvh_gdt_register - pvh_gdt - 1
    .quad 0
    .org pvh_jump + 512 /* an error when it does not fit */

    .section .init.bss, "aw", @nobits
    .balign 4096
pvh_tables:
    .skip 6 * 4096
pvh_stack:
    .skip STACK_BYTES
