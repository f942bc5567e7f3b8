/*
 * The boot handoff as the kernel receives it: is it whole, and what does it say?
 */
#pragma once

#include "kernel/abi/boot.h"
#include "kernel/base/types.h"

/*
 * Judge magic, version, size and checksum. NULL: good; else a sentence. Reads nothing but the
 * struct.
 */
const char *handoff_fault(const struct boot_handoff *handoff);
/* Panics with that sentence when there is one. Boot, before anything in the struct is believed. */
void handoff_check(const struct boot_handoff *handoff);
/*
 * Tell the log how we came here: loader, image, memory map, framebuffer, firmware tables. Boot,
 * after handoff_check().
 */
void handoff_log(const struct boot_handoff *handoff);
/* A name for an enum boot_mem_type: "usable". */
const char *boot_mem_type_text(uint32_t type);
