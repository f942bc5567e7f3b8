/*
 * The primary framebuffer: the first one that registers. Whoever draws on it (the virtual terminals) is told through a hook, because
 * the screen may come before or after them.
 */
#include "kernel/dev/fb.h"

#include "kernel/core/log.h"

static struct framebuffer primary; /* [I] after registration */
static bool present;

void (*framebuffer_ready_hook)(const struct framebuffer *fb);

void framebuffer_register(const struct framebuffer *fb)
{
    if (present) {
        return;
    }
    if (fb->bits_per_pixel != 32 && fb->bits_per_pixel != 24 && fb->bits_per_pixel != 16) {
        log_warn("fb: %u bits per pixel: not supported", fb->bits_per_pixel);
        return;
    }
    primary = *fb;
    present = true;
    log_info("fb: %ux%u, %u bits per pixel, at 0x%llx", fb->width, fb->height, fb->bits_per_pixel,
             (unsigned long long)fb->phys);
    if (framebuffer_ready_hook != NULL) {
        framebuffer_ready_hook(&primary);
    }
}

const struct framebuffer *framebuffer_primary(void)
{
    return present ? &primary : NULL;
}
