/*
 * Keyboard layouts and the state of a keyboard: evdev key codes (linux/input-event-codes.h) in, the bytes that a terminal of TERM=linux
 * sends out. Pure: no locks, no devices.
 */
#pragma once

#include "kernel/base/types.h"

/* Values of a key: a character, or one of these (in Unicode's private area, never sent). */
#define KEY_DEAD(accent) ((uint16_t)(0xe000 + (accent)))
enum key_accent {
    ACCENT_NONE,
    ACCENT_GRAVE,
    ACCENT_ACUTE,
    ACCENT_CIRCUMFLEX,
    ACCENT_TILDE,
    ACCENT_DIAERESIS
};

/* One key on four levels; 0: nothing. */
struct key_levels {
    uint8_t code;
    bool caps; /* Caps Lock acts as Shift */
    uint16_t plain, shift, altgr, shift_altgr;
};

struct keymap {
    const char *name;
    const struct key_levels *keys;
    unsigned nkeys;
    uint16_t keypad_point; /* '.' or ',' */
};

extern const struct keymap keymap_layouts[];
extern const unsigned keymap_nlayouts;
/* The layout of this name, else us. */
const struct keymap *keymap_find(const char *name);

#define KEYBOARD_CODES 256u

struct keyboard {
    const struct keymap *map;
    uint8_t index[KEYBOARD_CODES]; /* code -> 1 + position in map->keys; 0: none */
    uint8_t down[KEYBOARD_CODES / 8];
    bool caps_lock, num_lock, scroll_lock;
    bool sysrq;     /* Alt+SysRq are held: keys are requests to the kernel */
    uint8_t accent; /* dead key waiting: enum key_accent */
};

enum key_action_kind {
    KEY_ACTION_NONE,
    KEY_ACTION_TEXT,    /* `text` goes to the terminal */
    KEY_ACTION_CONSOLE, /* switch to virtual terminal `number` (1 ...) */
    KEY_ACTION_STEP,    /* switch by `number` (-1, +1) */
    KEY_ACTION_HOLD,    /* Scroll Lock: stop (number 1) or resume output */
    KEY_ACTION_REBOOT,  /* Ctrl-Alt-Del */
    KEY_ACTION_LEDS,    /* lock states changed */
    KEY_ACTION_SYSRQ, /* Alt+SysRq and a key: the US layout's character `number`; 0: nothing yet */
};

#define KEY_TEXT_MAX 16u

struct key_action {
    enum key_action_kind kind;
    int number;
    uint8_t len;
    uint8_t text[KEY_TEXT_MAX];
};

/* What the terminal wants to be sent. */
struct key_modes {
    bool app_cursor, app_keypad, newline;
};

void keyboard_init(struct keyboard *keyboard, const struct keymap *map);
/* value: 0 release, 1 press, 2 repeat. */
void keyboard_event(struct keyboard *keyboard, unsigned code, int value,
                    const struct key_modes *modes, struct key_action *ret_action);
/* LED_NUML, LED_CAPSL, LED_SCROLLL as a mask of bits. */
unsigned keyboard_leds(const struct keyboard *keyboard);
