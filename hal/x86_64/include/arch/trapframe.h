/*
 * Saved registers of an x86-64 trap, interrupt or system call, as entry.S pushes them.
 */
#pragma once

#include "kernel/base/types.h"

struct trapframe {
    uint64_t r15, r14, r13, r12, rbp, rbx;
    uint64_t r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi;
    uint64_t
        orig_rax; /* system call number; or the vector's error code for exceptions; ~0 for interrupts */
    uint64_t rip, cs, rflags, rsp, ss;
};

_Static_assert(sizeof(struct trapframe) == 168, "entry.S");

static inline bool trapframe_from_user(const struct trapframe *frame)
{
    return (frame->cs & 3) == 3;
}

static inline uint64_t trapframe_pc(const struct trapframe *frame)
{
    return frame->rip;
}

static inline uint64_t trapframe_sp(const struct trapframe *frame)
{
    return frame->rsp;
}

static inline int trapframe_syscall_nr(const struct trapframe *frame)
{
    return (int)frame->orig_rax; /* the upper half of the register means nothing */
}

/* Linux x86-64 system call arguments: rdi rsi rdx r10 r8 r9. */
static inline uint64_t trapframe_arg(const struct trapframe *frame, unsigned n)
{
    switch (n) {
    case 0:
        return frame->rdi;
    case 1:
        return frame->rsi;
    case 2:
        return frame->rdx;
    case 3:
        return frame->r10;
    case 4:
        return frame->r8;
    default:
        return frame->r9;
    }
}

static inline void trapframe_set_result(struct trapframe *frame, int64_t result)
{
    frame->rax = (uint64_t)result;
}

static inline int64_t trapframe_result(const struct trapframe *frame)
{
    return (int64_t)frame->rax;
}

/* Make the thread execute its SYSCALL instruction (2 bytes) again with the same number. */
static inline void trapframe_restart_syscall(struct trapframe *frame)
{
    frame->rax = frame->orig_rax;
    frame->rip -= 2;
}

/* Make it call restart_syscall(2) instead: for calls that have saved what is left to do. */
static inline void trapframe_restart_block(struct trapframe *frame)
{
    frame->rax = 219; /* __NR_restart_syscall */
    frame->rip -= 2;
}

/* It is not a system call's frame: nothing there is restarted. */
static inline void trapframe_forget_syscall(struct trapframe *frame)
{
    frame->orig_rax = ~0ull;
}

static inline void trapframe_set_pc(struct trapframe *frame, vaddr_t pc)
{
    frame->rip = pc;
}

static inline void trapframe_set_sp(struct trapframe *frame, vaddr_t sp)
{
    frame->rsp = sp;
}

#define USER_CS 0x33ull
#define USER_SS 0x2bull

static inline void trapframe_init_user(struct trapframe *frame, vaddr_t pc, vaddr_t sp)
{
    *frame = (struct trapframe){
        .rip = pc, .cs = USER_CS, .rflags = 0x202, .rsp = sp, .ss = USER_SS, .orig_rax = ~0ull};
}
