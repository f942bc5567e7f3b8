/*
 * Registers as a debugger reads and writes them (ptrace(2)).
 *
 * What user mode may not have is refused: the frame's invariant (entry.S) is that CS and SS are the two selectors of 64-bit programs; the other
 * segments have one that a program can load; bases are user addresses; of the flags only those change that a program can change itself.
 * The instruction and stack pointers may be anything: a bad one is the program's fault, taken when it runs.
 */
#include "hal/x86_64/regset.h"

#include <arch/page.h>

#include "hal/x86_64/vdso/cpunode.h"
#include "kernel/base/errno.h"

#define FLAG_TF 0x100ull
/* CF PF AF ZF SF TF DF OF NT RF AC */
#define FLAGS_OF_PROGRAM 0x54dd5ull

_Static_assert(sizeof(struct trapframe) == 8ull * REGSET_FS_BASE, "sys/user.h");
_Static_assert(offsetof(struct trapframe, cs) == 8ull * REGSET_CS, "sys/user.h");
_Static_assert(offsetof(struct trapframe, rflags) == 8ull * REGSET_FLAGS, "sys/user.h");
_Static_assert(offsetof(struct trapframe, ss) == 8ull * REGSET_SS, "sys/user.h");

/* The selectors that a program can load itself, and none. */
static bool selector_is_users(uint16_t selector)
{
    return selector == 0 || selector == 3 || selector == USER_SS || selector == USER_CS ||
           selector == CPUNODE_SELECTOR;
}

static int selector_set(uint32_t *selectors, unsigned n, uint16_t value)
{
    if (!selector_is_users(value)) {
        return -EIO;
    }
    *selectors = (*selectors & ~(0xffu << 8 * n)) | (uint32_t)value << 8 * n;
    return 0;
}

static uint64_t *frame_word(const struct regset *regs, unsigned index)
{
    return (uint64_t *)(void *)regs->frame + index;
}

uint64_t regset_get_word(const struct regset *regs, unsigned index)
{
    switch (index) {
    case REGSET_FLAGS:
        return regs->frame->rflags & ~(*regs->tf_forced ? FLAG_TF : 0);
    case REGSET_FS_BASE:
        return *regs->fs_base;
    case REGSET_GS_BASE:
        return *regs->gs_base;
    default:
        return index < REGSET_DS ? *frame_word(regs, index)
                                 : *regs->selectors >> 8 * (index - REGSET_DS) & 0xff;
    }
}

static void flags_set(const struct regset *regs, uint64_t value)
{
    uint64_t taken = FLAGS_OF_PROGRAM;

    if ((value & FLAG_TF) != 0) {
        *regs->tf_forced = false; /* the program's own from now on */
    } else if (*regs->tf_forced) {
        taken &= ~FLAG_TF;
    }
    regs->frame->rflags = (regs->frame->rflags & ~taken) | (value & taken);
}

int regset_set_word(const struct regset *regs, unsigned index, uint64_t value)
{
    switch (index) {
    case REGSET_CS:
        return (uint16_t)value == USER_CS ? 0 : -EIO;
    case REGSET_SS:
        return (uint16_t)value == USER_SS ? 0 : -EIO;
    case REGSET_FLAGS:
        flags_set(regs, value);
        return 0;
    case REGSET_FS_BASE:
    case REGSET_GS_BASE:
        if (value >= USER_TOP) {
            return -EIO;
        }
        *(index == REGSET_FS_BASE ? regs->fs_base : regs->gs_base) = value;
        return 0;
    default:
        if (index >= REGSET_DS) {
            return index < REGSET_WORDS
                       ? selector_set(regs->selectors, index - REGSET_DS, (uint16_t)value)
                       : -EIO;
        }
        *frame_word(regs, index) = value;
        return 0;
    }
}

/* ---- debug registers ---- */

#define DR7_RESERVED 0xffffffff0000fc00ull
#define DR7_CODE     0u
#define DR7_IO       2u
#define DR7_KINDS_AT 16u /* four bits for each: two of kind, two of length */

static bool is_enabled(uint64_t control, unsigned n)
{
    return (control >> (2 * n) & 3) != 0;
}

static unsigned kind_of(uint64_t control, unsigned n)
{
    return (unsigned)(control >> (DR7_KINDS_AT + 4 * n)) & 3;
}

/* Bytes that a breakpoint watches: the length field says 1, 2, 8 or 4. */
static unsigned length_of(uint64_t control, unsigned n)
{
    static const uint8_t lengths[] = {1, 2, 8, 4};

    return lengths[control >> (DR7_KINDS_AT + 2 + 4 * n) & 3];
}

static bool breakpoint_is_sane(const struct debug_registers *regs, unsigned n)
{
    unsigned kind = kind_of(regs->control, n), length = length_of(regs->control, n);

    if (!is_enabled(regs->control, n)) {
        return true;
    }
    return kind != DR7_IO && (kind != DR7_CODE || length == 1) && regs->address[n] % length == 0 &&
           regs->address[n] <= USER_TOP - length;
}

uint64_t debug_registers_get(const struct debug_registers *regs, unsigned n)
{
    switch (n) {
    case 0:
    case 1:
    case 2:
    case 3:
        return regs->address[n];
    case 6:
        return regs->status | DR6_RESERVED;
    case 7:
        return regs->control;
    default:
        return 0;
    }
}

int debug_registers_set(struct debug_registers *regs, unsigned n, uint64_t value)
{
    struct debug_registers changed = *regs;

    switch (n) {
    case 0:
    case 1:
    case 2:
    case 3:
        changed.address[n] = value;
        if (value >= USER_TOP) {
            return -EINVAL;
        }
        break;
    case 6:
        changed.status = value & (DR6_BREAKPOINTS | DR6_STEP);
        break;
    case 7:
        changed.control = value & ~DR7_RESERVED;
        break;
    default:
        return -EIO;
    }
    for (unsigned i = 0; i < 4; i++) {
        if (!breakpoint_is_sane(&changed, i)) {
            return -EINVAL;
        }
    }
    *regs = changed;
    return 0;
}

unsigned debug_registers_enabled(const struct debug_registers *regs)
{
    unsigned bits = 0;

    for (unsigned n = 0; n < 4; n++) {
        bits |= is_enabled(regs->control, n) ? 1u << n : 0;
    }
    return bits;
}

unsigned debug_registers_at_code(const struct debug_registers *regs)
{
    unsigned bits = 0;

    for (unsigned n = 0; n < 4; n++) {
        bits |= is_enabled(regs->control, n) && kind_of(regs->control, n) == DR7_CODE ? 1u << n : 0;
    }
    return bits;
}
