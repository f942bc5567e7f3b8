/* Requests by a key: sysrq.h; and those that need no more than this room: call chains, the level of the log, and the ends of the machine. */
#include "kernel/core/sysrq.h"

#include "kernel/base/atomic.h"
#include "kernel/base/printf.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/machine/power.h"

#define HELP_BYTES    400u
#define LEVEL_MESSAGE 7 /* what is said about a request itself is seen whatever the level */

LINKSET_DECLARE(sysrq_keys, struct sysrq_key);

int sysrq_mask = SYSRQ_DEFAULT;

static void list_keys(void)
{
    char text[HELP_BYTES];
    size_t len = 0;

    linkset_foreach (sysrq_keys, struct sysrq_key, entry) {
        len += (size_t)kscnprintf(text + len, sizeof(text) - len, " %s", entry->help);
    }
    log_notice("sysrq: HELP :%s", text);
}

static const struct sysrq_key *find(char key)
{
    char wanted = key >= '0' && key <= '9' ? '0' : key;

    linkset_foreach (sysrq_keys, struct sysrq_key, entry) {
        if (entry->key == wanted) {
            return entry;
        }
    }
    return NULL;
}

static bool is_allowed(const struct sysrq_key *entry)
{
    int mask = atomic_load_relaxed(&sysrq_mask);

    return mask == SYSRQ_ALL || (mask & entry->mask) != 0;
}

static void request(char key, bool check)
{
    const struct sysrq_key *entry = find(key);
    bool allowed = entry != NULL && (!check || is_allowed(entry));
    int level = log_console_level();

    log_set_console_level(MAX(level, LEVEL_MESSAGE));
    if (entry == NULL) {
        list_keys();
    } else if (!allowed) {
        log_notice("sysrq: This sysrq operation is disabled.");
    } else if (entry->text != NULL) {
        log_notice("sysrq: %s", entry->text);
    }
    log_set_console_level(level);
    if (allowed) {
        entry->fn(key);
    }
}

void sysrq_request(char key)
{
    request(key, false);
}

void sysrq_request_checked(char key)
{
    if (atomic_load_relaxed(&sysrq_mask) != 0) {
        request(key, true);
    }
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

static void set_level(char key)
{
    log_set_console_level(LEVEL_MESSAGE);
    log_notice("sysrq: Loglevel set to %c", key);
    log_set_console_level(key - '0');
}

SYSRQ_KEY(level) = {.key = '0', .help = "loglevel(0-9)", .mask = SYSRQ_LOG, .fn = set_level};
SYSRQ_KEY(reset) = {
    .key = 'b', .help = "reboot(b)", .text = "Resetting", .mask = SYSRQ_BOOT, .fn = reset};
SYSRQ_KEY(crash) = {
    .key = 'c', .help = "crash(c)", .text = "Trigger a crash", .mask = SYSRQ_DUMP, .fn = crash};
SYSRQ_KEY(backtraces) = {.key = 'l',
                         .help = "show-backtrace-all-active-cpus(l)",
                         .text = "Show backtrace of all active CPUs",
                         .mask = SYSRQ_DUMP,
                         .fn = show_backtraces};
SYSRQ_KEY(power_off) = {
    .key = 'o', .help = "poweroff(o)", .text = "Power Off", .mask = SYSRQ_BOOT, .fn = power_off};
