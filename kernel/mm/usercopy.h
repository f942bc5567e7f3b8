/*
 * Hardened user copies: what is copied between kernel memory and a user's must lie inside one heap object, and not in free memory. A length that
 * somebody made up must neither show a neighbour's content nor overwrite it, in kernels without detectors too.
 *
 * Looked at are pieces in the direct map, where heap objects are; a stack ends at guard pages. A page copied whole is one of a file or of a
 * process: it costs nothing more.
 */
#pragma once

#include <arch/page.h>

#include "kernel/base/types.h"

/* Is it one that needs a look? */
static __always_inline bool usercopy_is_heap(const void *kernel, size_t len_bytes)
{
#ifndef HOST_BUILD
    if (likely((uintptr_t)kernel - BOOT_DIRECT_MAP >= BOOT_DIRECT_MAP_SIZE)) {
        return false;
    }
#endif
    return len_bytes != PAGE_SIZE || (uintptr_t)kernel % PAGE_SIZE != 0;
}

/* The look. False: it may not be copied, and was told as a defect of the heap. Any context. */
bool usercopy_inside(const void *kernel, size_t len_bytes);
