/*
 * Byte ring over a power-of-two buffer: free-running head and tail, so full and empty differ without a spare slot.
 * One producer and one consumer may run at once on two CPUs without a lock (head is written by the producer only, tail by
 * the consumer only, with release/acquire pairs); more of either need the owner's lock.
 */
#pragma once

#include "kernel/base/types.h"

struct ring {
    uint8_t *buf;
    uint32_t size; /* power of two */
    uint32_t head; /* next byte to write, free-running */
    uint32_t tail; /* next byte to read, free-running */
};

void ring_init(struct ring *ring, void *buf, uint32_t size_bytes);
uint32_t ring_used(const struct ring *ring);
uint32_t ring_space(const struct ring *ring);
/* Copy as much as fits, or as is there; return the bytes moved. */
uint32_t ring_write(struct ring *ring, const void *src, uint32_t len_bytes);
uint32_t ring_read(struct ring *ring, void *dst, uint32_t len_bytes);
