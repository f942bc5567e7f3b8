/*
 * Input events from drivers to whoever listens, in evdev's terms (linux/input-event-codes.h). Today's listener is the
 * virtual terminal's keyboard layer; /dev/input comes with the input issue.
 */
#pragma once

#include <linux/input-event-codes.h>

#include "kernel/base/list.h"

struct input_device {
    const char *name;
    struct list_node node; /* [input lock] */
};

struct input_listener {
    /* Hard interrupt context or any other; must not sleep. type EV_KEY: value 1 press, 0 release, 2 repeat. */
    void (*event)(struct input_listener *listener, struct input_device *device, unsigned type,
                  unsigned code, int value);
    struct list_node node; /* [input lock] */
};

/* Boot: Alt+SysRq and a key on any keyboard are requests to the kernel (kernel/core/sysrq.h). */
void input_sysrq_init(void);
void input_device_register(struct input_device *device);
/* Any context. */
void input_event(struct input_device *device, unsigned type, unsigned code, int value);
void input_listener_register(struct input_listener *listener);
/* LEDs (LED_CAPSL ...) to every keyboard that can: drivers set this hook. */
extern void (*input_set_leds)(unsigned led_mask);
