/*
 * What the files of writeback share. Private to kernel/vm.
 */
#pragma once

#include "kernel/vm/writeback.h"

void writeback_error_set(struct writeback *wb, int err);
/* Its first page became dirty: the device's thread has it on its list. cache->lock held. */
void writeback_list_add(struct writeback *wb);
/* Global figures. */
void writeback_count_dirty(int64_t n);
void writeback_count_started(unsigned n);
void writeback_count_written(unsigned n);
void writeback_count_ended(unsigned n);
void writeback_device_count_ended(struct writeback_device *device, unsigned n);
