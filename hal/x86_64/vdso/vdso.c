/*
 * The vDSO's functions: the clocks and the CPU number without entering the kernel. Interface and names: vdso(7), "x86-64 functions".
 *
 * Runs in user mode. Reads struct vdso_data (kernel/core/time.h) in the page before the image, under its sequence count, and makes
 * the system call whenever the page does not have the answer.
 */
#include <asm/unistd.h>
#include <linux/time.h>
#include <linux/time_types.h>

#include "hal/x86_64/vdso/cpunode.h"
#include "kernel/base/atomic.h"
#include "kernel/core/time.h"

#define EXPORT    __attribute__((visibility("default")))
#define ALIAS(of) __attribute__((visibility("default"), weak, alias(#of)))

/* What getcpu(2) calls its third argument: unused since Linux 2.6.24. */
struct getcpu_cache;

int __vdso_clock_gettime(int clock, struct __kernel_timespec *ret_time);
int __vdso_clock_getres(int clock, struct __kernel_timespec *ret_res);
int __vdso_gettimeofday(struct timeval *ret_time, struct timezone *ret_zone);
__kernel_old_time_t __vdso_time(__kernel_old_time_t *ret_time);
long __vdso_getcpu(unsigned *ret_cpu, unsigned *ret_node, struct getcpu_cache *unused);

/* The linker's name for the image's first byte. Not const: what lies before it changes. */
extern char __ehdr_start[] __attribute__((visibility("hidden")));

static __always_inline const struct vdso_data *data_page(void)
{
    return (const struct vdso_data *)(__ehdr_start - 4096);
}

static __noinline long syscall2(long nr, long a, long b)
{
    long result;

    __asm__ volatile("syscall" : "=a"(result) : "0"(nr), "D"(a), "S"(b) : "rcx", "r11", "memory");
    return result;
}

/* The counter, not before the loads in front of it (Intel SDM volume 2, RDTSC). */
static __always_inline uint64_t counter_read(void)
{
    uint32_t lo, hi;

    __asm__ volatile("lfence\n\trdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return ((uint64_t)hi << 32) | lo;
}

/* (a * b) >> shift with a 128-bit product; shift below 64. */
static __always_inline uint64_t scale(uint64_t a, uint64_t b, uint32_t shift)
{
    uint64_t high;

    __asm__("mulq %3\n\tshrdq %%cl, %1, %0"
            : "=a"(a), "=&d"(high)
            : "0"(a), "r"(b), "c"(shift)
            : "cc");
    return a;
}

/* The answer of clock_read(): monotonic time and nothing else, or with an offset of the page added; or raw time. */
enum clock_kind { KIND_MONOTONIC, KIND_REAL, KIND_TAI, KIND_RAW };

/* True and the time in ns, or false: ask the kernel. */
static __always_inline bool clock_read(enum clock_kind kind, uint64_t *ret_ns)
{
    const struct vdso_data *data = data_page();
    uint32_t sequence;
    uint64_t ns, delta;

    do {
        /* Acquire: pairs with the release of the writer's second increment. */
        while (unlikely((sequence = atomic_load_acquire(&data->sequence)) & 1)) {
            __builtin_ia32_pause();
        }
        if (unlikely(atomic_load_relaxed(&data->counter_usable) == 0)) {
            return false;
        }
        delta = counter_read() - atomic_load_relaxed(&data->counter_base);
        if (unlikely((int64_t)delta < 0)) {
            delta = 0; /* another CPU's counter, a little ahead, set the base */
        }
        if (kind == KIND_RAW) {
            ns = scale(delta, atomic_load_relaxed(&data->raw_mult),
                       atomic_load_relaxed(&data->raw_shift)) +
                 (uint64_t)atomic_load_relaxed(&data->raw_base_ns);
        } else {
            ns = scale(delta, atomic_load_relaxed(&data->mult), atomic_load_relaxed(&data->shift)) +
                 (uint64_t)atomic_load_relaxed(&data->monotonic_base_ns);
        }
        if (kind == KIND_REAL || kind == KIND_TAI) {
            ns += (uint64_t)atomic_load_relaxed(&data->realtime_offset_ns);
        }
        if (kind == KIND_TAI) {
            ns += (uint64_t)atomic_load_relaxed(&data->tai_offset_ns);
        }
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
    } while (unlikely(atomic_load_relaxed(&data->sequence) != sequence));
    *ret_ns = ns;
    return true;
}

/* A coarse time: as the last tick left it, but when there are none, as it is, if there were none still when the clock had been read. */
static __always_inline bool coarse_read(bool real, uint64_t *ret_ns)
{
    const struct vdso_data *data = data_page();

    while (unlikely(atomic_load_relaxed(&data->coarse_stands) != 0)) {
        uint32_t sequence = atomic_load_acquire(&data->sequence);
        if (atomic_load_relaxed(&data->coarse_stands) == 0) {
            break;
        }
        if (!clock_read(real ? KIND_REAL : KIND_MONOTONIC, ret_ns)) {
            return false;
        }
        if (likely(atomic_load_relaxed(&data->sequence) == sequence)) {
            return true;
        }
    }
    *ret_ns = (uint64_t)(real ? atomic_load_relaxed(&data->coarse_realtime_ns)
                              : atomic_load_relaxed(&data->coarse_monotonic_ns));
    return true;
}

static __always_inline int timespec_set(struct __kernel_timespec *ret_time, uint64_t ns)
{
    ret_time->tv_sec = (int64_t)(ns / NS_PER_S);
    ret_time->tv_nsec = (int64_t)(ns % NS_PER_S);
    return 0;
}

EXPORT int __vdso_clock_gettime(int clock, struct __kernel_timespec *ret_time)
{
    uint64_t ns;

    if (likely(clock == CLOCK_MONOTONIC) || clock == CLOCK_BOOTTIME) {
        if (likely(clock_read(KIND_MONOTONIC, &ns))) {
            return timespec_set(ret_time, ns);
        }
    } else if (clock == CLOCK_REALTIME) {
        if (likely(clock_read(KIND_REAL, &ns))) {
            return timespec_set(ret_time, ns);
        }
    } else if (clock == CLOCK_MONOTONIC_RAW) {
        if (likely(clock_read(KIND_RAW, &ns))) {
            return timespec_set(ret_time, ns);
        }
    } else if (clock == CLOCK_TAI) {
        if (likely(clock_read(KIND_TAI, &ns))) {
            return timespec_set(ret_time, ns);
        }
    } else if (clock == CLOCK_REALTIME_COARSE) {
        if (likely(coarse_read(true, &ns))) {
            return timespec_set(ret_time, ns);
        }
    } else if (clock == CLOCK_MONOTONIC_COARSE) {
        if (likely(coarse_read(false, &ns))) {
            return timespec_set(ret_time, ns);
        }
    }
    return (int)syscall2(__NR_clock_gettime, clock, (long)ret_time);
}

EXPORT int __vdso_clock_getres(int clock, struct __kernel_timespec *ret_res)
{
    return (int)syscall2(__NR_clock_getres, clock, (long)ret_res);
}

EXPORT int __vdso_gettimeofday(struct timeval *ret_time, struct timezone *ret_zone)
{
    uint64_t ns;

    if (unlikely(!clock_read(KIND_REAL, &ns))) {
        return (int)syscall2(__NR_gettimeofday, (long)ret_time, (long)ret_zone);
    }
    if (ret_time != NULL) {
        ret_time->tv_sec = (int64_t)(ns / NS_PER_S);
        ret_time->tv_usec = (int64_t)(ns % NS_PER_S / 1000);
    }
    if (ret_zone != NULL) {
        ret_zone->tz_minuteswest = atomic_load_relaxed(&data_page()->minutes_west);
        ret_zone->tz_dsttime = atomic_load_relaxed(&data_page()->dst);
    }
    return 0;
}

EXPORT __kernel_old_time_t __vdso_time(__kernel_old_time_t *ret_time)
{
    uint64_t ns;

    if (unlikely(!coarse_read(true, &ns))) {
        return syscall2(__NR_time, (long)ret_time, 0);
    }
    __kernel_old_time_t now = (__kernel_old_time_t)(ns / NS_PER_S);
    if (ret_time != NULL) {
        *ret_time = now;
    }
    return now;
}

EXPORT long __vdso_getcpu(unsigned *ret_cpu, unsigned *ret_node, struct getcpu_cache *unused)
{
    unsigned limit;

    (void)unused;
    __asm__("lsl %1, %0" : "=r"(limit) : "r"(CPUNODE_SELECTOR) : "cc");
    if (ret_cpu != NULL) {
        *ret_cpu = limit & CPUNODE_CPU_MASK;
    }
    if (ret_node != NULL) {
        *ret_node = limit >> CPUNODE_NODE_SHIFT;
    }
    return 0;
}

int clock_gettime(int clock, struct __kernel_timespec *ret_time) ALIAS(__vdso_clock_gettime);
int clock_getres(int clock, struct __kernel_timespec *ret_res) ALIAS(__vdso_clock_getres);
int gettimeofday(struct timeval *ret_time, struct timezone *ret_zone) ALIAS(__vdso_gettimeofday);
__kernel_old_time_t time(__kernel_old_time_t *ret_time) ALIAS(__vdso_time);
long getcpu(unsigned *ret_cpu, unsigned *ret_node, struct getcpu_cache *unused)
    ALIAS(__vdso_getcpu);
