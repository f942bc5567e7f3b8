/*
 * Access to user memory: the only functions that may touch it. Each checks that the range lies below USER_TOP, opens SMAP, and
 * returns -EFAULT when a fault cannot be resolved (exception table). May sleep (page faults); with page faults disabled
 * (user_fault_disable) they fail instead of sleeping.
 */
#pragma once

#include <arch/page.h>
#include <arch/user.h>

#include "kernel/base/errno.h"

/* 0 or -EFAULT. On -EFAULT a part may have been copied; copy_from_user zeroes the rest of dst. */
int copy_from_user(void *dst, const void __user *src, size_t len_bytes) __must_check;
int copy_to_user(void __user *dst, const void *src, size_t len_bytes) __must_check;
int clear_user(void __user *dst, size_t len_bytes) __must_check;
/* The same, returning the number of bytes NOT copied, for partial reads and writes. */
size_t copy_from_user_partial(void *dst, const void __user *src, size_t len_bytes);
size_t copy_to_user_partial(void __user *dst, const void *src, size_t len_bytes);
/* Copy a string of at most size-1 bytes with its NUL. Its length, -EFAULT, or -ENAMETOOLONG when no NUL was met. */
ssize_t strncpy_from_user(char *dst, const char __user *src, size_t size);
/* Length of a user string up to `max`, or -EFAULT; -E2BIG past max. */
ssize_t strnlen_user(const char __user *src, size_t max);
/* Atomic access to a user word: for futex and clear_child_tid. `*ret_old` receives the former value. */
int user_cmpxchg_u32(uint32_t __user *addr, uint32_t expected, uint32_t desired, uint32_t *ret_old);

static inline bool user_range_ok(const void __user *ptr, size_t len_bytes)
{
    uintptr_t start = (uintptr_t)ptr;
    return len_bytes <= USER_TOP && start <= USER_TOP - len_bytes;
}

/*
 * The address `offset` bytes behind a user pointer, and that of a member of what it points at. What user space hands in may be null,
 * misaligned or at the end of the world, for which C does not define the arithmetic of pointers.
 */
#define user_at(ptr, offset) ((__typeof__(ptr))((uintptr_t)(ptr) + (uintptr_t)(offset)))
#define user_member(ptr, member)                                                                   \
    ((__typeof__((ptr)->member) __user *)((uintptr_t)(ptr) + offsetof(__typeof__(*(ptr)), member)))

/* Sizes for which <arch/user.h> has inline code: user_get_word() and user_put_word(), with these functions' results. */
#define USER_IS_WORD_(size) (ARCH_USER_WORDS && (size) <= 32 && ((size) & ((size)-1)) == 0)

/* dst, an object of any type of the size wanted, from the user pointer ptr. */
#define get_user(dst, ptr)                                                                         \
    (USER_IS_WORD_(sizeof(dst)) ? user_get_word(&(dst), (ptr), sizeof(dst))                        \
                                : copy_from_user(&(dst), (ptr), sizeof(dst)))
#define put_user(value, ptr)                                                                       \
    ({                                                                                             \
        __typeof__(*(ptr)) put_value_ = (__typeof__(*(ptr)))(value);                               \
        USER_IS_WORD_(sizeof(put_value_))                                                          \
        ? user_put_word((ptr), &put_value_, sizeof(put_value_))                                    \
        : copy_to_user((ptr), &put_value_, sizeof(put_value_));                                    \
    })

/*
 * Many words of one range, checked and opened once:
 *
 *         if (!user_begin(array, len)) { return -EFAULT; }
 *         for (...) { user_put_inside(value, &array[i].member, fault); }
 *         user_end();
 *         return 0;
 *     fault:
 *         return -EFAULT;        closed already
 *
 * Nothing else may be done between user_begin() and user_end(): no call, no access to user memory by other means.
 */
static __always_inline bool user_begin(const void __user *ptr, size_t len_bytes)
{
    if (unlikely(!user_range_ok(ptr, len_bytes))) {
        return false;
    }
#if ARCH_USER_WORDS
    user_open();
#endif
    return true;
}

static __always_inline void user_end(void)
{
#if ARCH_USER_WORDS
    user_close();
#endif
}

/* A scalar into *ptr, or on at the label `fault`. */
#if ARCH_USER_WORDS
#define user_put_inside(value, ptr, fault) arch_user_put_inside(value, ptr, fault)
#else
#define user_put_inside(value, ptr, fault)                                                         \
    do {                                                                                           \
        if (put_user(value, ptr) < 0) {                                                            \
            goto fault;                                                                            \
        }                                                                                          \
    } while (0)
#endif
