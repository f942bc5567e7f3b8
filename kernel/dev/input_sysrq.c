/*
 * Alt+SysRq on any keyboard (kernel/core/sysrq.h), whether or not there are virtual terminals. Those pass over the same keys (keymap.h).
 *
 * Locks: the input layer's lock, under which events come, guards `keyboard`.
 */
#include "kernel/core/sysrq.h"

#include <linux/input-event-codes.h>

#include "kernel/dev/input.h"
#include "kernel/dev/keymap.h"

static struct keyboard keyboard;

static void on_event(struct input_listener *listener, struct input_device *device, unsigned type,
                     unsigned code, int value)
{
    const struct key_modes modes = {.newline = false};
    struct key_action action;

    (void)listener, (void)device;
    if (type != EV_KEY) {
        return;
    }
    keyboard_event(&keyboard, code, value, &modes, &action);
    if (action.kind == KEY_ACTION_SYSRQ && action.number != 0) {
        sysrq_request_checked((char)action.number);
    }
}

static struct input_listener listener = {.event = on_event};

void input_sysrq_init(void)
{
    keyboard_init(&keyboard, keymap_find("us"));
    input_listener_register(&listener);
}
