/*
 * Bad accesses on purpose: see selftest.h. Addresses go through volatile variables, or the compiler would see the fault itself.
 */
#include "kernel/base/string.h"
#include "kernel/debug/selftest.h"
#include "kernel/machine/user.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"

static volatile uint64_t sink;
static uint8_t table[13];

/* The address alone, of which the compiler knows nothing more. */
static uint8_t *opaque(void *ptr)
{
    uint8_t *volatile at = ptr;

    return at;
}

static bool heap_overrun(void)
{
    uint8_t *block = kmalloc(100);

    sink = opaque(block)[100];
    kfree(block);
    return true;
}

static bool heap_underrun(void)
{
    uint8_t *block = kmalloc(64);

    sink = opaque(block)[-1];
    kfree(block);
    return true;
}

static bool use_after_free(void)
{
    uint64_t *block = kmalloc(48);

    kfree(block);
    sink = *(uint64_t *)(void *)opaque(block);
    return true;
}

static bool global(void)
{
    sink = opaque(table)[13];
    return true;
}

static bool stack(void)
{
    uint8_t local[24];

    memset(local, 1, sizeof(local));
    sink = opaque(local)[24];
    return true;
}

static bool scope(void)
{
    uint8_t *volatile left = NULL;

    {
        uint8_t inner[16];
        memset(opaque(inner), 1, sizeof(inner));
        left = inner;
    }
    sink = *left;
    return true;
}

static bool page(void)
{
    struct page *frame = frame_alloc(0, 0, PAGE_KERNEL);
    uint8_t *memory = page_to_virt(frame);

    frame_free(frame);
    sink = *opaque(memory);
    return true;
}

static bool vmalloc_overrun(void)
{
    uint8_t *block = vmalloc(5000);

    sink = opaque(block)[5000];
    vfree(block);
    return true;
}

static bool block_overrun(void)
{
    uint8_t *block = kmalloc(5000);

    sink = opaque(block)[5000];
    kfree(block);
    return true;
}

static bool page_overrun(void)
{
    uint8_t *block = kmalloc(PAGE_SIZE);

    sink = opaque(block)[PAGE_SIZE];
    kfree(block);
    return true;
}

/* Freed objects wait before they are used again, so that this is still told after many others came and went. */
static bool late_use_after_free(void)
{
    uint64_t *block = kmalloc(200);

    kfree(block);
    for (unsigned i = 0; i < 100; i++) {
        kfree(kmalloc(200));
    }
    sink = *(uint64_t *)(void *)opaque(block);
    return true;
}

static bool stack_after_exit(void)
{
    uint8_t *stack = kstack_alloc();

    kstack_free(stack);
    sink = *opaque(stack);
    return true;
}

static bool copy(void)
{
    uint8_t *from = kmalloc(80), *to = kmalloc(200);

    memcpy(to, opaque(from), 81);
    kfree(from);
    kfree(to);
    return true;
}

/* The user address is refused only after the check of the kernel's. */
static bool user_copy_overrun(void)
{
    uint8_t *block = kmalloc(20);
    bool refused = copy_to_user((void *)~0ul, opaque(block), 21) < 0;

    kfree(block);
    return refused;
}

static bool nothing(void)
{
    uint8_t *block = kmalloc(7);

    memset(block, 1, 7);
    sink = opaque(block)[6];
    kfree(block);
    return true;
}

#define KASAN_SELFTEST(fn, name_, expect_)                                                         \
    SELFTEST(kasan_##fn) = {.group = "kasan",                                                      \
                            .name = (name_),                                                       \
                            .run = (fn),                                                           \
                            .kind = DEFECT_ADDRESS,                                                \
                            .expect = (expect_)}

KASAN_SELFTEST(heap_overrun, "a read past the end of an object",
               "kasan: heap-out-of-bounds: read of 1 bytes at ");
KASAN_SELFTEST(heap_underrun, "a read before an object", ": read of 1 bytes at ");
KASAN_SELFTEST(use_after_free, "a read of a freed object",
               "kasan: use-after-free: read of 8 bytes at ");
KASAN_SELFTEST(global, "a read past a variable's end", "into the variable 'table' of 13 bytes");
KASAN_SELFTEST(stack, "a read past a local variable's end", "kasan: stack-out-of-bounds: ");
KASAN_SELFTEST(scope, "a read of a variable out of scope", "kasan: stack-use-after-scope: ");
KASAN_SELFTEST(page, "a read of a freed page", "kasan: use-after-free of a page: ");
KASAN_SELFTEST(vmalloc_overrun, "a read past the end of vmalloc's memory",
               "kasan: heap-out-of-bounds: ");
KASAN_SELFTEST(block_overrun, "a read past the end of a block of pages",
               "kasan: heap-out-of-bounds: ");
KASAN_SELFTEST(page_overrun, "a read past the end of a page", "kasan: heap-out-of-bounds: ");
KASAN_SELFTEST(late_use_after_free, "a read of an object freed long ago",
               "kasan: use-after-free: read of 8 bytes at ");
KASAN_SELFTEST(stack_after_exit, "a read of a freed stack", "kasan: use-after-free: ");
KASAN_SELFTEST(copy, "a copy of a byte too many", "read of 81 bytes at ");
KASAN_SELFTEST(user_copy_overrun, "bytes past an object copied to a user",
               "kasan: heap-out-of-bounds: read of 21 bytes at ");
KASAN_SELFTEST(nothing, "good accesses are not told", NULL);
