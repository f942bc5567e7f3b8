/*
 * Waiting until the random generator has been seeded once.
 */
#pragma once

#include "kernel/base/types.h"

struct poll_table;

/* Boot, before the first process. */
void random_seeder_start(void);
/* Until random_ready(), and see to it that it comes to be. 0; -EAGAIN: `nonblock`, and it is not; -ERESTARTSYS: a signal came. Process context, sleeps. */
int random_wait(bool nonblock);
/* For poll(2): whether random_ready(). Who is registered (kernel/sched/poll.h) is woken when it comes to be, and it is seen to that it does. */
bool random_poll_ready(struct poll_table *table);
