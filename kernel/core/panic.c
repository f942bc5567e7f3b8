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
#include "kernel/core/percpu.h"
#include "kernel/core/symbols.h"
#include "kernel/machine/clock.h"
#include "kernel/machine/console.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/power.h"
#include "kernel/machine/preempt.h"
#include "kernel/machine/smp.h"
#include "kernel/sync/lockdep.h"
#include "kernel/sync/report.h"

#define BACKTRACE_MAX 32
#define NMI_WAIT_US   1000000u /* a host may keep a virtual CPU waiting that long */

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

/* ---- other CPUs ---- */

struct nmi_trace {
    uint32_t state; /* [a] NMI_* */
    uint32_t n;
    uintptr_t addrs[BACKTRACE_MAX];
};
enum { NMI_NONE, NMI_WANTED, NMI_DONE };

static DEFINE_PER_CPU(struct nmi_trace, nmi_trace);
static bool others_busy; /* [a] somebody asks */

bool machine_nmi_request(const struct trapframe *frame)
{
    struct nmi_trace *trace = this_cpu_ptr(nmi_trace);

    if (atomic_load_acquire(&trace->state) != NMI_WANTED) {
        return false;
    }
    trace->n = (uint32_t)cpu_backtrace(trace->addrs, BACKTRACE_MAX, frame);
    atomic_store_release(&trace->state, NMI_DONE);
    return true;
}

static void cpu_want(unsigned id, bool send)
{
    atomic_store_release(&per_cpu_ptr(nmi_trace, id)->state, NMI_WANTED);
    if (send) {
        smp_send_nmi(id);
    }
}

/* Ask the CPUs that are not idle; by messages of their own, or by those that stop them. */
static void others_want(bool send)
{
    unsigned id;

    for_each_online_cpu (id) {
        if (id != cpu_id() && !cpu_looks_idle(cpu_by_id(id))) {
            cpu_want(id, send);
        }
    }
}

static void cpu_tell(enum log_level level, unsigned id)
{
    struct nmi_trace *trace = per_cpu_ptr(nmi_trace, id);

    for (unsigned us = 0; atomic_load_acquire(&trace->state) == NMI_WANTED && us < NMI_WAIT_US;
         us += 10) {
        clock_delay_us(10);
    }
    uint32_t state = atomic_exchange(&trace->state, NMI_NONE);
    if (state == NMI_WANTED) {
        log_write(level, "cpu %u does not answer", id);
    } else if (state == NMI_DONE) {
        log_write(level, "cpu %u:", id);
        log_addresses(level, trace->addrs, trace->n, 1);
    }
}

static void others_tell(enum log_level level)
{
    unsigned id;

    for_each_online_cpu (id) {
        cpu_tell(level, id);
    }
}

/* One asks at a time; who comes second has it told by the first. */
static bool asking_begin(void)
{
    return !__atomic_exchange_n(&others_busy, true, __ATOMIC_ACQUIRE);
}

static void asking_end(void)
{
    atomic_store_release(&others_busy, false);
}

void backtrace_log_others(enum log_level level)
{
    if (asking_begin()) {
        others_want(true);
        others_tell(level);
        asking_end();
    }
}

void backtrace_log_all(enum log_level level)
{
    unsigned id;

    preempt_disable();
    log_write(level, "cpu %u:", cpu_id());
    backtrace_log(level, NULL);
    for_each_online_cpu (id) {
        if (id != cpu_id() && cpu_looks_idle(cpu_by_id(id))) {
            log_write(level, "cpu %u is idle", id);
        }
    }
    backtrace_log_others(level);
    preempt_enable();
}

void backtrace_log_cpu(enum log_level level, unsigned id)
{
    preempt_disable();
    if (id == cpu_id()) {
        log_write(level, "cpu %u:", id);
        backtrace_log(level, NULL);
    } else if (cpu_looks_idle(cpu_by_id(id))) {
        log_write(level, "cpu %u is idle", id);
    } else if (asking_begin()) {
        cpu_want(id, true);
        cpu_tell(level, id);
        asking_end();
    }
    preempt_enable();
}

void others_stop(void)
{
    smp_stop_others();
    lockdep_off();
    log_stand_alone();
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
    others_want(false);
    others_stop();
    log_panic_begin();
    (void)kvsnprintf(text, sizeof(text), fmt, args);
    log_write(LOG_EMERG, "panic: %s", text);
    log_write(LOG_EMERG, "panic: cpu %u, %s", cpu_id(), kernel_banner());
    log_write(LOG_EMERG, "panic: build %s", build_id());
    if (frame != NULL) {
        machine_dump_frame(frame);
    }
    backtrace_log(LOG_EMERG, frame);
    others_tell(LOG_EMERG);
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
