/* Requests by a key: sysrq.h; and those that need no more than this room: call chains, the level of the log, and the ends of the machine. */
#include "kernel/core/sysrq.h"

#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/machine/power.h"

LINKSET_DECLARE(sysrq_keys, struct sysrq_key);

static void list_keys(void)
{
    log_notice("sysrq: keys are");
    linkset_foreach (sysrq_keys, struct sysrq_key, entry) {
        log_notice("sysrq:   %c  %s", entry->key, entry->text);
    }
}

void sysrq_request(char key)
{
    linkset_foreach (sysrq_keys, struct sysrq_key, entry) {
        if (entry->key == key) {
            log_notice("sysrq: %s", entry->text);
            entry->fn(key);
            return;
        }
    }
    list_keys();
}

static void show_backtraces(char key)
{
    (void)key;
    backtrace_log_all(LOG_INFO);
}

static void crash(char key)
{
    panic("sysrq: asked for by the key %c", key);
}

static void reset(char key)
{
    (void)key;
    machine_reset();
}

static void power_off(char key)
{
    (void)key;
    machine_power_off();
}

SYSRQ_KEY(backtraces) = {
    .key = 'l', .text = "Show backtrace of all active CPUs", .fn = show_backtraces};
SYSRQ_KEY(crash) = {.key = 'c', .text = "Trigger a crash", .fn = crash};
SYSRQ_KEY(reset) = {.key = 'b', .text = "Resetting", .fn = reset};
SYSRQ_KEY(power_off) = {.key = 'o', .text = "Power Off", .fn = power_off};
