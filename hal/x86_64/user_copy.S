/*
 * Bulk copies from and to user memory: like memcpy and memset in string.S, with SMAP open and every access in the exception table.
 *
 * On a fault that cannot be resolved the copy is done again byte by byte from where it is known to have got, until the byte that
 * faults; so the result is exact. Fixups arrive with SMAP closed.
 */

    .macro PATCH section
771: .byte 0x0f, 0x1f, 0x00
    .pushsection \section, "a"
    .long 771b - .
    .popsection
    .endm
    .macro OPEN
    PATCH .stac_sites
    .endm
    .macro CLOSE
    PATCH .clac_sites
    .endm

/* An instruction that may fault, and where to go on then. */
    .macro TRY fixup, insn:vararg
772: \insn
    .pushsection .ex_table, "a"
    .long 772b - ., \fixup - .
    .popsection
    .endm

    .macro FUNCTION name
    .section .text.\name, "ax", @progbits
    .globl \name
    .type \name, @function
    .balign 16
\name:
    .endm

/* size_t user_copy(void *dst, const void *src, size_t n): bytes not copied. The user side has been checked. */
    FUNCTION user_copy
    OPEN
    cmpq $16, %rdx
    jb user_copy_below_16
    cmpq $64, %rdx
    ja user_copy_words
    TRY user_copy_again, movq (%rsi), %r8
    TRY user_copy_again, movq 8(%rsi), %r9
    cmpl $32, %edx
    jbe 1f
    TRY user_copy_again, movq 16(%rsi), %r10
    TRY user_copy_again, movq 24(%rsi), %r11
    TRY user_copy_again, movq %r8, (%rdi)
    TRY user_copy_again, movq %r9, 8(%rdi)
    TRY user_copy_again, movq %r10, 16(%rdi)
    TRY user_copy_again, movq %r11, 24(%rdi)
    TRY user_copy_again, movq -32(%rsi,%rdx), %r8
    TRY user_copy_again, movq -24(%rsi,%rdx), %r9
    TRY user_copy_again, movq -16(%rsi,%rdx), %r10
    TRY user_copy_again, movq -8(%rsi,%rdx), %r11
    TRY user_copy_again, movq %r8, -32(%rdi,%rdx)
    TRY user_copy_again, movq %r9, -24(%rdi,%rdx)
    TRY user_copy_again, movq %r10, -16(%rdi,%rdx)
    TRY user_copy_again, movq %r11, -8(%rdi,%rdx)
    CLOSE
    xorl %eax, %eax
    ret
1:  TRY user_copy_again, movq -16(%rsi,%rdx), %r10
    TRY user_copy_again, movq -8(%rsi,%rdx), %r11
    TRY user_copy_again, movq %r8, (%rdi)
    TRY user_copy_again, movq %r9, 8(%rdi)
    TRY user_copy_again, movq %r10, -16(%rdi,%rdx)
    TRY user_copy_again, movq %r11, -8(%rdi,%rdx)
    CLOSE
    xorl %eax, %eax
    ret
user_copy_words:
    /* Whole words, then the last 1 to 8 bytes as an overlapping word. */
    leaq -1(%rdx), %rcx
    shrq $3, %rcx
    leaq -8(%rsi,%rdx), %r8
    leaq -8(%rdi,%rdx), %r9
    TRY user_copy_words_fault, rep movsq
    TRY user_copy_words_fault, movq (%r8), %r10
    TRY user_copy_words_fault, movq %r10, (%r9)
    CLOSE
    xorl %eax, %eax
    ret
user_copy_below_16:
    cmpl $8, %edx
    jb 2f
    TRY user_copy_again, movq (%rsi), %r8
    TRY user_copy_again, movq -8(%rsi,%rdx), %r9
    TRY user_copy_again, movq %r8, (%rdi)
    TRY user_copy_again, movq %r9, -8(%rdi,%rdx)
    CLOSE
    xorl %eax, %eax
    ret
2:  cmpl $4, %edx
    jb 3f
    TRY user_copy_again, movl (%rsi), %r8d
    TRY user_copy_again, movl -4(%rsi,%rdx), %r9d
    TRY user_copy_again, movl %r8d, (%rdi)
    TRY user_copy_again, movl %r9d, -4(%rdi,%rdx)
    CLOSE
    xorl %eax, %eax
    ret
3:  movl %edx, %ecx
    jmp user_copy_bytes
/* Fixups: how much is left, then byte by byte. */
user_copy_words_fault:
    leaq 8(%r9), %rdx
    subq %rdi, %rdx
user_copy_again:
    movq %rdx, %rcx
    OPEN
user_copy_bytes:
    TRY user_copy_stop, rep movsb
    CLOSE
user_copy_stop:
    movq %rcx, %rax
    ret
    .size user_copy, . - user_copy

/* size_t user_clear(void *dst, size_t n): bytes not cleared */
    FUNCTION user_clear
    OPEN
    xorl %eax, %eax
    movq %rsi, %rcx
    shrq $3, %rcx
    andl $7, %esi
    TRY user_clear_fault, rep stosq
    movl %esi, %ecx
user_clear_bytes:
    TRY user_clear_stop, rep stosb
    CLOSE
user_clear_stop:
    movq %rcx, %rax
    ret
user_clear_fault:
    leaq (%rsi,%rcx,8), %rcx
    OPEN
    jmp user_clear_bytes
    .size user_clear, . - user_clear
    .section .note.GNU-stack, "", @progbits
