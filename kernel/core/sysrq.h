/*
 * Requests to the kernel by a single key (Documentation/admin-guide/sysrq.rst): Alt+SysRq and the key, a break on a serial console and the key
 * within five seconds, or `echo l > /proc/sysrq-trigger`.
 *
 *     SYSRQ_KEY(crash) = {.key = 'c', .help = "crash(c)", .text = "Trigger a crash", .mask = SYSRQ_DUMP, .fn = crash};
 */
#pragma once

#include "kernel/core/linkset.h"

/* Bits of /proc/sys/kernel/sysrq: what keyboards and serial lines may ask for. 1: everything. */
#define SYSRQ_ALL     0x001
#define SYSRQ_LOG     0x002 /* level of the console */
#define SYSRQ_DUMP    0x008 /* reports, crashes */
#define SYSRQ_SYNC    0x010
#define SYSRQ_SIGNAL  0x040 /* ends of processes */
#define SYSRQ_BOOT    0x080 /* reboot, power off */
#define SYSRQ_DEFAULT 0x1b6 /* as Debian's kernels: not reports and ends of processes */

extern int sysrq_mask; /* [a] */

struct sysrq_key {
    char key;             /* '0' stands for all digits */
    const char *help;     /* "crash(c)" */
    const char *text;     /* what it does, for the log; NULL: nothing is said */
    int mask;             /* SYSRQ_* that allow it */
    void (*fn)(char key); /* any context but NMI */
};
#define SYSRQ_KEY(name_) LINKSET_ENTRY(sysrq_keys, struct sysrq_key, name_)

/* Do what the key asks for; a key that nobody serves lists those that are served. Any context but NMI. */
void sysrq_request(char key);
/* The same for somebody at the machine, who may do what sysrq_mask says. */
void sysrq_request_checked(char key);
