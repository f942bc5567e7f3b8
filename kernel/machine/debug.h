/*
 * What a debugger asks of the CPU: registers of another thread, single steps, breakpoints; and what a core dump holds.
 *
 * The thread is switched out and stays so (kernel/proc sees to that: it is in a stop, and thread_wait_switched_out() has said so), or it
 * is the current one. What comes from a debugger is hostile: the functions that set something check it.
 */
#pragma once

#include "kernel/base/types.h"

struct thread;

/*
 * Register sets, by the numbers that core(5) gives their notes (linux/elf.h): NT_PRSTATUS the general registers as Linux's struct
 * user_regs_struct has them, NT_PRFPREG the FXSAVE image, NT_X86_XSTATE the XSAVE image.
 */
/* Bytes of a set; 0: the CPU has none of that number. */
size_t cpu_regset_size(unsigned type);
/* All of it; buf has cpu_regset_size() bytes. */
void cpu_regset_get(struct thread *thread, unsigned type, void *buf);
/*
 * Its first len bytes, at most the whole: a multiple of 8. -EIO: a general register cannot have that value; -EINVAL: no such FPU state;
 * -EFAULT: NT_X86_XSTATE is set whole or not at all. What stands before the refused register is set.
 */
int cpu_regset_set(struct thread *thread, unsigned type, const void *buf, size_t len);

/* One word at `offset` of Linux's struct user (ptrace(2), PTRACE_PEEKUSER). -EIO: outside of it, or not for setting. */
int cpu_user_area_get(struct thread *thread, uint64_t offset, uint64_t *ret);
int cpu_user_area_set(struct thread *thread, uint64_t offset, uint64_t value);

/* PTRACE_ARCH_PRCTL: arch_prctl(2) on another thread; `addr` is in the current one's memory. May sleep. */
int cpu_arch_prctl_other(struct thread *thread, int code, vaddr_t addr);

/* Stop after the next instruction, by SIGTRAP; or do not any more. May sleep. */
void cpu_step_set(struct thread *thread, bool on);
/* AUDIT_ARCH_* of linux/audit.h. */
uint32_t cpu_audit_arch(void);
