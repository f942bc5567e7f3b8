/*
 * The keyboard of the virtual terminals: input events become bytes for the active terminal, or actions.
 *
 * Keys with Alt+SysRq are requests to the kernel (input_sysrq.c), and not the terminal's, whatever the keyboard's mode.
 *
 * Events arrive in interrupt context under the input layer's lock, which guards vt_keyboard too. Switching may sleep, so a thread does it.
 */
#include <linux/input-event-codes.h>

#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/dev/input.h"
#include "kernel/dev/vt_impl.h"
#include "kernel/machine/power.h"

struct keyboard vt_keyboard;

static struct work switch_work;
static unsigned wanted; /* [a] number of the terminal to switch to */

static void switch_work_fn(struct work *work)
{
    unsigned number = atomic_load_relaxed(&wanted);

    (void)work;
    if (number >= 1 && number <= VT_COUNT) {
        (void)vt_switch(&vt_table[number - 1]);
    }
}

static void ask_switch(int number)
{
    if (number >= 1 && number <= (int)VT_COUNT) {
        atomic_store_relaxed(&wanted, (unsigned)number);
        (void)work_queue(&switch_work);
    }
}

/* The next terminal in this direction that somebody has opened. */
static void step(int direction)
{
    int number = (int)vt_active()->number;

    for (unsigned i = 0; i < VT_COUNT; i++) {
        number += direction;
        number = number < 1 ? (int)VT_COUNT : number > (int)VT_COUNT ? 1 : number;
        if (READ_ONCE(vt_table[number - 1].tty->opens) > 0) {
            ask_switch(number);
            return;
        }
    }
}

static void send_leds(void)
{
    if (input_set_leds != NULL) {
        input_set_leds(keyboard_leds(&vt_keyboard));
    }
}

static void act(struct vt *vt, const struct key_action *action)
{
    switch (action->kind) {
    case KEY_ACTION_TEXT:
        (void)tty_receive(vt->tty, action->text, action->len);
        break;
    case KEY_ACTION_CONSOLE:
        ask_switch(action->number);
        break;
    case KEY_ACTION_STEP:
        step(action->number);
        break;
    case KEY_ACTION_HOLD:
        tty_stop(vt->tty, action->number != 0);
        send_leds();
        break;
    case KEY_ACTION_LEDS:
        send_leds();
        break;
    case KEY_ACTION_REBOOT:
        if (!jobctl->ctrl_alt_del()) {
            machine_reset();
        }
        break;
    case KEY_ACTION_SYSRQ:
    case KEY_ACTION_NONE:
        break;
    }
}

/* K_MEDIUMRAW: the key code with bit 7 for a release; codes from 128 on take three bytes. */
static void send_raw(struct vt *vt, unsigned code, bool release)
{
    uint8_t up = release ? 0x80 : 0;
    uint8_t bytes[3] = {(uint8_t)(code | up), 0, 0};

    if (code >= 128) {
        bytes[0] = up;
        bytes[1] = (uint8_t)(code >> 7 | 0x80);
        bytes[2] = (uint8_t)(code | 0x80);
    }
    (void)tty_receive(vt->tty, bytes, code < 128 ? 1 : 3);
}

static void on_event(struct input_listener *listener, struct input_device *device, unsigned type,
                     unsigned code, int value)
{
    struct vt *vt = vt_active();
    unsigned kb_mode = atomic_load_relaxed(&vt->kb_mode);
    struct key_modes modes = {.app_cursor = vt->screen.app_cursor,
                              .app_keypad = vt->screen.app_keypad,
                              .newline = vt->screen.newline_mode};
    struct key_action action;

    (void)listener;
    (void)device;
    if (type != EV_KEY) {
        return;
    }
    keyboard_event(&vt_keyboard, code, value, &modes, &action);
    if (action.kind == KEY_ACTION_SYSRQ) {
        return;
    }
    if (kb_mode == K_MEDIUMRAW) {
        send_raw(vt, code, value == 0);
    } else if (kb_mode != K_OFF) {
        act(vt, &action);
    }
}

static struct input_listener listener = {.event = on_event};

void vt_keyboard_init(void)
{
    const char *name = param_string("keymap");
    const struct keymap *map = keymap_find(name);

    if (name != NULL && !str_has_prefix(name, map->name)) {
        log_warn("vt: no keyboard layout \"%s\": using %s", name, map->name);
    }
    keyboard_init(&vt_keyboard, map);
    work_init(&switch_work, switch_work_fn);
    input_listener_register(&listener);
}
