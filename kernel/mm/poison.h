/*
 * On the host, tell the address sanitizer which parts of simulated physical memory are free, so that unit tests catch uses after free and
 * overruns of kernel objects. In the kernel image this is nothing.
 */
#pragma once

#include "kernel/base/types.h"

#ifdef HOST_BUILD
void __asan_poison_memory_region(void const volatile *addr, size_t size);
void __asan_unpoison_memory_region(void const volatile *addr, size_t size);
#define memory_poison(addr, size)   __asan_poison_memory_region((addr), (size))
#define memory_unpoison(addr, size) __asan_unpoison_memory_region((addr), (size))
#define NO_SANITIZE_ADDRESS         __attribute__((no_sanitize("address")))
#else
#define memory_poison(addr, size)   ((void)(addr), (void)(size))
#define memory_unpoison(addr, size) ((void)(addr), (void)(size))
#define NO_SANITIZE_ADDRESS
#endif
