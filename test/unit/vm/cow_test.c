/*
 * In which order a copy takes the place of what was shown: nobody writes to the copy as long as a CPU may still read the original.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/vm/huge.h"
#include "test/unit/vm/space.h"

#define BASE GIB(4)

static struct vmspace *space;
static unsigned nflushes;
static bool writable; /* in the first flush */

static void look(const struct mmu_flush *flush)
{
    paddr_t pa;
    unsigned flags = 0;

    if (flush->space == &space->mmu && nflushes++ == 0) {
        writable = mmu_query(&space->mmu, BASE, &pa, &flags) && (flags & MMU_WRITE) != 0;
    }
}

/* Write to what is shown without the right: was it writable before the flush? It is at the end. */
static bool written_before_flush(struct vmspace *vm, uint8_t value)
{
    paddr_t pa;
    unsigned flags = 0;

    space = vm;
    nflushes = 0;
    host_flush_hook = look;
    EXPECT_EQ(poke(BASE, value), 0);
    host_flush_hook = NULL;
    EXPECT(nflushes > 0);
    EXPECT(mmu_query(&vm->mmu, BASE, &pa, &flags) && (flags & MMU_WRITE) != 0);
    EXPECT_EQ(peek(BASE), value);
    return writable;
}

TEST(cow, the_right_to_write_comes_after_the_flush_where_others_run)
{
    struct vmspace *vm = space_enter();
    struct vmspace *child;

    vmspace_get(vm); /* another thread's */
    EXPECT_EQ(map_anon(vm, BASE, 1, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(peek(BASE), 0);
    EXPECT(!written_before_flush(vm, 1)); /* in the place of zeros */
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT(!written_before_flush(vm, 2));
    vmspace_put(child);
    vmspace_put(vm);
    space_leave();
}

TEST(cow, a_huge_page_in_the_place_of_zeros_is_written_after_the_flush_too)
{
    struct vmspace *vm = space_enter();
    paddr_t pa;
    unsigned flags = 0;

    vmspace_get(vm);
    EXPECT_EQ(map_anon(vm, BASE, HUGE_PAGES, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(peek(BASE), 0);
    EXPECT(mmu_query(&vm->mmu, BASE, &pa, &flags) && (flags & MMU_HUGE) != 0);
    EXPECT(!written_before_flush(vm, 1));
    EXPECT(mmu_query(&vm->mmu, BASE, &pa, &flags) && (flags & MMU_HUGE) != 0);
    vmspace_put(vm);
    space_leave();
}

TEST(cow, who_runs_alone_has_it_in_one_step)
{
    struct vmspace *vm = space_enter();
    struct vmspace *child;

    EXPECT_EQ(map_anon(vm, BASE, 1, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT(written_before_flush(vm, 2));
    EXPECT_EQ(nflushes, 1);
    vmspace_put(child);
    space_leave();
}
