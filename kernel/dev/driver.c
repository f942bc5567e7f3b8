/*
 * Platform drivers: probes what the linker set lists, stage by stage.
 */
#include "kernel/dev/driver.h"

#include "kernel/base/errno.h"
#include "kernel/core/log.h"

LINKSET_DECLARE(drivers, struct driver);

static void probe_one(const struct driver *driver, const struct boot_handoff *handoff)
{
    int err = driver->probe(handoff);

    if (err < 0 && err != -ENODEV) {
        log_warn("driver: %s failed to start: error %d", driver->name, -err);
    }
}

void drivers_probe(const struct boot_handoff *handoff)
{
    for (int stage = 0; stage < DRIVER_NSTAGES; stage++) {
        linkset_foreach (drivers, struct driver, driver) {
            if ((int)driver->stage == stage) {
                probe_one(driver, handoff);
            }
        }
    }
}
