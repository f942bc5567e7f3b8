/*
 * Offsets that entry.S and other assembly know; desc.c asserts them.
 */
#pragma once

#define CPU_CURRENT         16
#define CPU_PREEMPT_COUNT   24
#define CPU_STACK_TOP       32
#define CPU_SCRATCH         48
#define CPU_IDLE            64
#define CPU_RCU_NESTING     96
#define CPU_RCU_IDLE        100
#define CPU_SOFTIRQ_PENDING 112
#define CPU_IRQ_SINCE       120
#define CPU_IRQ_CYCLES      128
#define CPU_SOFTIRQ_CYCLES  136
#define CPU_IRQ_IDLE_CYCLES 144
#define CPU_IRQ_FRAME       152

#define THREAD_WORK 56

#define FRAME_R15      0
#define FRAME_RBP      32
#define FRAME_RBX      40
#define FRAME_R11      48
#define FRAME_R10      56
#define FRAME_R9       64
#define FRAME_R8       72
#define FRAME_RAX      80
#define FRAME_RCX      88
#define FRAME_RDX      96
#define FRAME_RSI      104
#define FRAME_RDI      112
#define FRAME_ORIG_RAX 120
#define FRAME_RIP      128
#define FRAME_CS       136
#define FRAME_RFLAGS   144
#define FRAME_RSP      152
#define FRAME_SIZE     168

/* Segment selectors: the order that SYSCALL and SYSRET demand (Intel SDM volume 2, SYSRET). USER_CS, USER_SS: arch/trapframe.h. */
#define KERNEL_CS     0x10
#define KERNEL_SS     0x18
#define SYSRET_BASE   0x23
#define TSS_SELECTOR  0x40
#define FRAME_USER_CS 0x33
#define FRAME_USER_SS 0x2b

/* KSTACK_SIZE */
#ifdef CONFIG_KASAN
#define BOOT_STACK_BYTES 32768
#else
#define BOOT_STACK_BYTES 16384
#endif

/* All of THREAD_WORK_* but THREAD_WORK_TRACE, which does not keep a thread from user mode. */
#define WORK_BEFORE_USER 0xfdf
