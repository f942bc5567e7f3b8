/*
 * The address sanitizer: what its files share, and its one step at boot.
 */
#pragma once

#include "kernel/abi/boot.h"
#include "kernel/base/types.h"

#ifdef CONFIG_KASAN
/* Boot, once frames can be had: the shadow; checks begin. */
void kasan_init(const struct boot_handoff *handoff);
#else
static inline void kasan_init(const struct boot_handoff *handoff)
{
    (void)handoff;
}
#endif

/* ---- private to the folder ---- */

/* What the compiler tells of a variable with a red zone behind it (LLVM, AddressSanitizer.cpp: ModuleAddressSanitizer). */
struct kasan_global {
    uintptr_t start;
    size_t size, size_with_redzone;
    const char *name, *module;
    uintptr_t dynamic_init;
    const void *location;
    uintptr_t odr_indicator;
};

/* An access of `size` bytes at `addr` by the code at `caller` hit the shadow byte of `bad`. */
void kasan_report(uintptr_t addr, uintptr_t bad, size_t size, bool write, uintptr_t caller);
/* The variable in whose memory or red zone addr lies, or NULL. */
const struct kasan_global *kasan_global_find(uintptr_t addr);
/* The same as kasan_check_read() and kasan_check_write() of kernel/mm/poison.h. */
void kasan_check(uintptr_t addr, size_t size, bool write, uintptr_t caller);
