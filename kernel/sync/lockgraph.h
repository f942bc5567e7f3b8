/*
 * What the lock checker knows of classes and their order: a directed graph that only grows. Any number of CPUs may use it at once, interrupts off: who
 * adds something and then looks sees what others have added before; so of two that add opposite orders at least one finds out.
 */
#pragma once

#include "kernel/sync/lockdep.h"

#define LOCK_CLASSES_MAX 256u

/* How a class has been taken: by an interrupt handler; where one may come in between; by a softirq; where one may come in between. */
#define LOCK_USED_IN_IRQ      1u
#define LOCK_USED_IRQS_ON     2u
#define LOCK_USED_IN_SOFTIRQ  4u
#define LOCK_USED_SOFTIRQS_ON 8u

/* The id of a class, registered when it is new; 0 when there are too many. */
uint16_t lockgraph_class_id(struct lock_class *class);
const char *lockgraph_name(uint16_t id);

/* Whether `first` has already been followed by `second`. */
bool lockgraph_has_edge(uint16_t first, uint16_t second);
/* Record that `second` was taken at `place` while `first` was held. True: that was new. */
bool lockgraph_add_edge(uint16_t first, uint16_t second, uintptr_t place);
uintptr_t lockgraph_edge_place(uint16_t first, uint16_t second);
/* The shortest way from `from` to `to`, both included: fills path[] with up to `max` ids; returns their number, 0: none. */
unsigned lockgraph_path(uint16_t from, uint16_t to, uint16_t *path, unsigned max);

/*
 * Note a use (LOCK_USED_*) of a class at `place`. True when it is the first of this kind.
 */
bool lockgraph_note_use(uint16_t id, unsigned use, uintptr_t place);
/* Has it been used in all these ways? */
bool lockgraph_has_use(uint16_t id, unsigned uses);
uintptr_t lockgraph_use_place(uint16_t id, unsigned use);
/*
 * After a first use or a new edge at `id`: find a class with the use `inside` (by interrupt handlers, by softirqs), from which a way leads over
 * `id` to a class with the use `open` (where such a one may come in between). False: none.
 */
bool lockgraph_unsafe(uint16_t id, unsigned inside, unsigned open, uint16_t *ret_inside,
                      uint16_t *ret_open);
/* Forget everything; for tests. */
void lockgraph_reset(void);
