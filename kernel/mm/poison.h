/*
 * Telling the address sanitizer which memory is free or a red zone: on the host, of simulated physical memory, so that unit tests catch
 * uses after free and overruns of kernel objects; in a kernel with CONFIG_KASAN, of everything (kernel/debug/kasan). Elsewhere nothing.
 *
 * Poisoning begins at the next multiple of POISON_GRANULE, unpoisoning at a multiple; both may end anywhere. Any context.
 */
#pragma once

#include "kernel/base/types.h"

#define POISON_GRANULE 8u

/* Why memory may not be touched: values of the shadow, of which the compiler has its own from 0xf1 to 0xf9. */
enum poison {
    POISON_GLOBAL = 0xf9,   /* behind a variable of the image; the compiler's number */
    POISON_REDZONE = 0xfa,  /* around a heap object */
    POISON_FREED = 0xfd,    /* a heap object that was freed */
    POISON_UNMAPPED = 0xfe, /* nothing lives in this piece of the arena */
    POISON_FRAME = 0xff,    /* a free page */
};

#if defined(HOST_BUILD) && __has_feature(address_sanitizer)
void __asan_poison_memory_region(void const volatile *addr, size_t size);
void __asan_unpoison_memory_region(void const volatile *addr, size_t size);
#define memory_poison_as(addr, size, why) __asan_poison_memory_region((addr), (size))
#define memory_unpoison(addr, size)       __asan_unpoison_memory_region((addr), (size))
#define NO_SANITIZE_ADDRESS               __attribute__((no_sanitize("address")))
#elif defined(CONFIG_KASAN)
/* What instrumented code calls for each access, for those that assembly makes. */
void kasan_check_read(const volatile void *addr, size_t size);
void kasan_check_write(const volatile void *addr, size_t size);
#define memory_check_read(addr, size)     kasan_check_read((addr), (size))
#define memory_check_write(addr, size)    kasan_check_write((addr), (size))
void kasan_poison(const volatile void *addr, size_t size, enum poison why);
void kasan_unpoison(const volatile void *addr, size_t size);
#define memory_poison_as(addr, size, why) kasan_poison((addr), (size), (why))
#define memory_unpoison(addr, size)       kasan_unpoison((addr), (size))
#define NO_SANITIZE_ADDRESS               __attribute__((no_sanitize("address")))
#else
#define memory_poison_as(addr, size, why) ((void)(addr), (void)(size))
#define memory_unpoison(addr, size)       ((void)(addr), (void)(size))
#define NO_SANITIZE_ADDRESS
#endif
#ifndef memory_check_read
#define memory_check_read(addr, size)  ((void)(addr), (void)(size))
#define memory_check_write(addr, size) ((void)(addr), (void)(size))
#endif
