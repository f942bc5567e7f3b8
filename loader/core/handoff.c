/*
 * The seal of the boot handoff. The kernel's side of it is kernel/core/handoff.c.
 */
#include "loader/core/handoff.h"

#include "kernel/base/checksum.h"

void handoff_seal(struct boot_handoff *handoff)
{
    handoff->magic = BOOT_MAGIC;
    handoff->version = BOOT_VERSION;
    handoff->size_bytes = sizeof(*handoff);
    handoff->checksum = 0;
    handoff->checksum = crc32(0, handoff, sizeof(*handoff));
}
