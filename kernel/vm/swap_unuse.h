/*
 * Who has entries of swap: what swapoff looks through. Private to kernel/vm.
 */
#pragma once

#include "kernel/vm/private.h"

/* A soft entry is put into the space's tables. Table locks may be held. */
void swap_note_space_slow(struct vmspace *vm);
static inline void swap_note_space(struct vmspace *vm)
{
    if (unlikely(!atomic_load_relaxed(&vm->swap_listed))) {
        swap_note_space_slow(vm);
    }
}
/* The space goes, and nobody finds it by its family any more. */
void swap_forget_space(struct vmspace *vm);
/* The cache got its first entry. cache->lock is held. */
void swap_note_cache(struct pagecache *cache);
/* The cache, empty by now, goes. May sleep. */
void swap_forget_cache(struct pagecache *cache);
/* swap_unuse_hook: see swap.h. */
int swap_unuse(unsigned area);
