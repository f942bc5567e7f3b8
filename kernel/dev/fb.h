/*
 * The framebuffer as drivers offer it: linear pixels, write only (reading back is slow on real hardware).
 */
#pragma once

#include "kernel/abi/boot.h"
#include "kernel/base/types.h"

struct framebuffer {
    uint8_t *pixels; /* mapped write-combining */
    uint64_t phys;
    uint32_t width, height, pitch_bytes, bits_per_pixel;
    uint8_t red_shift, red_size, green_shift, green_size, blue_shift, blue_size;
};

/* The boot framebuffer registers itself; NULL: no screen. */
void framebuffer_register(const struct framebuffer *fb);
const struct framebuffer *framebuffer_primary(void);
/* Set by the virtual terminals: called once, in thread context, when a screen appears after them. */
extern void (*framebuffer_ready_hook)(const struct framebuffer *fb);
