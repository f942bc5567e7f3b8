/*
 * Waiting until the random generator has been seeded once.
 */
#pragma once

#include "kernel/base/types.h"

/* Until random_ready(), and see to it that it comes to be. 0; -EAGAIN: `nonblock`, and it is not; -ERESTARTSYS: a signal came. Process context, sleeps. */
int random_wait(bool nonblock);
