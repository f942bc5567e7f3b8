/*
 * Randomness for the kernel's generator and for its place in memory.
 */
#pragma once

#include "kernel/base/types.h"

/* Where the seed came from: the first that works. */
enum seed_source { SEED_FIRMWARE, SEED_CPU, SEED_CLOCK };

enum seed_source seed_fill(void *dst, size_t size_bytes);
const char *seed_source_text(enum seed_source source);
