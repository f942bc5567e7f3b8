/*
 * The address sanitizer's runtime: checks of accesses, poison, the compiler's calls.
 *
 * A byte of shadow speaks of 8 bytes of memory: 0, all may be accessed; 1 to 7, that many of the first; negative, none, and the value
 * says why (enum poison in kernel/mm/poison.h and the compiler's, below). Source: Serebryany and others, "AddressSanitizer", USENIX ATC 2012;
 * names and arguments of the calls: LLVM, lib/Transforms/Instrumentation/AddressSanitizer.cpp.
 *
 * Checks are calls, so code that runs before the shadow exists needs no care: `ready` is false then. What is below the kernel half or
 * without backing faults by itself, or reads shadow that is zero.
 *
 * Locks: none. The shadow of memory belongs to whoever owns the memory.
 */
#include "kernel/debug/kasan/kasan.h"

#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/machine/shadow.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/poison.h"
#include "kernel/sched/thread.h"

#define MAX_MODULES 1024u
#define GRANULE     (1ul << SHADOW_SHIFT)
#define CALLER      ((uintptr_t)__builtin_return_address(0))

void *raw_memset(void *dst, int c, size_t n);

static bool ready __ro_after_init;

/* ---- checks ---- */

/* The first byte of [addr, addr + size) that may not be accessed; 0: all may. */
static uintptr_t find_bad(uintptr_t addr, size_t size)
{
    uintptr_t last = addr + size - 1;
    const int8_t *shadow = shadow_of(addr), *end = shadow_of(last);

    while (shadow < end) {
        if (((uintptr_t)shadow & 7) == 0 && end - shadow >= 8 && *(const uint64_t *)shadow == 0) {
            shadow += 8;
            continue;
        }
        if (*shadow != 0) {
            uintptr_t granule = SHADOW_START + (((uintptr_t)shadow - BOOT_SHADOW) << SHADOW_SHIFT);
            return *shadow < 0 ? MAX(addr, granule) : MAX(addr, granule + (uintptr_t)*shadow);
        }
        shadow++;
    }
    if (*end != 0 && (int8_t)(last & (GRANULE - 1)) >= *end) {
        return MAX(addr, *end < 0 ? ALIGN_DOWN(last, GRANULE)
                                  : ALIGN_DOWN(last, GRANULE) + (uintptr_t)*end);
    }
    return 0;
}

void kasan_check(uintptr_t addr, size_t size, bool write, uintptr_t caller)
{
    uintptr_t bad;

    if (!ready || size == 0 || addr < SHADOW_START) {
        return;
    }
    if (unlikely(addr + size < addr)) {
        bad = addr;
    } else if (likely((bad = find_bad(addr, size)) == 0)) {
        return;
    }
    kasan_report(addr, bad, size, write, caller);
}

void kasan_check_read(const volatile void *addr, size_t size)
{
    kasan_check((uintptr_t)addr, size, false, CALLER);
}

void kasan_check_write(const volatile void *addr, size_t size)
{
    kasan_check((uintptr_t)addr, size, true, CALLER);
}

/* An access of 1, 2, 4 or 8 bytes: one or two bytes of shadow. */
static __always_inline void check_small(uintptr_t addr, size_t size, bool write, uintptr_t caller)
{
    if (unlikely(!ready || addr < SHADOW_START)) {
        return;
    }
    int8_t shadow = *shadow_of(addr + size - 1);
    if (likely(shadow == 0 &&
               ((addr & (GRANULE - 1)) + size <= GRANULE || *shadow_of(addr) == 0))) {
        return;
    }
    kasan_check(addr, size, write, caller);
}

#define DEFINE_CHECKS(size)                                                                        \
    void __asan_load##size##_noabort(uintptr_t addr);                                              \
    void __asan_store##size##_noabort(uintptr_t addr);                                             \
    void __asan_load##size##_noabort(uintptr_t addr)                                               \
    {                                                                                              \
        check_small(addr, size, false, CALLER);                                                    \
    }                                                                                              \
    void __asan_store##size##_noabort(uintptr_t addr)                                              \
    {                                                                                              \
        check_small(addr, size, true, CALLER);                                                     \
    }

DEFINE_CHECKS(1)
DEFINE_CHECKS(2)
DEFINE_CHECKS(4)
DEFINE_CHECKS(8)

void __asan_load16_noabort(uintptr_t addr);
void __asan_store16_noabort(uintptr_t addr);
void __asan_loadN_noabort(uintptr_t addr, size_t size);
void __asan_storeN_noabort(uintptr_t addr, size_t size);

void __asan_load16_noabort(uintptr_t addr)
{
    kasan_check(addr, 16, false, CALLER);
}

void __asan_store16_noabort(uintptr_t addr)
{
    kasan_check(addr, 16, true, CALLER);
}

void __asan_loadN_noabort(uintptr_t addr, size_t size)
{
    kasan_check(addr, size, false, CALLER);
}

void __asan_storeN_noabort(uintptr_t addr, size_t size)
{
    kasan_check(addr, size, true, CALLER);
}

/* ---- poison ---- */

void kasan_poison(const volatile void *start, size_t size, enum poison why)
{
    uintptr_t addr = ALIGN_UP((uintptr_t)start, GRANULE);
    uintptr_t end = (uintptr_t)start + size;

    if (ready && addr < end) {
        raw_memset(shadow_of(addr), why, (size_t)(shadow_of(end - 1) - shadow_of(addr) + 1));
    }
}

/* The shadow that stands for all zeros cannot be written: what is zero stays untouched. */
void kasan_unpoison(const volatile void *start, size_t size)
{
    uintptr_t addr = (uintptr_t)start;
    int8_t *shadow = shadow_of(addr), *end = shadow_of(addr + size);

    if (!ready || size == 0) {
        return;
    }
    while (shadow < end) {
        if (((uintptr_t)shadow & 7) == 0 && end - shadow >= 8) {
            if (*(uint64_t *)shadow != 0) {
                *(uint64_t *)shadow = 0;
            }
            shadow += 8;
            continue;
        }
        if (*shadow != 0) {
            *shadow = 0;
        }
        shadow++;
    }
    if (((addr + size) & (GRANULE - 1)) != 0) {
        *shadow = (int8_t)((addr + size) & (GRANULE - 1));
    }
}

/*
 * ---- stacks: each function marks the space around its variables, and clears it when it returns ----
 *
 * Some marks are stores without a call, so the calls must not be later than those: they work from shadow_init_early() on. What runs before, at
 * physical addresses, has no shadow.
 */

#define DEFINE_SET_SHADOW(name, value)                                                             \
    void __asan_set_shadow_##name(int8_t *shadow, size_t n);                                       \
    void __asan_set_shadow_##name(int8_t *shadow, size_t n)                                        \
    {                                                                                              \
        if ((uintptr_t)shadow >= BOOT_SHADOW) {                                                    \
            raw_memset(shadow, (value), n);                                                        \
        }                                                                                          \
    }

DEFINE_SET_SHADOW(00, 0)
DEFINE_SET_SHADOW(f1, 0xf1) /* left of the first variable */
DEFINE_SET_SHADOW(f2, 0xf2) /* between variables */
DEFINE_SET_SHADOW(f3, 0xf3) /* right of the last */
DEFINE_SET_SHADOW(f5, 0xf5) /* returned */
DEFINE_SET_SHADOW(f8, 0xf8) /* out of scope */

void __asan_poison_stack_memory(uintptr_t addr, size_t size);
void __asan_unpoison_stack_memory(uintptr_t addr, size_t size);
void __asan_alloca_poison(uintptr_t addr, size_t size);
void __asan_allocas_unpoison(uintptr_t top, uintptr_t bottom);
void __asan_handle_no_return(void);

void __asan_poison_stack_memory(uintptr_t addr, size_t size)
{
    if (addr >= SHADOW_START && size > 0) {
        raw_memset(shadow_of(addr), 0xf8, (size + GRANULE - 1) >> SHADOW_SHIFT);
    }
}

void __asan_unpoison_stack_memory(uintptr_t addr, size_t size)
{
    kasan_unpoison((const void *)addr, size);
}

#define ALLOCA_REDZONE 32u

void __asan_alloca_poison(uintptr_t addr, size_t size)
{
    uintptr_t end = ALIGN_UP(addr + size, ALLOCA_REDZONE);

    kasan_unpoison((const void *)addr, size);
    kasan_poison((const void *)(addr - ALLOCA_REDZONE), ALLOCA_REDZONE, 0xca);
    kasan_poison((const void *)(addr + size), end - (addr + size) + ALLOCA_REDZONE, 0xcb);
}

void __asan_allocas_unpoison(uintptr_t top, uintptr_t bottom)
{
    if (top != 0 && top < bottom) {
        kasan_unpoison((const void *)top, bottom - top);
    }
}

/* The callers of a function that does not return will not clear what they marked. */
void __asan_handle_no_return(void)
{
    uintptr_t here = ALIGN_DOWN((uintptr_t)__builtin_frame_address(0), GRANULE);

    if (ready) {
        uintptr_t base = (uintptr_t)current_thread()->stack;
        if (here - base < KSTACK_SIZE) {
            kasan_unpoison((const void *)here, base + KSTACK_SIZE - here);
        }
    }
}

/* ---- variables of the image ---- */

static struct {
    const struct kasan_global *globals;
    size_t n;
} modules[MAX_MODULES]; /* [I] after kasan_init() */
static unsigned nmodules;

void __asan_register_globals(struct kasan_global *globals, size_t n);
void __asan_unregister_globals(struct kasan_global *globals, size_t n);

void __asan_register_globals(struct kasan_global *globals, size_t n)
{
    if (nmodules < MAX_MODULES) {
        modules[nmodules].globals = globals;
        modules[nmodules++].n = n;
    }
    for (size_t i = 0; i < n; i++) {
        const struct kasan_global *global = &globals[i];
        kasan_unpoison((const void *)global->start, global->size);
        kasan_poison((const void *)(global->start + global->size),
                     global->size_with_redzone - global->size, POISON_GLOBAL);
    }
}

void __asan_unregister_globals(struct kasan_global *globals, size_t n)
{
    (void)globals, (void)n; /* the image is never unloaded */
}

const struct kasan_global *kasan_global_find(uintptr_t addr)
{
    for (unsigned i = 0; i < nmodules; i++) {
        for (size_t j = 0; j < modules[i].n; j++) {
            const struct kasan_global *global = &modules[i].globals[j];
            if (addr - global->start < global->size_with_redzone) {
                return global;
            }
        }
    }
    return NULL;
}

/* ---- boot ---- */

extern void (*const __init_array_start[])(void), (*const __init_array_end[])(void);

static void __init back(uintptr_t start, uint64_t len_bytes)
{
    if (shadow_back(start, len_bytes) < 0) {
        panic("kasan: no memory for the shadow of %#lx", start);
    }
}

static bool __init is_memory(uint32_t type)
{
    return type != BOOT_MEM_RESERVED && type != BOOT_MEM_BAD && type != BOOT_MEM_MMIO &&
           type != BOOT_MEM_PERSISTENT;
}

void __init kasan_init(const struct boot_handoff *handoff)
{
    struct boot_mem mem;

    shadow_init();
    for (unsigned i = 0; boot_memory(i, &mem); i++) {
        if (is_memory(mem.type)) {
            back((uintptr_t)phys_to_virt(mem.base), mem.length_bytes);
        }
    }
    back(handoff->kernel_virt, ALIGN_UP(handoff->kernel_size_bytes, PAGE_SIZE));
    ready = true;
    for (void (*const *fn)(void) = __init_array_start; fn < __init_array_end; fn++) {
        (*fn)();
    }
    log_info("kasan: every access of the kernel is checked");
}
