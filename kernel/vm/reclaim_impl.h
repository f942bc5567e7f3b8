/*
 * What the files of reclaim share. Private to kernel/vm/reclaim*.c.
 */
#pragma once

#include "kernel/core/percpu.h"
#include "kernel/vm/reclaim.h"

DECLARE_PER_CPU(struct reclaim_stats, reclaim_counters);
#define reclaim_count(member, n) (this_cpu_ptr(reclaim_counters)->member += (n)) /* as vm_count() */

/* About n frames of the node, with the means of the reclaim thread: caches other than of pages, too. Returns how many pages went. */
size_t reclaim_scan(unsigned node, size_t n);
