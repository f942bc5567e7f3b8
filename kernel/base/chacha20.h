/* ChaCha20 block function, RFC 8439 section 2.3. */
#pragma once

#include "kernel/base/types.h"

/* One 64-byte block of key stream for a 256-bit key, 32-bit counter and 96-bit nonce. */
void chacha20_block(const uint32_t key[8], uint32_t counter, const uint32_t nonce[3],
                    uint8_t out[64]);
