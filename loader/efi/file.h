/*
 * Files on the volume that the loader was started from.
 */
#pragma once

#include "loader/efi/firmware.h"

/* Find the volume. Once, before anything is read. */
EFI_STATUS volume_open(void);
void volume_close(void);

/*
 * Read a whole file into pages of its own (memory_alloc). Fails with a sentence when it is missing,
 * empty, larger than `max_bytes`, unreadable, or when there is no memory for it.
 */
EFI_STATUS file_read(const char *path, uint64_t max_bytes, paddr_t *ret_addr,
                     uint64_t *ret_size_bytes);
