/*
 * Device registers. mmio_* take a pointer from mmio_map(); port_* are the PC's I/O ports.
 */
#pragma once

#include <arch/io.h>

#include "kernel/base/types.h"

/* Map `len` bytes of device memory uncached (or write-combining); NULL on no memory. Thread context. */
void *mmio_map(paddr_t pa, uint64_t len_bytes, bool write_combining);
void mmio_unmap(void *va, uint64_t len_bytes);

static inline uint8_t mmio_read8(const volatile void *addr)
{
    return *(const volatile uint8_t *)addr;
}

static inline uint16_t mmio_read16(const volatile void *addr)
{
    return *(const volatile uint16_t *)addr;
}

static inline uint32_t mmio_read32(const volatile void *addr)
{
    return *(const volatile uint32_t *)addr;
}

static inline uint64_t mmio_read64(const volatile void *addr)
{
    return *(const volatile uint64_t *)addr;
}

static inline void mmio_write8(volatile void *addr, uint8_t value)
{
    *(volatile uint8_t *)addr = value;
}

static inline void mmio_write16(volatile void *addr, uint16_t value)
{
    *(volatile uint16_t *)addr = value;
}

static inline void mmio_write32(volatile void *addr, uint32_t value)
{
    *(volatile uint32_t *)addr = value;
}

static inline void mmio_write64(volatile void *addr, uint64_t value)
{
    *(volatile uint64_t *)addr = value;
}
