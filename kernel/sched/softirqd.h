/*
 * ksoftirqd/N: the threads that go on with softirqs (kernel/core/softirq.h) when those have had their share of an interrupt's end.
 */
#pragma once

#include "kernel/base/types.h"

/* Boot: the running CPU's thread, and softirqs find the threads from here on. */
void softirqd_start(void);
/* Steps of a CPU's coming and going (kernel/core/hotplug.h). */
int softirqd_prepare(unsigned id);
void softirqd_ready(unsigned id);
void softirqd_dead(unsigned id);
