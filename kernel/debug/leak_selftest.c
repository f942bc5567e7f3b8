/*
 * An object lost on purpose: see selftest.h. Its address is kept upside down, which is no address.
 */
#include "kernel/debug/leak.h"
#include "kernel/debug/selftest.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/poison.h"
#include "kernel/sched/thread.h"

#define LOST_SIZE 777u

static uintptr_t hidden; /* ~address */
static void *volatile kept;

static __noinline void lose(void)
{
    hidden = ~(uintptr_t)kmalloc(LOST_SIZE);
}

/* A call whose frame covers what the former one left on the stack; red zones would leave gaps. */
NO_SANITIZE_ADDRESS static __noinline void cover(void)
{
    volatile uint64_t words[512];

    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        words[i] = i;
    }
}

static bool is_listed(uintptr_t start)
{
    struct leak leak;

    for (size_t i = 0; leak_list(i, &leak, 1) == 1; i++) {
        if (leak.start == start) {
            return leak.size == LOST_SIZE && leak.stack != 0;
        }
    }
    return false;
}

static bool leak(void)
{
    (void)leak_scan(0);
    leak_clear();
    lose();
    cover();
    size_t nlost = leak_scan(0);
    bool told = is_listed(~hidden);
    leak_clear();
    bool silent = !is_listed(~hidden);
    kfree((void *)~hidden);
    return nlost == 1 && told && silent;
}

/* One object that a variable points to, another that the first one points to, by an address inside it. */
static bool no_leak(void)
{
    uint8_t **outer = kzalloc(64);

    kept = outer;
    outer[3] = (uint8_t *)kmalloc(200) + 100;
    outer = NULL;
    size_t nlost = leak_scan(0);
    outer = kept;
    kfree(outer[3] - 100);
    kfree(outer);
    kept = NULL;
    return nlost == 0;
}

SELFTEST(leak_lost) = {.group = "leak", .name = "an object that nobody points to", .run = leak};
SELFTEST(leak_kept) = {.group = "leak", .name = "objects in use are not lost", .run = no_leak};
