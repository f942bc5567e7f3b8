/*
 * Thrashing: what reclaim gives back is wanted again at once, so that there is always some memory and nobody gets on. An instruction may need
 * two pages, its own and that of its operand: where one frame is left, each comes in the place of the other, for ever.
 *
 * Told by refault distances (workingset.h): pages come back one after the other before many others have gone, hardly any go that do not come back,
 * and to find them all lists had to be gone through. While memory is low, that counts as out of memory, although some is free: who sees it
 * asks for somebody to be ended, on his way to user mode (reclaim_owed()), as does a request that fails meanwhile.
 */
#pragma once

#include "kernel/base/types.h"

/* n pages go; `easily`: after a look at a small part of the lists. */
void thrash_note_evictions(unsigned n, bool easily);
/* One came back to `node` after so many others had gone or become active. A thread's context; spin locks may be held. */
void thrash_note_refault(unsigned node, uint32_t distance);
/* Is it so? Any context. */
bool thrash_is_on(void);
/* Is it still so, and memory low? Then it is to be seen anew. */
bool thrash_take(void);
