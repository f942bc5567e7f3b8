/* What hal/host calls in rooms that unit-tsan leaves out: nothing of it happens in a torture test. */
#include "kernel/core/panic.h"
#include "kernel/machine/entry.h"

int machine_page_fault(vaddr_t addr, unsigned flags)
{
    (void)addr, (void)flags;
    panic("a page fault without a room for it");
}
