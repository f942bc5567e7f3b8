/* A small reproducible generator for tests by random operations: splitmix64 (Steele, Lea and Flood 2014). */
#pragma once

#include "kernel/base/types.h"

static inline uint64_t test_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15ull;

    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}
