/*
 * membarrier(2): one thread makes all threads of its program, or of all programs that want it, pass a full memory barrier, so that their
 * fast paths need none.
 *
 * What the commands promise is in the manual page. Registration belongs to the address space: fork hands it on, execve ends it.
 */
#pragma once

#include "kernel/base/types.h"

struct vmspace;

/*
 * The call, for the current thread. `cpu` counts with MEMBARRIER_CMD_FLAG_CPU alone; a CPU that is not there, or does not run the program,
 * is no error. May sleep. -EINVAL: command or flags; -EPERM: the space is not registered for the command.
 */
int vmspace_membarrier(struct vmspace *vm, int command, unsigned flags, int cpu);

/* vmspace.c and fork.c: `child`, which nobody knows yet, is registered like `parent`; the space goes. */
void membarrier_fork(struct vmspace *child, const struct vmspace *parent);
void membarrier_forget(struct vmspace *vm);
