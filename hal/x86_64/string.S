/*
 * memcpy, memmove, memset, and whole pages, for a kernel that may not touch vector registers.
 *
 * Up to 64 bytes go through registers as overlapping pieces from both ends, without a loop; more by "rep movsq" and "rep stosq" with
 * an overlapping last word. Never "movsb": only CPUs with ERMSB do it faster than words, and those do words as fast.
 */
#include "hal/x86_64/offsets.h"

#ifdef CONFIG_KASAN
/* The names without prefix are functions that check the memory first: kernel/debug/kasan/string.c. */
#define memcpy     raw_memcpy
#define memmove    raw_memmove
#define memset     raw_memset
#define page_clear raw_page_clear
#define page_copy  raw_page_copy
#endif

    .macro FUNCTION name
    .section .text.\name, "ax", @progbits
    .globl \name
    .type \name, @function
    .balign 16
\name:
    .endm

/* void *memcpy(void *dst, const void *src, size_t n) */
    FUNCTION memcpy
    movq %rdi, %rax
    cmpq $16, %rdx
    jb memcpy_below_16
    cmpq $64, %rdx
    ja memcpy_words
    movq (%rsi), %r8
    movq 8(%rsi), %r9
    cmpl $32, %edx
    ja 1f
    movq -16(%rsi,%rdx), %r10
    movq -8(%rsi,%rdx), %r11
    movq %r8, (%rdi)
    movq %r9, 8(%rdi)
    movq %r10, -16(%rdi,%rdx)
    movq %r11, -8(%rdi,%rdx)
    ret
1:  movq 16(%rsi), %r10
    movq 24(%rsi), %r11
    movq %r8, (%rdi)
    movq %r9, 8(%rdi)
    movq %r10, 16(%rdi)
    movq %r11, 24(%rdi)
    movq -32(%rsi,%rdx), %r8
    movq -24(%rsi,%rdx), %r9
    movq -16(%rsi,%rdx), %r10
    movq -8(%rsi,%rdx), %r11
    movq %r8, -32(%rdi,%rdx)
    movq %r9, -24(%rdi,%rdx)
    movq %r10, -16(%rdi,%rdx)
    movq %r11, -8(%rdi,%rdx)
    ret
memcpy_words:
    movq -8(%rsi,%rdx), %r8
    leaq -8(%rdi,%rdx), %r9
    leaq -1(%rdx), %rcx
    shrq $3, %rcx
    rep movsq
    movq %r8, (%r9)
    ret
memcpy_below_16:
    cmpl $8, %edx
    jb 2f
    movq (%rsi), %r8
    movq -8(%rsi,%rdx), %r9
    movq %r8, (%rdi)
    movq %r9, -8(%rdi,%rdx)
    ret
2:  cmpl $4, %edx
    jb 3f
    movl (%rsi), %r8d
    movl -4(%rsi,%rdx), %r9d
    movl %r8d, (%rdi)
    movl %r9d, -4(%rdi,%rdx)
    ret
3:  /* 0 to 3: first, middle and last byte */
    subl $1, %edx
    jb 4f
    movzbl (%rsi), %r8d
    movzbl (%rsi,%rdx), %r9d
    movl %edx, %ecx
    shrl $1, %ecx
    movzbl (%rsi,%rcx), %r10d
    movb %r8b, (%rdi)
    movb %r10b, (%rdi,%rcx)
    movb %r9b, (%rdi,%rdx)
4:  ret
    .size memcpy, . - memcpy

/* void *memmove(void *dst, const void *src, size_t n) */
    FUNCTION memmove
    movq %rdi, %rax
    cmpq $16, %rdx
    jb memcpy_below_16 /* it reads everything before it writes anything */
    cmpq $32, %rdx
    ja 3f
    movq (%rsi), %r8
    movq 8(%rsi), %r9
    movq -16(%rsi,%rdx), %r10
    movq -8(%rsi,%rdx), %r11
    movq %r8, (%rdi)
    movq %r9, 8(%rdi)
    movq %r10, -16(%rdi,%rdx)
    movq %r11, -8(%rdi,%rdx)
    ret
3:  movq %rdi, %rcx
    subq %rsi, %rcx
    cmpq %rdx, %rcx
    jb 1f
    /* Forward is right: dst lies below src or beyond its end. The last word is read first, before the loop may overwrite it. */
    movq -8(%rsi,%rdx), %r8
    leaq -8(%rdi,%rdx), %r9
    leaq -1(%rdx), %rcx
    shrq $3, %rcx
    rep movsq
    movq %r8, (%r9)
    ret
1:  /* Backward, 32 bytes at a time from the end; the first 32 are kept for last. */
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    movq (%rsi), %rbx
    movq 8(%rsi), %r12
    movq 16(%rsi), %r13
    movq 24(%rsi), %r14
2:  movq -8(%rsi,%rdx), %r8
    movq -16(%rsi,%rdx), %r9
    movq -24(%rsi,%rdx), %r10
    movq -32(%rsi,%rdx), %r11
    movq %r8, -8(%rdi,%rdx)
    movq %r9, -16(%rdi,%rdx)
    movq %r10, -24(%rdi,%rdx)
    movq %r11, -32(%rdi,%rdx)
    subq $32, %rdx
    cmpq $32, %rdx
    ja 2b
    movq %rbx, (%rdi)
    movq %r12, 8(%rdi)
    movq %r13, 16(%rdi)
    movq %r14, 24(%rdi)
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    ret
    .size memmove, . - memmove

/* void *memset(void *dst, int c, size_t n) */
    FUNCTION memset
    movq %rdi, %r9
    movzbl %sil, %eax
    movabsq $0x0101010101010101, %rcx
    imulq %rcx, %rax
    cmpq $16, %rdx
    jb 2f
    cmpq $64, %rdx
    ja 1f
    movq %rax, (%rdi)
    movq %rax, 8(%rdi)
    movq %rax, -16(%rdi,%rdx)
    movq %rax, -8(%rdi,%rdx)
    cmpl $32, %edx
    jbe 4f
    movq %rax, 16(%rdi)
    movq %rax, 24(%rdi)
    movq %rax, -32(%rdi,%rdx)
    movq %rax, -24(%rdi,%rdx)
    movq %r9, %rax
    ret
1:  movq %rax, -8(%rdi,%rdx)
    leaq -1(%rdx), %rcx
    shrq $3, %rcx
    rep stosq
    movq %r9, %rax
    ret
2:  cmpl $8, %edx
    jb 3f
    movq %rax, (%rdi)
    movq %rax, -8(%rdi,%rdx)
    movq %r9, %rax
    ret
3:  cmpl $4, %edx
    jb 5f
    movl %eax, (%rdi)
    movl %eax, -4(%rdi,%rdx)
4:  movq %r9, %rax
    ret
5:  subl $1, %edx
    jb 4b
    movb %al, (%rdi)
    movb %al, (%rdi,%rdx)
    shrl $1, %edx
    movb %al, (%rdi,%rdx)
    movq %r9, %rax
    ret
    .size memset, . - memset

/*
 * void page_clear(void *page)
 *
 * CPUs with ERMSB are told to store words and do it by cache lines. For the others 16-byte stores are half the work: the one piece of kernel
 * code that uses a vector register. It puts the register back, so whoever owns the FPU state notices nothing; preemption is off
 * meanwhile, because a switch would save the state in between.
 */
    FUNCTION page_clear
    cmpb $0, page_clear_by_sse(%rip)
    jne 1f
    xorl %eax, %eax
    movl $512, %ecx
    rep stosq
    ret
1:  incl %gs:CPU_PREEMPT_COUNT
    subq $16, %rsp
    movups %xmm0, (%rsp)
    xorps %xmm0, %xmm0
2:  .set at, 0
    .rept 32
    movaps %xmm0, at(%rdi)
    .set at, at + 16
    .endr
    addq $512, %rdi
    testl $4095, %edi
    jnz 2b
    movups (%rsp), %xmm0
    addq $16, %rsp
    decl %gs:CPU_PREEMPT_COUNT
    jz 3f
    ret
3:  jmp preempt_schedule
    .size page_clear, . - page_clear

    .section .data.ro_after_init, "aw", @progbits
    .globl page_clear_by_sse
page_clear_by_sse:
    .byte 0

/* void page_copy(void *dst, const void *src) */
    FUNCTION page_copy
    movl $512, %ecx
    rep movsq
    ret
    .size page_copy, . - page_copy
    .section .note.GNU-stack, "", @progbits
