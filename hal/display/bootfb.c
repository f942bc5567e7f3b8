/*
 * The framebuffer that the firmware set up and the loader mapped: write-combining, in the direct map. Nothing is known about
 * the display controller behind it, so its mode stays as it is.
 */
#include <arch/page.h>

#include "kernel/abi/boot.h"
#include "kernel/base/errno.h"
#include "kernel/core/log.h"
#include "kernel/dev/driver.h"
#include "kernel/dev/fb.h"
#include "kernel/mm/resource.h"

/* The handoff is checksummed, but what is in it came from firmware. */
static bool geometry_valid(const struct boot_framebuffer *boot)
{
    uint64_t bytes_per_pixel = (boot->bits_per_pixel + 7) / 8;

    return boot->width != 0 && boot->height != 0 && boot->width <= 16384 && boot->height <= 16384 &&
           bytes_per_pixel >= 2 && bytes_per_pixel <= 4 &&
           boot->pitch_bytes >= boot->width * bytes_per_pixel &&
           (uint64_t)boot->pitch_bytes * boot->height <= boot->size_bytes &&
           boot->size_bytes <= BOOT_DIRECT_MAP_SIZE &&
           boot->base <= BOOT_DIRECT_MAP_SIZE - boot->size_bytes;
}

static struct resource bootfb_resource;

static int bootfb_probe(const struct boot_handoff *handoff)
{
    const struct boot_framebuffer *boot = &handoff->framebuffer;

    if (boot->base == 0) {
        return -ENODEV;
    }
    if (!geometry_valid(boot)) {
        log_warn("fb: %ux%u, %u bits, pitch %u: impossible, not used", boot->width, boot->height,
                 boot->bits_per_pixel, boot->pitch_bytes);
        return -EINVAL;
    }
    struct framebuffer fb = {
        .pixels = phys_to_virt(boot->base),
        .phys = boot->base,
        .width = boot->width,
        .height = boot->height,
        .pitch_bytes = boot->pitch_bytes,
        .bits_per_pixel = boot->bits_per_pixel,
        .red_shift = boot->red_shift,
        .red_size = boot->red_size,
        .green_shift = boot->green_shift,
        .green_size = boot->green_size,
        .blue_shift = boot->blue_shift,
        .blue_size = boot->blue_size,
    };
    bootfb_resource = (struct resource){
        .start = boot->base, .last = boot->base + boot->size_bytes - 1, .name = "BOOTFB"};
    (void)resource_add(&resource_memory, &bootfb_resource);
    framebuffer_register(&fb);
    return 0;
}

DRIVER(bootfb) = {.name = "boot framebuffer", .stage = DRIVER_STAGE_CONSOLE, .probe = bootfb_probe};
