/* Byte ring: see ring.h for who may call what at once. */
#include "kernel/base/ring.h"

#include "kernel/base/atomic.h"
#include "kernel/base/string.h"

void ring_init(struct ring *ring, void *buf, uint32_t size_bytes)
{
    *ring = (struct ring){.buf = buf, .size = size_bytes};
}

uint32_t ring_used(const struct ring *ring)
{
    return atomic_load_acquire(&ring->head) - atomic_load_acquire(&ring->tail);
}

uint32_t ring_space(const struct ring *ring)
{
    return ring->size - ring_used(ring);
}

uint32_t ring_write(struct ring *ring, const void *src, uint32_t len_bytes)
{
    uint32_t head = ring->head;
    /* Pairs with the release in ring_read: the slots were read before they are overwritten. */
    uint32_t space = ring->size - (head - atomic_load_acquire(&ring->tail));
    uint32_t n = MIN(len_bytes, space);
    uint32_t at = head & (ring->size - 1);
    uint32_t first = MIN(n, ring->size - at);

    memcpy(ring->buf + at, src, first);
    memcpy(ring->buf, (const uint8_t *)src + first, n - first);
    atomic_store_release(&ring->head, head + n);
    return n;
}

uint32_t ring_read(struct ring *ring, void *dst, uint32_t len_bytes)
{
    uint32_t tail = ring->tail;
    /* Pairs with the release in ring_write: the bytes are there before head says so. */
    uint32_t used = atomic_load_acquire(&ring->head) - tail;
    uint32_t n = MIN(len_bytes, used);
    uint32_t at = tail & (ring->size - 1);
    uint32_t first = MIN(n, ring->size - at);

    memcpy(dst, ring->buf + at, first);
    memcpy((uint8_t *)dst + first, ring->buf, n - first);
    atomic_store_release(&ring->tail, tail + n);
    return n;
}
