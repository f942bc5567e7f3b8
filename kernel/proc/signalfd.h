/*
 * signalfd(2).
 */
#pragma once

#include "kernel/proc/signal.h"

/* A file that reads pending signals of `mask`, with one reference. flags: SFD_*. -EINVAL, -ENOMEM. May sleep. */
int signalfd_create(uint64_t mask, int flags, struct file **ret_file);
/* Change what an existing one reads. -EINVAL: it is none. */
int signalfd_set_mask(struct file *file, uint64_t mask);
