/*
 * Sets of CPUs and nodes as people and Linux write them: "ff,00000041" (a mask, cpuset(7) "Mask format") and "0-3,6" (a list, "List format").
 */
#pragma once

#include "kernel/base/types.h"

/*
 * Both fill the first nbits of `map`, which has BITMAP_WORDS(nbits) words, and leave it as it is when they fail. -EINVAL: not such a text;
 * -EOVERFLOW: a number, or a bit of the mask, that is too great; -ERANGE: an element of the list that is not in the set.
 */
int bitmap_parse_mask(const char *text, uint64_t *map, size_t nbits);
/* Also "all", N for the last, and 0-31:2/4 for the first two of each four. Elements are apart by commas or blanks; none is the empty set. */
int bitmap_parse_list(const char *text, uint64_t *map, size_t nbits);
