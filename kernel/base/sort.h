#pragma once

#include "kernel/base/types.h"

/* Sort `count` elements of `size` bytes in place: heapsort, O(n log n), no recursion, no allocation, not stable. */
void sort_array(void *base, size_t count, size_t size, int (*compare)(const void *, const void *));
