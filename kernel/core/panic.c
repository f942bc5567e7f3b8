/*
 * Panic and warnings: what is said when an invariant of ours is broken, and how the machine ends.
 *
 * The first CPU to panic speaks; others that panic meanwhile stop. A panic within the panic (the backtrace walks a damaged stack,
 * a console faults) stops after one line. Nothing here allocates or waits for a lock.
 */
#include "kernel/core/panic.h"

#include "kernel/base/atomic.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/defect.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/core/symbols.h"
#include "kernel/machine/console.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/power.h"
#include "kernel/machine/preempt.h"
#include "kernel/machine/smp.h"
#include "kernel/sync/lockdep.h"
#include "kernel/sync/report.h"

#define BACKTRACE_MAX 32

enum panic_action { PANIC_HALT, PANIC_RESET, PANIC_OFF };

static enum panic_action action __ro_after_init;
static uint32_t panic_cpu; /* [a] id + 1 of the CPU that panics */

bool panic_in_progress(void)
{
    return atomic_load_relaxed(&panic_cpu) != 0;
}

/* The first `nexact` are where something happened, the others return addresses: one back lies within the call, also at its end. */
static void log_addresses(enum log_level level, const uintptr_t *addrs, size_t n, size_t nexact)
{
    for (size_t i = 0; i < n; i++) {
        uintptr_t at = i < nexact ? addrs[i] : addrs[i] - 1;
        log_write(level, " #%-2zu 0x%016lx %pS", i, addrs[i], (void *)at);
    }
}

void backtrace_log(enum log_level level, const struct trapframe *frame)
{
    uintptr_t addrs[BACKTRACE_MAX];
    size_t n = cpu_backtrace(addrs, BACKTRACE_MAX, frame);

    log_addresses(level, addrs, n, frame != NULL ? 1 : 0);
}

void backtrace_log_addresses(enum log_level level, const uintptr_t *addrs, size_t n)
{
    log_addresses(level, addrs, n, 0);
}

static void __noreturn panic_end(void)
{
    switch (action) {
    case PANIC_RESET:
        machine_reset();
    case PANIC_OFF:
        machine_power_off();
    case PANIC_HALT:
        break;
    }
    machine_halt();
}

static void __noreturn panic_va(const struct trapframe *frame, const char *fmt, va_list args)
{
    char text[256];
    uint32_t nobody = 0, self;

    irq_disable();
    self = cpu_id() + 1;
    if (!atomic_cas(&panic_cpu, &nobody, self)) {
        if (nobody == self) {
            static const char again[] = "\npanic: a panic within the panic\n";
            console_early_write(again, sizeof(again) - 1);
            panic_end();
        }
        cpu_halt_forever();
    }
    smp_stop_others();
    lockdep_off();
    log_panic_begin();
    (void)kvsnprintf(text, sizeof(text), fmt, args);
    log_write(LOG_EMERG, "panic: %s", text);
    log_write(LOG_EMERG, "panic: cpu %u, %s", cpu_id(), kernel_banner());
    log_write(LOG_EMERG, "panic: build %s", build_id());
    if (frame != NULL) {
        machine_dump_frame(frame);
    }
    backtrace_log(LOG_EMERG, frame);
    log_write(LOG_EMERG, "panic: end");
    panic_end();
}

void panic(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    panic_va(NULL, fmt, args);
}

void panic_frame(const struct trapframe *frame, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    panic_va(frame, fmt, args);
}

void warn_at(const char *cond, const char *file, int line)
{
    log_write(LOG_WARNING, "warning: %s at %s:%d", cond, file, line);
    backtrace_log(LOG_WARNING, NULL);
}

/* What kernel/sync has to say: the line with the backtrace is the last one of each report. */
static void report_from_sync(const char *text, bool backtrace)
{
    if (!backtrace) {
        log_write(DEFECT_LEVEL, "%s", text);
    } else if (defect_begin(DEFECT_SYNC)) {
        log_write(DEFECT_LEVEL, "%s", text);
        defect_end();
    }
}

void panic_init(void)
{
    sync_report_hook = report_from_sync;
}

static void param_panic(const char *value)
{
    if (strcmp(value, "reset") == 0) {
        action = PANIC_RESET;
    } else if (strcmp(value, "off") == 0) {
        action = PANIC_OFF;
    } else {
        action = PANIC_HALT;
    }
}

PARAM_HANDLER(panic, param_panic);
