/*
 * CRC-32 (IEEE 802.3, reflected 0xedb88320; gzip and GPT use it) and CRC-32C (Castagnoli, reflected 0x82f63b78).
 * `crc` is the value so far, 0 at the start; pre- and post-inversion are inside.
 */
#pragma once

#include "kernel/base/types.h"

uint32_t crc32(uint32_t crc, const void *data, size_t len_bytes);
uint32_t crc32c(uint32_t crc, const void *data, size_t len_bytes);
