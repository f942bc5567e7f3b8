/*
 * The screen that the kernel gets.
 */
#pragma once

#include "kernel/abi/boot.h"
#include "loader/efi/firmware.h"

/*
 * Choose and set a mode by the Graphics Output Protocol and describe the framebuffer. `forced` is
 * the value of the parameter video=, "" for none. A machine without a usable display leaves
 * *ret_framebuffer all zero; that is no failure.
 */
void display_setup(const char *forced, struct boot_framebuffer *ret_framebuffer);
