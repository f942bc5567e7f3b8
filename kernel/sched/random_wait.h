/*
 * Waiting until the random generator has been seeded once.
 */
#pragma once

/* Until random_ready(), and see to it that it comes to be. 0; -ERESTARTSYS: a signal came. Sleeps. */
int random_wait(void);
