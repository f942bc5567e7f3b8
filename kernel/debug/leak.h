/*
 * The leak detector: heap objects to which nothing points any more (the idea of Linux's kmemleak). In builds that watch the heap
 * (kernel/mm/slab_debug.h).
 *
 * A scan starts from where pointers may be kept: the image's variables, per-CPU data, kernel stacks, pages the kernel has for its own use, the page
 * array. What a word there points into is in use, and so is what the words of such an object point into. Any word that could be an address
 * counts as one, so nothing in use is called lost for lack of knowledge of its layout, and something lost may be missed.
 *
 * Objects of the slab caches are looked for; larger blocks and vmalloc's memory are only places that hold pointers.
 */
#pragma once

#include "kernel/base/types.h"

struct leak {
    uintptr_t start;
    size_t size;
    const char *cache_name;
    char comm[16]; /* of who allocated it */
    int32_t pid;
    ktime_t time;
    uint32_t stack;   /* kernel/mm/stackdepot.h */
    uint8_t head[32]; /* its first bytes */
};

#ifdef CONFIG_LEAK
/* Boot, before user processes: objects remember their owner from now on. */
void leak_init(void);
/*
 * Look for objects older than min_age that nobody has pointed to in two passes. Returns how many are lost, old ones included that
 * were not cleared. Thread context; scans wait for each other.
 */
size_t leak_scan(ktime_t min_age);
/* Those found so far: up to max, from `skip` on; returns the number filled in. */
size_t leak_list(size_t skip, struct leak *ret_leaks, size_t max);
/* Never mention those found so far again. */
void leak_clear(void);
#else
static inline void leak_init(void)
{
}
#endif
