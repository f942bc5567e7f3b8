/*
 * Error numbers: Linux's (linux/errno.h), which functions return negated, and the few that live only inside the kernel.
 */
#pragma once

#include <linux/errno.h>

/* Internal: never reach user space. The signal code turns them into -EINTR or restarts the call. */
#ifndef ERESTARTSYS
#define ERESTARTSYS           512 /* restart if the handler has SA_RESTART or there is none */
#define ERESTARTNOINTR        513 /* always restart */
#define ERESTARTNOHAND        514 /* restart only if no handler runs */
#define ERESTART_RESTARTBLOCK 516 /* restart through restart_syscall(2) with thread->restart */
#endif
