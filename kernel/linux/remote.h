/*
 * Other processes' memory.
 */
#pragma once

struct vmspace;

/* The space of a thread that may be looked into as ptrace(2) would, referenced. -ESRCH, -EPERM. */
int remote_vm_get(int tid, struct vmspace **ret_vm);
