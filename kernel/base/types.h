/*
 * The scalar types with meaning and the small macros that every file uses.
 */
#pragma once

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t paddr_t; /* physical address */
typedef uint64_t vaddr_t; /* virtual address, of the kernel or of a user */
typedef uint64_t pfn_t;   /* page frame number: paddr >> PAGE_SHIFT */
typedef int64_t ktime_t;  /* nanoseconds */
typedef int64_t ssize_t;  /* a count, or a negative errno */
typedef int64_t loff_t;   /* a file offset in bytes */

/* A pointer that user space handed in: never dereferenced, only passed to the functions of machine/user.h. */
#define __user

#define __packed     __attribute__((packed))
#define __aligned(n) __attribute__((aligned(n)))
#define __noreturn   __attribute__((noreturn))
#define __noinline   __attribute__((noinline))
#undef __always_inline /* libc on the host has its own */
#define __always_inline inline __attribute__((always_inline))
#define __must_check    __attribute__((warn_unused_result))
#define __printf(f, a)  __attribute__((format(printf, f, a)))
#define __used          __attribute__((used))
#define __maybe_unused  __attribute__((unused))
#define __section(s)    __attribute__((section(s)))
#define __weak          __attribute__((weak))
#define __cacheline     __attribute__((aligned(64)))
#define __cold          __attribute__((cold))
/* Code and data that only boot needs; their pages are freed before init starts. */
#define __init     __attribute__((section(".init.text"), cold))
#define __initdata __attribute__((section(".init.data")))
/* Written during boot only; read-only afterwards. */
#define __ro_after_init __attribute__((section(".data.ro_after_init")))

#define likely(x)   __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)
#define barrier()   __asm__ volatile("" ::: "memory")

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define BIT(n)        (1ull << (n))
#define KIB(n)        ((uint64_t)(n) << 10)
#define MIB(n)        ((uint64_t)(n) << 20)
#define GIB(n)        ((uint64_t)(n) << 30)

#define ALIGN_DOWN(x, a)   ((x) & ~((__typeof__(x))(a)-1))
#define ALIGN_UP(x, a)     ALIGN_DOWN((x) + ((__typeof__(x))(a)-1), (a))
#define IS_ALIGNED(x, a)   (((x) & ((__typeof__(x))(a)-1)) == 0)
#define DIV_ROUND_UP(n, d) (((n) + (d)-1) / (d))

#define MIN(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) min_a_ = (a);                                                                \
        __typeof__(b) min_b_ = (b);                                                                \
        min_a_ < min_b_ ? min_a_ : min_b_;                                                         \
    })
#define MAX(a, b)                                                                                  \
    ({                                                                                             \
        __typeof__(a) max_a_ = (a);                                                                \
        __typeof__(b) max_b_ = (b);                                                                \
        max_a_ > max_b_ ? max_a_ : max_b_;                                                         \
    })
#define CLAMP(x, lo, hi) MIN(MAX((x), (lo)), (hi))

#define container_of(ptr, type, member)                                                            \
    ({                                                                                             \
        const __typeof__(((type *)0)->member) *member_ptr_ = (ptr);                                \
        (type *)((uintptr_t)member_ptr_ - offsetof(type, member));                                 \
    })

/* One read or write that the compiler neither tears, repeats nor drops. */
#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))
