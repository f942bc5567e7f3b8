/*
 * Out of memory: a page that somebody needs cannot be had, and reclaim found nothing more to give back. Who has to go is for the room of
 * processes to say (kernel/proc/oom.c); vm asks, and helps to take the memory of whoever was chosen.
 *
 * Where an allocation failed with -ENOMEM for want of a frame, and the caller holds no lock that the end of a process needs (vm->lock for
 * one), it asks vm_out_of_memory() whether to try again:
 *
 *     do {
 *         err = fault_once(vm, addr, flags);
 *     } while (unlikely(err == -ENOMEM) && vm_out_of_memory());
 *
 * Locks that a victim may wait for in its turn (an inode's) are no hindrance: its memory is taken away without its help, then.
 *
 * Memory that thrashes (thrash.h) is lack of memory too, although no request fails: who has seen it says so by vm_memory_thrashes().
 */
#pragma once

#include "kernel/vm/vmspace.h"

struct vm_oom_ops {
    /*
     * Make room by ending somebody, or wait for who is about to end; unless there is memory now, and memory does not thrash. False: the caller
     * itself is about to end. May sleep.
     */
    bool (*out_of_memory)(bool thrashes);
    /* The memory of a space that was marked with vmspace_oom_mark() is free. Any thread. */
    void (*space_gone)(const struct vmspace *vm);
};

/* Boot. `ops` lives for ever. */
void vm_set_oom(const struct vm_oom_ops *ops);

/* True: try again. False: give up with -ENOMEM: the current thread is being killed, or it is too early for processes. May sleep. */
bool vm_out_of_memory(void);
/* thrash_take() has said so: make room. May sleep. */
void vm_memory_thrashes(void);

/* Whoever has this space is being killed: tell ops->space_gone when it goes. Any context. */
static inline void vmspace_oom_mark(struct vmspace *vm)
{
    atomic_store_relaxed(&vm->oom_victim, true);
}

/*
 * Take the private anonymous memory of a space whose users are all being killed, and its regions: who touches them gets an error,
 * never zeros. False: somebody holds vm->lock, nothing was done. May sleep. The caller has a reference.
 */
bool vmspace_oom_reap(struct vmspace *vm);
void vm_oom_space_gone(struct vmspace *vm); /* vmspace.c, for spaces that were marked */
