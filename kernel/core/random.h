/*
 * The random generator: ChaCha20 with fast key erasure (Bernstein 2017), one state per CPU keyed from a shared pool, which
 * is seeded from the boot handoff, the CPU's generator and timing: of interrupts, and of its own work when somebody waits.
 */
#pragma once

#include "kernel/base/types.h"

/* Any context. Never fails; before random_ready() the bytes are only as good as the seeds so far. */
void random_bytes(void *buf, size_t len_bytes);
uint64_t random_u64(void);
/* Uniform in [0, bound); bound > 0. Unbiased (Lemire 2019). */
uint64_t random_below(uint64_t bound);
/* True once 256 bits of credited entropy have come in. */
bool random_ready(void);
/* Mix data in (0 bytes: none); credit_bits of entropy are claimed for it. Any context. */
void random_add(const void *data, size_t len_bytes, unsigned credit_bits);
/* Cheap: one call per interrupt. Hard interrupt context. */
void random_add_interrupt(unsigned line);
/* Take the jitter of the processor's timing in, for one bit if there is any. Any context; as long as 64 calls of random_add(). */
void random_add_jitter(void);
/* Let all CPUs take new keys now instead of within a minute. -ENODATA: not random_ready(). Any context. */
int random_reseed(void);
/* Boot. The seed is wiped. */
void random_init(uint8_t *seed, size_t len_bytes, bool seed_is_good);
