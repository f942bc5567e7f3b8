/*
 * The end: a broken invariant of ours. Never for hostile input, device errors or lack of memory after boot.
 */
#pragma once

#include "kernel/base/types.h"
#include "kernel/core/log.h"

struct trapframe;

/*
 * Stop the other CPUs, print message, registers (frame may be NULL), symbolised backtrace, build id and log tail on all
 * consoles and the screen; then by parameter panic=: halt (default), "reset", or "off" (power off; --exec uses it).
 */
void panic(const char *fmt, ...) __noreturn __printf(1, 2) __cold;
void panic_frame(const struct trapframe *frame, const char *fmt, ...)
    __noreturn __printf(2, 3) __cold;
/* Write this context's call chain (frame NULL) or that of an interrupted one to the log, a line per call. Any context. */
void backtrace_log(enum log_level level, const struct trapframe *frame);
/* The same for return addresses kept earlier. */
void backtrace_log_addresses(enum log_level level, const uintptr_t *addrs, size_t n);
/*
 * What the other CPUs do, all CPUs (the caller's first), or one of them: interrupts them by NMI, so it does not matter what they do. Of idle ones only
 * that is told. Any context.
 */
void backtrace_log_others(enum log_level level);
void backtrace_log_all(enum log_level level);
void backtrace_log_cpu(enum log_level level, unsigned id);
/* Boot: from now on kernel/sync reports what it finds through the log. */
void panic_init(void);
/* True once a panic has begun. */
bool panic_in_progress(void);
/*
 * Whoever ends the machine stops the other CPUs: this one goes on, and neither the log nor its consoles wait for locks any more. Interrupts
 * off. On a CPU that comes second it does not return.
 */
void others_stop(void);

/* A check of our own logic, kept in release builds. */
#define BUG_ON(cond)                                                                               \
    do {                                                                                           \
        if (unlikely(cond)) {                                                                      \
            panic("BUG: %s at %s:%d", #cond, __FILE__, __LINE__);                                  \
        }                                                                                          \
    } while (0)
/* Debug builds only. */
#ifdef CONFIG_DEBUG
#define ASSERT(cond) BUG_ON(!(cond))
#else
#define ASSERT(cond) ((void)sizeof(cond))
#endif
/* Log once with a backtrace and go on; returns the condition. */
#define WARN_ON(cond)                                                                              \
    ({                                                                                             \
        bool warn_ = (cond);                                                                       \
        static bool warned_;                                                                       \
        if (unlikely(warn_) && !__atomic_exchange_n(&warned_, true, __ATOMIC_RELAXED)) {           \
            warn_at(#cond, __FILE__, __LINE__);                                                    \
        }                                                                                          \
        warn_;                                                                                     \
    })
void warn_at(const char *cond, const char *file, int line) __cold;
