/*
 * User memory: walk the current thread's page tables, fault where a CPU would, and touch the simulated frame.
 */
#include <pthread.h>
#include <string.h>

#include "hal/host/host.h"
#include "hal/host/mmu_entry.h"
#include "hal/host/private.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/mmu.h"
#include "kernel/machine/user.h"
#include "kernel/mm/usercopy.h"
#include "kernel/sched/thread.h"

#define RETRIES 16 /* a fault that is resolved again and again is a bug of the fault handler */

static uint64_t faults;
/* Held to read from the translation of an address to the end of the access: to other CPUs both are one instruction. */
static pthread_rwlock_t accesses = PTHREAD_RWLOCK_INITIALIZER;

void host_user_settle(void)
{
    pthread_rwlock_wrlock(&accesses);
    pthread_rwlock_unlock(&accesses);
}

static void access_end(void)
{
    pthread_rwlock_unlock(&accesses);
}

/* The address in simulated memory of user address `va`, and access_end() is due, or NULL and the error in *ret_err. */
static uint8_t *access_begin(vaddr_t va, bool write, bool from_user, int *ret_err)
{
    struct thread *thread = current_thread();
    unsigned flags = 0;
    paddr_t pa;

    *ret_err = -EFAULT;
    if (va >= USER_TOP) {
        return NULL;
    }
    for (unsigned i = 0; i < RETRIES; i++) {
        pthread_rwlock_rdlock(&accesses);
        bool present = thread->mmu != NULL && mmu_query(thread->mmu, va, &pa, &flags);
        if (present && !cpu_pkey_allows((flags & MMU_KEY) >> MMU_KEY_SHIFT, write)) {
            access_end();
            return NULL;
        }
        if (present && (flags & MMU_USER) != 0 && (!write || (flags & MMU_WRITE) != 0) &&
            (flags & (MMU_READ | MMU_WRITE | MMU_EXEC)) != 0) {
            host_mmu_dawdle();
            return (uint8_t *)phys_to_virt(pa) + va % PAGE_SIZE;
        }
        access_end();
        faults++;
        int err = machine_page_fault(va, (write ? FAULT_WRITE : 0) | (from_user ? FAULT_USER : 0) |
                                             (present ? FAULT_PRESENT : 0));
        if (err < 0) {
            *ret_err = err;
            return NULL;
        }
    }
    __builtin_trap();
}

/* Move bytes page by page; returns how many were left when a fault stopped it. */
static size_t move(vaddr_t user, void *kernel, size_t len, bool write)
{
    uint8_t *buf = kernel;
    int err;

    if (!user_range_ok((const void *)user, len) || (buf != NULL && !usercopy_inside(buf, len))) {
        return len;
    }
    while (len > 0) {
        size_t n = MIN(len, (size_t)(PAGE_SIZE - user % PAGE_SIZE));
        uint8_t *at = access_begin(user, write, false, &err);
        if (at == NULL) {
            return len;
        }
        if (!write) {
            memcpy(buf, at, n);
        } else if (buf != NULL) {
            memcpy(at, buf, n);
        } else {
            memset(at, 0, n);
        }
        access_end();
        buf = buf == NULL ? NULL : buf + n;
        user += n;
        len -= n;
    }
    return 0;
}

int copy_from_user(void *dst, const void __user *src, size_t len_bytes)
{
    if (!usercopy_inside(dst, len_bytes)) {
        return -EFAULT;
    }
    size_t left = move((vaddr_t)src, dst, len_bytes, false);
    if (left > 0) {
        memset((uint8_t *)dst + (len_bytes - left), 0, left);
        return -EFAULT;
    }
    return 0;
}

int copy_to_user(void __user *dst, const void *src, size_t len_bytes)
{
    return move((vaddr_t)dst, (void *)(uintptr_t)src, len_bytes, true) > 0 ? -EFAULT : 0;
}

int clear_user(void __user *dst, size_t len_bytes)
{
    return move((vaddr_t)dst, NULL, len_bytes, true) > 0 ? -EFAULT : 0;
}

size_t copy_from_user_partial(void *dst, const void __user *src, size_t len_bytes)
{
    return move((vaddr_t)src, dst, len_bytes, false);
}

size_t copy_to_user_partial(void __user *dst, const void *src, size_t len_bytes)
{
    return move((vaddr_t)dst, (void *)(uintptr_t)src, len_bytes, true);
}

ssize_t strncpy_from_user(char *dst, const char __user *src, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (move((vaddr_t)src + i, &dst[i], 1, false) > 0) {
            return -EFAULT;
        }
        if (dst[i] == '\0') {
            return (ssize_t)i;
        }
    }
    return -ENAMETOOLONG;
}

ssize_t strnlen_user(const char __user *src, size_t max)
{
    for (size_t i = 0; i < max; i++) {
        char c;
        if (move((vaddr_t)src + i, &c, 1, false) > 0) {
            return -EFAULT;
        }
        if (c == '\0') {
            return (ssize_t)i;
        }
    }
    return -E2BIG;
}

int user_cmpxchg_u32(uint32_t __user *addr, uint32_t expected, uint32_t desired, uint32_t *ret_old)
{
    int err;

    if (!user_range_ok(addr, sizeof(*addr))) {
        return -EFAULT;
    }
    uint8_t *at = access_begin((vaddr_t)addr, true, false, &err);
    if (at == NULL) {
        return -EFAULT;
    }
    *ret_old = expected;
    (void)__atomic_compare_exchange_n((uint32_t *)(void *)at, ret_old, desired, false,
                                      __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
    access_end();
    return 0;
}

int host_user_access(uint64_t addr, void *buf, size_t len, bool write)
{
    int err;
    uint8_t *at = access_begin(addr, write, true, &err);

    if (at == NULL) {
        return err;
    }
    if (write) {
        memcpy(at, buf, len);
    } else {
        memcpy(buf, at, len);
    }
    access_end();
    return 0;
}

uint64_t host_user_faults(void)
{
    return faults;
}
