/*
 * User memory: strings, bulk copies, atomic words, and the boot step that turns SMAP on in the code.
 */
#include "kernel/machine/user.h"

#include "hal/x86_64/features.h"
#include "hal/x86_64/regs.h"
#include "hal/x86_64/start.h"
#include "kernel/base/string.h"
#include "kernel/mm/poison.h"
#include "kernel/mm/usercopy.h"

/* user_copy.S */
size_t user_copy(void *dst, const void *src, size_t n);
size_t user_clear(void *dst, size_t n);

#define BITS_OF_5_LEVELS 56 /* of a user address */

uint64_t machine_user_top __ro_after_init = USER_WINDOW;

#define ONES  0x0101010101010101ull
#define HIGHS 0x8080808080808080ull

/* See arch/user.h: neither the start nor the length reaches the kernel half. */
static inline bool range_ok(const void __user *ptr, size_t len_bytes)
{
    return user_bits_ok((uintptr_t)ptr | len_bytes);
}

static __always_inline size_t from_user(void *dst, const void __user *src, size_t len_bytes)
{
    memory_check_write(dst, len_bytes);
    return likely(range_ok(src, len_bytes)) ? user_copy(dst, src, len_bytes) : len_bytes;
}

static __always_inline size_t to_user(void __user *dst, const void *src, size_t len_bytes)
{
    memory_check_read(src, len_bytes);
    return likely(range_ok(dst, len_bytes)) ? user_copy(dst, src, len_bytes) : len_bytes;
}

/* Apart, so that the copies from and to stacks save no registers. */
static __noinline size_t heap_from_user(void *dst, const void __user *src, size_t len_bytes)
{
    return usercopy_inside(dst, len_bytes) ? from_user(dst, src, len_bytes) : len_bytes;
}

static __noinline size_t heap_to_user(void __user *dst, const void *src, size_t len_bytes)
{
    return usercopy_inside(src, len_bytes) ? to_user(dst, src, len_bytes) : len_bytes;
}

size_t copy_from_user_partial(void *dst, const void __user *src, size_t len_bytes)
{
    return usercopy_is_heap(dst, len_bytes) ? heap_from_user(dst, src, len_bytes)
                                            : from_user(dst, src, len_bytes);
}

size_t copy_to_user_partial(void __user *dst, const void *src, size_t len_bytes)
{
    return usercopy_is_heap(src, len_bytes) ? heap_to_user(dst, src, len_bytes)
                                            : to_user(dst, src, len_bytes);
}

/* What was not copied is zeroed, but for what may not be written to. */
static __noinline int zero_rest(uint8_t *dst, size_t len_bytes, size_t left)
{
    if (!usercopy_is_heap(dst, len_bytes) || usercopy_inside(dst, len_bytes)) {
        memset(dst + len_bytes - left, 0, left);
    }
    return -EFAULT;
}

int copy_from_user(void *dst, const void __user *src, size_t len_bytes)
{
    size_t left = copy_from_user_partial(dst, src, len_bytes);

    return likely(left == 0) ? 0 : zero_rest(dst, len_bytes, left);
}

int copy_to_user(void __user *dst, const void *src, size_t len_bytes)
{
    return likely(copy_to_user_partial(dst, src, len_bytes) == 0) ? 0 : -EFAULT;
}

int clear_user(void __user *dst, size_t len_bytes)
{
    return likely(range_ok(dst, len_bytes)) && user_clear(dst, len_bytes) == 0 ? 0 : -EFAULT;
}

/* Non-zero when the word has a zero byte; its lowest set bit marks the first (Mycroft 1987). */
static inline uint64_t zero_bytes(uint64_t word)
{
    return (word - ONES) & ~word & HIGHS;
}

/* True: 8 bytes from here lie in one page, so reading them faults only if the first byte would. */
static inline bool word_in_page(uintptr_t addr)
{
    return (addr & (PAGE_SIZE - 1)) <= PAGE_SIZE - 8;
}

ssize_t strncpy_from_user(char *dst, const char __user *src, size_t size)
{
    size_t len = 0;
    uint64_t word, zero;
    uint8_t byte;

    if (unlikely(!range_ok(src, size))) {
        return -EFAULT;
    }
    user_open();
    while (len + 8 <= size) {
        if (unlikely(!word_in_page((uintptr_t)src + len))) {
            user_load8(byte, user_at(src, len), fault);
            dst[len] = (char)byte;
            if (byte == 0) {
                goto done;
            }
            len++;
            continue;
        }
        user_load64(word, user_at(src, len), fault);
        __builtin_memcpy(dst + len, &word, 8);
        zero = zero_bytes(word);
        if (zero != 0) {
            len += (size_t)__builtin_ctzll(zero) / 8;
            goto done;
        }
        len += 8;
    }
    for (; len < size; len++) {
        user_load8(byte, user_at(src, len), fault);
        dst[len] = (char)byte;
        if (byte == 0) {
            goto done;
        }
    }
    user_close();
    return -ENAMETOOLONG;

done:
    user_close();
    return (ssize_t)len;

fault:
    return -EFAULT;
}

ssize_t strnlen_user(const char __user *src, size_t max)
{
    size_t len = 0;
    uint64_t word, zero;
    uint8_t byte;

    if (unlikely(!range_ok(src, max))) {
        return -EFAULT;
    }
    user_open();
    while (len < max) {
        if (len + 8 <= max && word_in_page((uintptr_t)src + len)) {
            user_load64(word, user_at(src, len), fault);
            zero = zero_bytes(word);
            if (zero != 0) {
                len += (size_t)__builtin_ctzll(zero) / 8;
                goto done;
            }
            len += 8;
            continue;
        }
        user_load8(byte, user_at(src, len), fault);
        if (byte == 0) {
            goto done;
        }
        len++;
    }
    user_close();
    return -E2BIG;

done:
    user_close();
    return (ssize_t)len;

fault:
    return -EFAULT;
}

int user_cmpxchg_u32(uint32_t __user *addr, uint32_t expected, uint32_t desired, uint32_t *ret_old)
{
    if (unlikely(!user_word_address_ok(addr))) {
        return -EFAULT;
    }
    user_open();
    __asm__ goto("1: lock cmpxchgl %2, %1\n\t" USER_FAULT_ASM("1b", "%l4")
                 : "=a"(expected)
                 : "m"(*addr), "r"(desired), "0"(expected)
                 : "memory", "cc"
                 : fault);
    user_close();
    *ret_old = expected;
    return 0;

fault:
    return -EFAULT;
}

/* ---- boot ---- */

extern int32_t __user_shift_sites_start[], __user_shift_sites_end[];
extern int32_t __stac_sites_start[], __stac_sites_end[], __clac_sites_start[], __clac_sites_end[];

/* The code is read-only where it runs: it is changed through the direct map. */
static uint8_t *__init site_alias(const struct boot_handoff *handoff, const int32_t *site)
{
    uintptr_t code = (uintptr_t)site + (uintptr_t)(intptr_t)*site;

    return phys_to_virt(code - handoff->kernel_virt + handoff->kernel_phys);
}

static void __init sites_patch(const struct boot_handoff *handoff, const int32_t *start,
                               const int32_t *end, uint8_t last_byte)
{
    for (const int32_t *site = start; site < end; site++) {
        uint8_t *alias = site_alias(handoff, site);

        alias[0] = 0x0f; /* STAC: 0f 01 cb, CLAC: 0f 01 ca */
        alias[1] = 0x01;
        alias[2] = last_byte;
    }
}

void __init user_init_early(const struct boot_handoff *handoff)
{
    if (cpu_features.smap) {
        sites_patch(handoff, __stac_sites_start, __stac_sites_end, 0xcb);
        sites_patch(handoff, __clac_sites_start, __clac_sites_end, 0xca);
    }
    if (cpu_features.la57) {
        for (const int32_t *site = __user_shift_sites_start; site < __user_shift_sites_end;
             site++) {
            *site_alias(handoff, site) = BITS_OF_5_LEVELS;
        }
        machine_user_top = (1ull << BITS_OF_5_LEVELS) - PAGE_SIZE;
    }
    cpu_serialize();
}
