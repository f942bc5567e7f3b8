/*
 * Traps: the functions that entry.S calls, and what they need from each other.
 */
#pragma once

#include "kernel/machine/entry.h"
#include "kernel/machine/vector.h"

/* Called by entry.S with interrupts off, on the kernel stack of the current thread. */
void x86_page_fault(struct trapframe *frame);
void x86_exception(struct trapframe *frame, unsigned vector);
/* IRET to user mode faulted: the frame of the thread, completed again, with a signal on its way. */
struct trapframe *x86_iret_fault(struct trapframe *frame, unsigned vector);
/* NMI, #DF, #MC, and #DB from the kernel, on their own stacks. */
void x86_paranoid(struct trapframe *frame, unsigned vector);
/* Before a return to user mode with work flags set; returns with interrupts off and no such flag set. */
void x86_user_work(struct trapframe *frame, bool syscall);

/* FS base, or GS base, of the current thread in user mode. */
uint64_t cpu_user_base(bool gs);

extern machine_vector_fn *x86_vector_handlers[MACHINE_NVECTORS];

/* Entry stubs (entry.S). */
extern const uint8_t entry_exceptions[], entry_interrupts[]; /* 16 bytes each */
extern const uint8_t entry_page_fault[], entry_nmi[], entry_double_fault[], entry_machine_check[];
extern const uint8_t entry_debug[];
extern const uint8_t entry_syscall[], entry_syscall_watched[];
void entry_enter_user(struct trapframe *frame) __noreturn;

/*
 * Exception table: where an instruction may fault, and where to go on then. Offsets from the members themselves. Any context.
 */
struct extable_entry {
    int32_t insn;
    int32_t fixup;
};
/* 0: no entry. */
uintptr_t extable_find(uintptr_t insn);
