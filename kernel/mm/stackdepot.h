/*
 * Call chains kept by number: equal ones are kept once, so that each heap object can remember who allocated and who freed it in
 * 32 bits. For debug builds; what is kept is never given back, up to 8 MiB.
 *
 * Locking: look-up takes none; a spinlock orders the additions.
 */
#pragma once

#include "kernel/base/types.h"

#define STACKDEPOT_DEPTH 12u

/* The number of the chain addrs[0..n), of which at most STACKDEPOT_DEPTH are kept; 0: none given, or memory is low. Any context. */
uint32_t stackdepot_put(const uintptr_t *addrs, size_t n);
/* The chain's length and *ret_addrs, which stays valid; 0 for number 0. Any context. */
size_t stackdepot_get(uint32_t id, const uintptr_t **ret_addrs);
/* The number of the caller's own chain, without `skip` innermost calls. Any context. */
uint32_t stackdepot_put_caller(unsigned skip);
