/*
 * A thread's registers as a debugger names them: words of Linux's struct user_regs_struct and of its debug registers. Pure functions,
 * which the unit tests and their fuzzer run on the host.
 */
#pragma once

#include <arch/trapframe.h>

/*
 * struct user_regs_struct, which C libraries define (sys/user.h): the words of struct trapframe in their order, then these.
 */
#define REGSET_CS      17u
#define REGSET_FLAGS   18u
#define REGSET_SS      20u
#define REGSET_FS_BASE 21u
#define REGSET_GS_BASE 22u
#define REGSET_DS      23u
#define REGSET_WORDS   27u

/* Where the registers of a switched-out thread lie. */
struct regset {
    struct trapframe *frame;
    uint64_t *fs_base, *gs_base;
    uint32_t *selectors; /* as in regs.h */
    bool *tf_forced;     /* the trap flag in the frame is the debugger's, not the program's */
};

/* `index` below REGSET_WORDS. */
uint64_t regset_get_word(const struct regset *regs, unsigned index);
/* -EIO: user mode cannot have that value; nothing has changed then. */
int regset_set_word(const struct regset *regs, unsigned index, uint64_t value);

/* Debug registers (Intel SDM volume 3, 17.2) of one thread. */
struct debug_registers {
    uint64_t address[4];
    uint64_t status;  /* DR6: what has happened, without the bits that are always 1 */
    uint64_t control; /* DR7 as the debugger wrote it */
};

#define DR6_RESERVED    0xffff0ff0ull /* always 1 */
#define DR6_BREAKPOINTS 0xfull
#define DR6_STEP        0x4000ull

/* Number n, 0 to 7, as PTRACE_PEEKUSER gives it. */
uint64_t debug_registers_get(const struct debug_registers *regs, unsigned n);
/* -EIO: there is no such register; -EINVAL: a breakpoint that is switched on would watch kernel memory, I/O, or no whole word. */
int debug_registers_set(struct debug_registers *regs, unsigned n, uint64_t value);
/* The breakpoints that are switched on, as bits 0 to 3. */
unsigned debug_registers_enabled(const struct debug_registers *regs);
/* Those of them that stop at instructions. */
unsigned debug_registers_at_code(const struct debug_registers *regs);
