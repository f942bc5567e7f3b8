#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/machine/entry.h"
#include "kernel/vm/fault_log.h"
#include "test/unit/vm/space.h"

#define BASE 0x40000000ull

/* The kind of the one fault that this access makes; -1: not exactly one was noted. */
static int noted(struct vmspace *vm, uint64_t addr, unsigned flags)
{
    static uint64_t next = 1;
    struct fault_record record;
    int n = 0, kind = -1;

    (void)fault_log_fault(vm, addr, flags);
    while (fault_log_read(0, next, &record)) {
        next = record.number + 1;
        kind = record.kind;
        n++;
        EXPECT_EQ(record.addr, addr);
        EXPECT_EQ(record.flags, flags);
    }
    return n == 1 ? kind : -1;
}

TEST(fault_log, tells_what_a_fault_was_about)
{
    struct vmspace *vm = space_enter();
    struct vmspace *child;
    struct vm_source *source;
    const unsigned write_protected = FAULT_WRITE | FAULT_PRESENT;

    EXPECT_EQ(fault_log_switch(true), 0);
    EXPECT_EQ(map_anon(vm, BASE, 16, TEST_RW), (int64_t)BASE);
    EXPECT_EQ(noted(vm, BASE + 9 * PAGE_SIZE, 0), FAULT_KIND_ZERO);
    EXPECT_EQ(noted(vm, BASE + 9 * PAGE_SIZE, write_protected), FAULT_KIND_COW);
    EXPECT_EQ(noted(vm, BASE + 4 * PAGE_SIZE, FAULT_WRITE), FAULT_KIND_ANON);
    EXPECT_EQ(noted(vm, BASE + 4 * PAGE_SIZE, 0), FAULT_KIND_OTHER);
    EXPECT_EQ(vmspace_fork(vm, &child), 0);
    EXPECT_EQ(noted(vm, BASE + 4 * PAGE_SIZE, write_protected), FAULT_KIND_COW);
    vmspace_put(child);
    EXPECT_EQ(noted(vm, BASE + 9 * PAGE_SIZE, write_protected), FAULT_KIND_REUSE);
    EXPECT_EQ(noted(vm, BASE + MIB(8), FAULT_WRITE), FAULT_KIND_DENIED);
    EXPECT_EQ(vm_source_create_shared(4, &source), 0);
    EXPECT_EQ(vmspace_map(vm, BASE + MIB(1), 4 * PAGE_SIZE, TEST_RW | TEST_MAY | VM_SHARED,
                          VMMAP_FIXED, source, 0, NULL),
              (int64_t)(BASE + MIB(1)));
    source->ops->put(source);
    EXPECT_EQ(noted(vm, BASE + MIB(1), FAULT_WRITE), FAULT_KIND_FILE);
    EXPECT_EQ(fault_log_switch(false), 0);
    space_leave();
}

TEST(fault_log, keeps_the_latest)
{
    struct vmspace *vm = space_enter();
    struct fault_record record;
    uint64_t first = 0, last = 0;

    EXPECT_EQ(fault_log_switch(true), 0);
    for (unsigned i = 0; i < 3 * FAULT_LOG_ENTRIES; i++) {
        (void)fault_log_fault(vm, BASE, FAULT_WRITE);
    }
    while (fault_log_read(0, last + 1, &record)) {
        EXPECT(first == 0 || record.number == last + 1);
        first = first == 0 ? record.number : first;
        last = record.number;
    }
    EXPECT(last - first + 1 >= FAULT_LOG_ENTRIES - 1);
    EXPECT_EQ(fault_log_switch(false), 0);
    EXPECT_STR_EQ(fault_kind_name(FAULT_KIND_SWAP), "swap");
    EXPECT_STR_EQ(fault_kind_name(FAULT_NKINDS), "?");
    space_leave();
}
