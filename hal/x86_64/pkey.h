/*
 * Protection keys for user pages (Intel SDM volume 3, 4.6.2): PKRU, a register of user mode, says for each of 16 keys whether pages that
 * have it may be accessed and written. It counts for the kernel's accesses to user memory as well, so it is switched with threads and not
 * with their FPU state, although XSAVE knows it as a component of its own (volume 1, 13.1).
 */
#pragma once

#include "hal/x86_64/features.h"
#include "hal/x86_64/regs.h"

/* As on Linux: a key gives no access to those who have not asked for it. */
#define PKRU_INITIAL 0x55555554u

/* Of the current thread; any value where the CPU has no keys. */
static inline uint32_t pkey_rights(void)
{
    return likely(cpu_features.pku) ? pkru_read() : PKRU_INITIAL;
}

static inline void pkey_set_rights(uint32_t pkru)
{
    if (likely(cpu_features.pku)) {
        pkru_write(pkru);
    }
}
