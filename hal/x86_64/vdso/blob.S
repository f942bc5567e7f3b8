/*
 * The vDSO inside the kernel image, in whole pages.
 */
    .section .rodata.vdso, "a", @progbits
    .balign 4096
    .globl vdso_blob, vdso_blob_end
vdso_blob:
    .incbin "vdso.so"
    .balign 4096
vdso_blob_end:
    .section .note.GNU-stack, "", @progbits
