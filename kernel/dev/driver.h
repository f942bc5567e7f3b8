/*
 * Platform drivers: one registration line each. machine_init_devices() calls probe of all, in order of `stage`.
 *
 *     DRIVER(serial) = {.name = "16550", .stage = DRIVER_STAGE_CONSOLE, .probe = serial_probe};
 */
#pragma once

#include "kernel/core/linkset.h"

struct boot_handoff;

enum driver_stage { DRIVER_STAGE_CONSOLE, DRIVER_STAGE_BUS, DRIVER_STAGE_DEVICE, DRIVER_NSTAGES };

struct driver {
    const char *name;
    enum driver_stage stage;
    /* 0: found and running; -ENODEV: not there (not logged); else logged. Thread context, interrupts on. */
    int (*probe)(const struct boot_handoff *handoff);
};
#define DRIVER(name) LINKSET_ENTRY(drivers, struct driver, name)
/* Probe all drivers of the linker set. In kernel/dev/driver.c; kernel/main.c calls it. */
void drivers_probe(const struct boot_handoff *handoff);
