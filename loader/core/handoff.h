/*
 * The seal of the boot handoff (kernel/abi/boot.h): magic, version, size and checksum, set last by
 * every loader.
 */
#pragma once

#include "kernel/abi/boot.h"
#include "kernel/base/types.h"

/* Fill in magic, version, size and checksum of a handoff that is otherwise complete. */
void handoff_seal(struct boot_handoff *handoff);
