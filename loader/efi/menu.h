/*
 * The boot menu.
 */
#pragma once

#include "loader/core/bootconf.h"
#include "loader/efi/firmware.h"

/*
 * Which entry to boot; its parameters may have been edited in place. A single entry is taken at
 * once unless a key is already pressed; of several the default one after conf->timeout_s without a
 * key. False: the user wants back to the firmware.
 */
bool menu_choose(struct bootconf *conf, struct bootconf_entry **ret_entry);
