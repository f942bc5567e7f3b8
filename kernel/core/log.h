/*
 * The kernel log: a ring of records read by dmesg (syslog(2)), /dev/kmsg and the panic screen, and written to the consoles.
 *
 * Any context, NMI included (a record that cannot be stored is counted as lost). Text is "subsystem: message", without a newline.
 */
#pragma once

#include "kernel/base/types.h"

enum log_level {
    LOG_EMERG,
    LOG_ALERT,
    LOG_CRIT,
    LOG_ERR,
    LOG_WARNING,
    LOG_NOTICE,
    LOG_INFO,
    LOG_DEBUG
};

void log_write(enum log_level level, const char *fmt, ...) __printf(2, 3);
void log_vwrite(enum log_level level, const char *fmt, va_list args);

#ifndef CONFIG_LOG_LEVEL
#define CONFIG_LOG_LEVEL LOG_DEBUG
#endif
#define LOG_AT_(level, ...)                                                                        \
    do {                                                                                           \
        if ((int)(level) <= (int)CONFIG_LOG_LEVEL) {                                               \
            log_write((level), __VA_ARGS__);                                                       \
        }                                                                                          \
    } while (0)
#define log_err(...)    LOG_AT_(LOG_ERR, __VA_ARGS__)
#define log_warn(...)   LOG_AT_(LOG_WARNING, __VA_ARGS__)
#define log_notice(...) LOG_AT_(LOG_NOTICE, __VA_ARGS__)
#define log_info(...)   LOG_AT_(LOG_INFO, __VA_ARGS__)
#define log_debug(...)  LOG_AT_(LOG_DEBUG, __VA_ARGS__)
/* At most once per place. */
#define log_once(level, ...)                                                                       \
    do {                                                                                           \
        static bool logged_;                                                                       \
        if (!__atomic_exchange_n(&logged_, true, __ATOMIC_RELAXED)) {                              \
            LOG_AT_((level), __VA_ARGS__);                                                         \
        }                                                                                          \
    } while (0)

/*
 * Where log lines go as they come. write() is called with a whole line and its newline, by one CPU at a time, from any
 * context but NMI, and must neither sleep nor wait for a lock whose holder may log. Until the first console registers, lines
 * go to the machine's early console.
 *
 * What a console registered late is given first: with `replay` everything in the ring; with `replaces_early` (it writes to the
 * device that the early console wrote to) what came after the early console's last line; else nothing.
 */
struct log_console {
    const char *name;
    void (*write)(struct log_console *console, const char *text, size_t len_bytes);
    bool replay;
    bool replaces_early;
    struct log_console *next; /* [console lock] */
};
void log_console_register(struct log_console *console);
void log_console_unregister(struct log_console *console);
/* Records of a level numerically below this go to consoles (parameter loglevel=, dmesg -n). */
void log_set_console_level(int level);
int log_console_level(void);
/* To the lowest level, and back to that of the first log_console_off() (syslog(2)). */
void log_console_off(void);
void log_console_on(void);

/*
 * Reading. Sequence numbers grow by one per record; a reader keeps its own. log_read copies record `*seq` or the oldest
 * still there (then *seq says which), and returns its text length; 0: nothing at or after *seq yet.
 */
struct log_record {
    uint64_t sequence;
    ktime_t time; /* monotonic ns */
    enum log_level level;
    uint8_t facility; /* 0 kernel, 1 user (/dev/kmsg writers) */
};
size_t log_read(uint64_t *seq, struct log_record *ret_record, char *buf, size_t size);
uint64_t log_first_sequence(void);
uint64_t log_next_sequence(void);
void log_clear(void); /* syslog(5): later SYSLOG_ACTION_READ_ALL start here */
uint64_t log_clear_sequence(void);
/* For /dev/kmsg: a record from user space. */
void log_write_user(enum log_level level, uint8_t facility, const char *text, size_t len_bytes);
/* Set by sched-level code: called after each record, any context but NMI, to wake readers (deferred by the callee). */
extern void (*log_wake_hook)(void);
/* Set by core/time once the clock runs: what stamps the records; they carry 0 before. */
extern ktime_t (*log_clock_hook)(void);
/* The other CPUs have been stopped for good: break the locks they may hold. Consoles wait for none either from now on. */
void log_stand_alone(void);
bool log_stands_alone(void);
/* For panic, standing alone: write everything to the consoles from now on. */
void log_panic_begin(void);
