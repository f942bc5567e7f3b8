/*
 * User memory, as far as it pays to be inline: words of 1, 2, 4 and 8 bytes.
 *
 * The pattern is: check the address, open SMAP, move, close SMAP. A fault that cannot be resolved goes on at the label `fault` with SMAP
 * closed again (trap.c clears the flag). The two SMAP instructions are no-ops until boot finds that the CPU has SMAP (user.c).
 *
 * The check: an address with any of its bits 47 to 63 set is refused; with 5 levels of page tables, 56 to 63: boot changes the shift in the
 * code. What is left lies below the kernel half, however far a copy of less than 128 TiB runs on from there: between USER_TOP and the kernel
 * half nothing is ever mapped.
 */
#pragma once

#include "kernel/base/errno.h"
#include "kernel/base/types.h"

#define ARCH_USER_WORDS 1

/* A 3-byte no-op that becomes STAC or CLAC. */
#define USER_PATCH_SITE_(section)                                                                  \
    "771: .byte 0x0f, 0x1f, 0x00\n\t"                                                              \
    ".pushsection " section ", \"a\"\n\t.long 771b - .\n\t.popsection\n\t"
#define USER_OPEN_ASM  USER_PATCH_SITE_(".stac_sites")
#define USER_CLOSE_ASM USER_PATCH_SITE_(".clac_sites")
/* Where a fault of the instruction at `from` goes on. */
#define USER_FAULT_ASM(from, to)                                                                   \
    ".pushsection .ex_table, \"a\"\n\t.long " from " - ., " to " - .\n\t.popsection\n\t"

static __always_inline void user_open(void)
{
    __asm__ volatile(USER_OPEN_ASM : : : "memory", "cc");
}

static __always_inline void user_close(void)
{
    __asm__ volatile(USER_CLOSE_ASM : : : "memory", "cc");
}

/* No bit is set that no user address has. The instruction's last byte is how many bits one has. */
static __always_inline bool user_bits_ok(uintptr_t bits)
{
    bool high;

    __asm__("771: shrq $47, %0\n\t"
            ".pushsection .user_shift_sites, \"a\"\n\t.long 771b + 3 - .\n\t.popsection"
            : "+r"(bits), "=@ccnz"(high));
    return !high;
}

static __always_inline bool user_word_address_ok(const void __user *ptr)
{
    return user_bits_ok((uintptr_t)ptr);
}

/* Between user_open() and user_close(): *(const type *)ptr into `value`, or goto `fault`. */
#define USER_LOAD_(suffix, constraint, value, ptr, fault)                                          \
    __asm__ goto("772: mov" suffix " %1, %0\n\t" USER_FAULT_ASM("772b", "%l2")                     \
                 : constraint(value)                                                               \
                 : "m"(*(ptr))                                                                     \
                 :                                                                                 \
                 : fault)
#define USER_STORE_(suffix, constraint, value, ptr, fault)                                         \
    __asm__ goto("772: mov" suffix " %0, %1\n\t" USER_FAULT_ASM("772b", "%l2")                     \
                 :                                                                                 \
                 : constraint(value), "m"(*(ptr))                                                  \
                 : "memory"                                                                        \
                 : fault)
#define user_load64(value, ptr, fault)  USER_LOAD_("q", "=r", value, (const uint64_t *)(ptr), fault)
#define user_load32(value, ptr, fault)  USER_LOAD_("l", "=r", value, (const uint32_t *)(ptr), fault)
#define user_load16(value, ptr, fault)  USER_LOAD_("w", "=r", value, (const uint16_t *)(ptr), fault)
#define user_load8(value, ptr, fault)   USER_LOAD_("b", "=q", value, (const uint8_t *)(ptr), fault)
#define user_store64(value, ptr, fault) USER_STORE_("q", "r", value, (uint64_t *)(ptr), fault)
#define user_store32(value, ptr, fault) USER_STORE_("l", "r", value, (uint32_t *)(ptr), fault)
#define user_store16(value, ptr, fault) USER_STORE_("w", "r", value, (uint16_t *)(ptr), fault)
#define user_store8(value, ptr, fault)  USER_STORE_("b", "q", value, (uint8_t *)(ptr), fault)

/* What kernel/machine/user.h says of user_put_inside(), for objects of 1, 2, 4 or 8 bytes. */
#define arch_user_put_inside(value, ptr, fault)                                                    \
    do {                                                                                           \
        if (sizeof(*(ptr)) == 1) {                                                                 \
            user_store8((uint8_t)(value), ptr, fault);                                             \
        } else if (sizeof(*(ptr)) == 2) {                                                          \
            user_store16((uint16_t)(value), ptr, fault);                                           \
        } else if (sizeof(*(ptr)) == 4) {                                                          \
            user_store32((uint32_t)(value), ptr, fault);                                           \
        } else {                                                                                   \
            user_store64((uint64_t)(value), ptr, fault);                                           \
        }                                                                                          \
    } while (0)

/* size: 1, 2, 4, 8, 16 or 32, a constant. 0, or -EFAULT with *dst cleared. */
static __always_inline int user_get_word(void *dst, const void __user *ptr, size_t size)
{
    union {
        uint8_t b;
        uint16_t w;
        uint32_t l;
        uint64_t q[4];
    } value;

    if (unlikely(!user_word_address_ok(ptr))) {
        goto fault;
    }
    user_open();
    if (size == 1) {
        user_load8(value.b, ptr, fault);
    } else if (size == 2) {
        user_load16(value.w, ptr, fault);
    } else if (size == 4) {
        user_load32(value.l, ptr, fault);
    } else if (size == 8) {
        user_load64(value.q[0], ptr, fault);
    } else {
        user_load64(value.q[0], ptr, fault);
        user_load64(value.q[1], (const uint8_t *)ptr + 8, fault);
        if (size == 32) {
            user_load64(value.q[2], (const uint8_t *)ptr + 16, fault);
            user_load64(value.q[3], (const uint8_t *)ptr + 24, fault);
        }
    }
    user_close();
    __builtin_memcpy(dst, &value, size);
    return 0;

fault:
    __builtin_memset(dst, 0, size);
    return -EFAULT;
}

static __always_inline int user_put_word(void __user *ptr, const void *src, size_t size)
{
    union {
        uint8_t b;
        uint16_t w;
        uint32_t l;
        uint64_t q[4];
    } value;

    if (unlikely(!user_word_address_ok(ptr))) {
        return -EFAULT;
    }
    __builtin_memcpy(&value, src, size);
    user_open();
    if (size == 1) {
        user_store8(value.b, ptr, fault);
    } else if (size == 2) {
        user_store16(value.w, ptr, fault);
    } else if (size == 4) {
        user_store32(value.l, ptr, fault);
    } else if (size == 8) {
        user_store64(value.q[0], ptr, fault);
    } else {
        user_store64(value.q[0], ptr, fault);
        user_store64(value.q[1], (uint8_t *)ptr + 8, fault);
        if (size == 32) {
            user_store64(value.q[2], (uint8_t *)ptr + 16, fault);
            user_store64(value.q[3], (uint8_t *)ptr + 24, fault);
        }
    }
    user_close();
    return 0;

fault:
    return -EFAULT;
}
