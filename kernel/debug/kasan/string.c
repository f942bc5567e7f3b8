/*
 * The memory functions that all code calls, and the compiler for it: they check both blocks and hand over to hal/x86_64/string.S.
 */
#include "kernel/base/string.h"

#include <arch/page.h>

#include "kernel/debug/kasan/kasan.h"

#define CALLER ((uintptr_t)__builtin_return_address(0))

void *raw_memcpy(void *dst, const void *src, size_t n);
void *raw_memmove(void *dst, const void *src, size_t n);
void *raw_memset(void *dst, int c, size_t n);
void raw_page_clear(void *page);
void raw_page_copy(void *dst, const void *src);

void *(memcpy)(void *restrict dst, const void *restrict src, size_t n)
{
    kasan_check((uintptr_t)src, n, false, CALLER);
    kasan_check((uintptr_t)dst, n, true, CALLER);
    return raw_memcpy(dst, src, n);
}

void *(memmove)(void *dst, const void *src, size_t n)
{
    kasan_check((uintptr_t)src, n, false, CALLER);
    kasan_check((uintptr_t)dst, n, true, CALLER);
    return raw_memmove(dst, src, n);
}

void *(memset)(void *dst, int c, size_t n)
{
    kasan_check((uintptr_t)dst, n, true, CALLER);
    return raw_memset(dst, c, n);
}

void page_clear(void *page)
{
    kasan_check((uintptr_t)page, PAGE_SIZE, true, CALLER);
    raw_page_clear(page);
}

void page_copy(void *dst, const void *src)
{
    kasan_check((uintptr_t)src, PAGE_SIZE, false, CALLER);
    kasan_check((uintptr_t)dst, PAGE_SIZE, true, CALLER);
    raw_page_copy(dst, src);
}
