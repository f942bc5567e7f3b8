/* Registers as debuggers read and write them: what user mode may not have is refused, whatever is thrown at it. */
#define TEST_SUITE "hal"
#include "test/unit/test.h"

#include "hal/x86_64/regset.h"
#include "kernel/base/errno.h"
#include "kernel/machine/user.h"

struct fixture {
    struct trapframe frame;
    uint64_t fs_base, gs_base;
    uint32_t selectors;
    bool tf_forced;
    struct regset regs;
};

static void setup(struct fixture *f)
{
    memset(f, 0, sizeof(*f));
    trapframe_init_user(&f->frame, 0x400000, 0x7000000);
    f->regs = (struct regset){&f->frame, &f->fs_base, &f->gs_base, &f->selectors, &f->tf_forced};
}

static uint64_t random_u64(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

TEST(regset, words_come_back_as_they_were_set)
{
    struct fixture f;

    setup(&f);
    for (unsigned i = 0; i < REGSET_WORDS; i++) {
        uint64_t value = regset_get_word(&f.regs, i);
        EXPECT_EQ(regset_set_word(&f.regs, i, value), 0);
        EXPECT_EQ(regset_get_word(&f.regs, i), value);
    }
    EXPECT_EQ(regset_set_word(&f.regs, 16, ~0ull), 0); /* a bad rip is the program's fault */
    EXPECT_EQ(f.frame.rip, ~0ull);
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_FS_BASE, 0x1000), 0);
    EXPECT_EQ(f.fs_base, 0x1000);
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_DS + 1, USER_SS), 0); /* ES */
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_DS + 3, USER_CS), 0); /* GS */
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_DS + 3, 0x18), -EIO);
    EXPECT_EQ(f.selectors, 0x33002b00);
    EXPECT_EQ(regset_get_word(&f.regs, REGSET_DS + 1), USER_SS);
    EXPECT_EQ(regset_get_word(&f.regs, REGSET_DS + 2), 0);
    EXPECT_EQ(regset_get_word(&f.regs, REGSET_DS + 3), USER_CS);
}

TEST(regset, selectors_and_bases_of_the_kernel_are_refused)
{
    struct fixture f;

    setup(&f);
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_CS, 0x10), -EIO);
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_CS, 0), -EIO);
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_SS, 0x18), -EIO);
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_DS, 0x10), -EIO);
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_DS, 0x43), -EIO); /* the task's */
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_FS_BASE, USER_TOP), -EIO);
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_GS_BASE, 0xffffffff80000000ull), -EIO);
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_WORDS, 0), -EIO);
    EXPECT_EQ(f.frame.cs, USER_CS);
    EXPECT_EQ(f.frame.ss, USER_SS);
    EXPECT_EQ(f.fs_base, 0);
}

TEST(regset, a_trap_flag_of_the_debuggers_is_hidden_and_stays)
{
    struct fixture f;

    setup(&f);
    f.frame.rflags |= 0x100;
    f.tf_forced = true;
    EXPECT_EQ(regset_get_word(&f.regs, REGSET_FLAGS) & 0x100, 0);
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_FLAGS, 0), 0);
    EXPECT_EQ(f.frame.rflags & 0x100, 0x100);
    EXPECT_EQ(regset_set_word(&f.regs, REGSET_FLAGS, 0x100), 0);
    EXPECT(!f.tf_forced);
    EXPECT_EQ(regset_get_word(&f.regs, REGSET_FLAGS) & 0x100, 0x100);
}

TEST(regset, whatever_is_set_user_mode_stays_user_mode)
{
    struct fixture f;
    uint64_t state = 88172645463325252ull;

    setup(&f);
    for (unsigned i = 0; i < 200000; i++) {
        (void)regset_set_word(&f.regs, (unsigned)(random_u64(&state) % (REGSET_WORDS + 4)),
                              random_u64(&state) >> random_u64(&state) % 64);
        EXPECT_EQ(f.frame.cs, USER_CS);
        EXPECT_EQ(f.frame.ss, USER_SS);
        /* IF on; IOPL, VM, VIF, VIP and the reserved bits off */
        EXPECT_EQ(f.frame.rflags & ~0x54dd7ull, 0x200);
        EXPECT(f.fs_base < USER_TOP && f.gs_base < USER_TOP);
        for (unsigned n = 0; n < 4; n++) {
            uint32_t selector = f.selectors >> 8 * n & 0xff;
            EXPECT(selector == 0 || (selector & 3) == 3);
        }
    }
}

TEST(debug_registers, breakpoints_that_are_on_watch_user_memory_in_whole_words)
{
    struct debug_registers regs = {0};

    EXPECT_EQ(debug_registers_set(&regs, 0, 0x1001), 0);
    EXPECT_EQ(debug_registers_set(&regs, 7, 0xd0001), -EINVAL); /* 4 bytes at an odd place */
    EXPECT_EQ(debug_registers_set(&regs, 0, 0x1004), 0);
    EXPECT_EQ(debug_registers_set(&regs, 7, 0xd0001), 0);
    EXPECT_EQ(debug_registers_set(&regs, 0, 0x1002), -EINVAL);
    EXPECT_EQ(regs.address[0], 0x1004);
    EXPECT_EQ(debug_registers_set(&regs, 7, 0x20001), -EINVAL); /* I/O */
    EXPECT_EQ(debug_registers_set(&regs, 7, 0x40001), -EINVAL); /* code, 2 bytes */
    EXPECT_EQ(debug_registers_set(&regs, 1, USER_TOP), -EINVAL);
    EXPECT_EQ(debug_registers_set(&regs, 4, 0), -EIO);
    EXPECT_EQ(debug_registers_set(&regs, 8, 0), -EIO);
    EXPECT_EQ(debug_registers_get(&regs, 6), 0xffff0ff0);
    EXPECT_EQ(debug_registers_get(&regs, 7), 0xd0001);
    EXPECT_EQ(debug_registers_enabled(&regs), 1);
    EXPECT_EQ(debug_registers_at_code(&regs), 0);
}

TEST(debug_registers, whatever_is_set_no_breakpoint_reaches_the_kernel)
{
    struct debug_registers regs = {0};
    uint64_t state = 362436069362436069ull;
    unsigned kept = 0;

    for (unsigned i = 0; i < 200000; i++) {
        uint64_t value = random_u64(&state) >> random_u64(&state) % 64;
        if (debug_registers_set(&regs, (unsigned)(random_u64(&state) % 9), value) == 0) {
            kept++;
        }
        for (unsigned n = 0; n < 4; n++) {
            EXPECT(regs.address[n] < USER_TOP);
        }
        EXPECT_EQ(regs.control & 0xffffffff0000fc00ull, 0);
    }
    EXPECT(kept > 1000);
}
