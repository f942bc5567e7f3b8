/*
 * Thrashing: what reclaim gives back is wanted again at once, so that there is always some memory and nobody gets on. An instruction may need
 * two pages, its own and that of its operand: where one frame is left, each comes in the place of the other, for ever.
 *
 * Told by refault distances (workingset.h): pages come back one after the other before many others have gone, and hardly any go that do not come
 * back. While memory is low, that counts as out of memory, although some is free: whoever faults next to return to user mode asks for
 * somebody to be ended (reclaim_owed()), as does a request that fails meanwhile.
 */
#pragma once

#include "kernel/base/types.h"

/* A page goes. */
void thrash_note_eviction(void);
/* One came back to `node` after so many others had gone or become active. A thread's context; spin locks may be held. */
void thrash_note_refault(unsigned node, uint32_t distance);
/* Is it so? Any context. */
bool thrash_is_on(void);
/* Is it still so, and memory low? Then it is to be seen anew. */
bool thrash_take(void);
