/*
 * The kernel's own symbol table, built into the image by tools after the first link (kernel/core/mksyms.py).
 */
#pragma once

#include "kernel/base/types.h"

/* Name of the function that holds `addr`, or NULL. *ret_offset and *ret_size in bytes. buf holds the text. Any context. */
const char *symbol_find(uintptr_t addr, char *buf, size_t size, size_t *ret_offset,
                        size_t *ret_size);
/* Make %pS print names. */
void symbols_init(void);
/* The 20-byte build id of the image as 40 hex digits. */
const char *build_id(void);
/* "Linnet 0.1.0 (clang ...) x86_64 ..." for the log and /proc/version. */
const char *kernel_banner(void);
bool kernel_text_contains(uintptr_t addr);
/* Is it code of kernel/sched? So what waits is further out on the stack. */
bool kernel_text_is_sched(uintptr_t addr);
