/*
 * The keyboard's state: modifiers, locks, dead keys; and what keys send, as terminfo's entry "linux" says.
 */
#include "kernel/dev/keymap.h"

#include <linux/input-event-codes.h>

#include "kernel/base/string.h"

const struct keymap *keymap_find(const char *name)
{
    for (unsigned i = 0; name != NULL && i < keymap_nlayouts; i++) {
        if (strcmp(keymap_layouts[i].name, name) == 0) {
            return &keymap_layouts[i];
        }
    }
    return &keymap_layouts[0];
}

void keyboard_init(struct keyboard *keyboard, const struct keymap *map)
{
    memset(keyboard, 0, sizeof(*keyboard));
    keyboard->map = map;
    for (unsigned i = 0; i < map->nkeys; i++) {
        keyboard->index[map->keys[i].code] = (uint8_t)(i + 1);
    }
}

static bool is_down(const struct keyboard *keyboard, unsigned code)
{
    return (keyboard->down[code / 8] >> (code % 8) & 1) != 0;
}

static bool shift_down(const struct keyboard *keyboard)
{
    return is_down(keyboard, KEY_LEFTSHIFT) || is_down(keyboard, KEY_RIGHTSHIFT);
}

static bool ctrl_down(const struct keyboard *keyboard)
{
    return is_down(keyboard, KEY_LEFTCTRL) || is_down(keyboard, KEY_RIGHTCTRL);
}

static bool alt_down(const struct keyboard *keyboard)
{
    return is_down(keyboard, KEY_LEFTALT);
}

unsigned keyboard_leds(const struct keyboard *keyboard)
{
    return (keyboard->num_lock ? 1u << LED_NUML : 0) | (keyboard->caps_lock ? 1u << LED_CAPSL : 0) |
           (keyboard->scroll_lock ? 1u << LED_SCROLLL : 0);
}

/* ---- building the text ---- */

static void add_byte(struct key_action *action, unsigned byte)
{
    if (action->len < KEY_TEXT_MAX) {
        action->text[action->len++] = (uint8_t)byte;
    }
    action->kind = KEY_ACTION_TEXT;
}

static void add_string(struct key_action *action, const char *text)
{
    while (*text != '\0') {
        add_byte(action, (uint8_t)*text++);
    }
}

static void add_char(struct key_action *action, uint32_t c)
{
    if (c < 0x80) {
        add_byte(action, c);
    } else if (c < 0x800) {
        add_byte(action, 0xc0 | c >> 6);
        add_byte(action, 0x80 | (c & 0x3f));
    } else {
        add_byte(action, 0xe0 | c >> 12);
        add_byte(action, 0x80 | (c >> 6 & 0x3f));
        add_byte(action, 0x80 | (c & 0x3f));
    }
}

/* ---- dead keys ---- */

static const uint16_t accent_alone[] = {
    [ACCENT_GRAVE] = '`', [ACCENT_ACUTE] = 0xb4,     [ACCENT_CIRCUMFLEX] = '^',
    [ACCENT_TILDE] = '~', [ACCENT_DIAERESIS] = 0xa8,
};

/* Latin-1 letters by accent: the base letters, and under each accent what they become (0: nothing). */
static const char accent_bases[] = "aeiouyncAEIOUYNC";
static const uint8_t accent_results[][sizeof(accent_bases) - 1] = {
    [ACCENT_GRAVE] = {0xe0, 0xe8, 0xec, 0xf2, 0xf9, 0, 0, 0, 0xc0, 0xc8, 0xcc, 0xd2, 0xd9, 0, 0, 0},
    [ACCENT_ACUTE] = {0xe1, 0xe9, 0xed, 0xf3, 0xfa, 0xfd, 0, 0, 0xc1, 0xc9, 0xcd, 0xd3, 0xda, 0xdd,
                      0, 0},
    [ACCENT_CIRCUMFLEX] = {0xe2, 0xea, 0xee, 0xf4, 0xfb, 0, 0, 0, 0xc2, 0xca, 0xce, 0xd4, 0xdb, 0,
                           0, 0},
    [ACCENT_TILDE] = {0xe3, 0, 0, 0xf5, 0, 0, 0xf1, 0, 0xc3, 0, 0, 0xd5, 0, 0, 0xd1, 0},
    [ACCENT_DIAERESIS] = {0xe4, 0xeb, 0xef, 0xf6, 0xfc, 0xff, 0, 0, 0xc4, 0xcb, 0xcf, 0xd6, 0xdc, 0,
                          0, 0},
};

/* An accent before `c`: the accented letter; the accent alone before a blank or itself; else both. */
static void add_accented(struct keyboard *keyboard, uint32_t c, struct key_action *action)
{
    unsigned accent = keyboard->accent;
    const char *base = c < 0x80 && c != 0 ? strchr(accent_bases, (int)c) : NULL;

    keyboard->accent = ACCENT_NONE;
    if (base != NULL && accent_results[accent][base - accent_bases] != 0) {
        add_char(action, accent_results[accent][base - accent_bases]);
        return;
    }
    add_char(action, accent_alone[accent]);
    if (c != ' ' && c != accent_alone[accent]) {
        add_char(action, c);
    }
}

static void dead_key(struct keyboard *keyboard, unsigned accent, struct key_action *action)
{
    if (keyboard->accent != ACCENT_NONE) {
        unsigned old = keyboard->accent;
        keyboard->accent = ACCENT_NONE;
        add_char(action, accent_alone[old]);
        if (old == accent) {
            return;
        }
    }
    keyboard->accent = (uint8_t)accent;
}

/* ---- character keys ---- */

/* The control character of a key, or -1. Digits and a few symbols follow the VT220's keyboard. */
static int control_char(uint32_t c)
{
    static const uint8_t digits[] = {0x00, 0x1b, 0x1c, 0x1d,
                                     0x1e, 0x1f, 0x7f}; /* Ctrl-2 ... Ctrl-8 */

    if ((c >= '@' && c <= '_') || (c >= 'a' && c <= 'z')) {
        return (int)(c & 0x1f);
    }
    if (c >= '2' && c <= '8') {
        return digits[c - '2'];
    }
    switch (c) {
    case ' ':
    case '`':
        return 0;
    case '/':
    case '-':
        return 0x1f;
    case '~':
        return 0x1e;
    case '?':
        return 0x7f;
    default:
        return -1;
    }
}

static uint16_t key_value(const struct keyboard *keyboard, const struct key_levels *key)
{
    bool shift = shift_down(keyboard) != (key->caps && keyboard->caps_lock);

    if (is_down(keyboard, KEY_RIGHTALT) && (key->altgr != 0 || key->shift_altgr != 0)) {
        return shift && key->shift_altgr != 0 ? key->shift_altgr : key->altgr;
    }
    return shift ? key->shift : key->plain;
}

static void character_key(struct keyboard *keyboard, const struct key_levels *key,
                          struct key_action *action)
{
    uint16_t value = key_value(keyboard, key);
    int control;

    if (value >= KEY_DEAD(ACCENT_NONE) && value <= KEY_DEAD(ACCENT_DIAERESIS)) {
        dead_key(keyboard, value - KEY_DEAD(ACCENT_NONE), action);
        return;
    }
    if (value == 0) {
        return;
    }
    if (ctrl_down(keyboard)) {
        keyboard->accent = ACCENT_NONE;
        control = control_char(value);
        if (control < 0) {
            return;
        }
        value = (uint16_t)control;
    }
    if (alt_down(keyboard)) {
        add_byte(action, 0x1b);
    }
    if (keyboard->accent != ACCENT_NONE) {
        add_accented(keyboard, value, action);
    } else {
        add_char(action, value);
    }
}

/* ---- keys that send sequences ---- */

static const char *function_key(unsigned code, bool shift)
{
    static const char *const plain[] = {"[[A",  "[[B",  "[[C",  "[[D",  "[[E",  "[17~",
                                        "[18~", "[19~", "[20~", "[21~", "[23~", "[24~"};
    static const char *const shifted[] = {"[25~", "[26~", "[28~", "[29~", "[31~", "[32~",
                                          "[33~", "[34~", "[23~", "[24~", "[23~", "[24~"};
    int n = code >= KEY_F1 && code <= KEY_F10    ? (int)(code - KEY_F1)
            : code == KEY_F11 || code == KEY_F12 ? (int)(code - KEY_F11) + 10
                                                 : -1;

    if (n < 0) {
        return NULL;
    }
    return shift ? shifted[n] : plain[n];
}

static const char *editing_key(unsigned code)
{
    switch (code) {
    case KEY_HOME:
        return "[1~";
    case KEY_INSERT:
        return "[2~";
    case KEY_DELETE:
        return "[3~";
    case KEY_END:
        return "[4~";
    case KEY_PAGEUP:
        return "[5~";
    case KEY_PAGEDOWN:
        return "[6~";
    case KEY_PAUSE:
        return "[P";
    default:
        return NULL;
    }
}

static char cursor_letter(unsigned code)
{
    switch (code) {
    case KEY_UP:
        return 'A';
    case KEY_DOWN:
        return 'B';
    case KEY_RIGHT:
        return 'C';
    case KEY_LEFT:
        return 'D';
    default:
        return '\0';
    }
}

static bool sequence_key(struct keyboard *keyboard, unsigned code, const struct key_modes *modes,
                         struct key_action *action)
{
    const char *sequence = function_key(code, shift_down(keyboard));
    char letter = cursor_letter(code);

    if (sequence == NULL) {
        sequence = editing_key(code);
    }
    if (sequence == NULL && letter == '\0') {
        return false;
    }
    add_byte(action, 0x1b);
    if (letter != '\0') {
        add_byte(action, modes->app_cursor ? 'O' : '[');
        add_byte(action, (uint8_t)letter);
    } else {
        add_string(action, sequence);
    }
    return true;
}

/* ---- keypad ---- */

static const struct keypad_key {
    uint8_t code, digit, application; /* application: VT100 numeric keypad, ESC O x */
    uint8_t moves_as;                 /* without Num Lock; 0: the same */
} keypad_keys[] = {{KEY_KP0, '0', 'p', KEY_INSERT},   {KEY_KP1, '1', 'q', KEY_END},
                   {KEY_KP2, '2', 'r', KEY_DOWN},     {KEY_KP3, '3', 's', KEY_PAGEDOWN},
                   {KEY_KP4, '4', 't', KEY_LEFT},     {KEY_KP5, '5', 'u', 0},
                   {KEY_KP6, '6', 'v', KEY_RIGHT},    {KEY_KP7, '7', 'w', KEY_HOME},
                   {KEY_KP8, '8', 'x', KEY_UP},       {KEY_KP9, '9', 'y', KEY_PAGEUP},
                   {KEY_KPDOT, '.', 'n', KEY_DELETE}, {KEY_KPMINUS, '-', 'm', 0},
                   {KEY_KPPLUS, '+', 'l', 0},         {KEY_KPASTERISK, '*', 'R', 0},
                   {KEY_KPSLASH, '/', 'Q', 0},        {KEY_KPENTER, '\r', 'M', 0}};

static bool keypad_key(struct keyboard *keyboard, unsigned code, const struct key_modes *modes,
                       struct key_action *action)
{
    for (size_t i = 0; i < ARRAY_SIZE(keypad_keys); i++) {
        const struct keypad_key *key = &keypad_keys[i];
        if (key->code != code) {
            continue;
        }
        if (modes->app_keypad && !shift_down(keyboard)) {
            add_string(action, "\033O");
            add_byte(action, key->application);
        } else if (!keyboard->num_lock && key->moves_as != 0) {
            (void)sequence_key(keyboard, key->moves_as, modes, action);
        } else if (!keyboard->num_lock && code == KEY_KP5) {
            add_string(action, "\033[G");
        } else {
            add_char(action, code == KEY_KPDOT ? keyboard->map->keypad_point : key->digit);
            if (code == KEY_KPENTER && modes->newline) {
                add_byte(action, '\n');
            }
        }
        return true;
    }
    return false;
}

/* ---- keys that act ---- */

static bool lock_key(struct keyboard *keyboard, unsigned code, int value, struct key_action *action)
{
    if (code != KEY_CAPSLOCK && code != KEY_NUMLOCK && code != KEY_SCROLLLOCK) {
        return false;
    }
    if (value != 1) {
        return true;
    }
    action->kind = KEY_ACTION_LEDS;
    if (code == KEY_CAPSLOCK) {
        keyboard->caps_lock = !keyboard->caps_lock;
    } else if (code == KEY_NUMLOCK) {
        keyboard->num_lock = !keyboard->num_lock;
    } else {
        keyboard->scroll_lock = !keyboard->scroll_lock;
        action->kind = KEY_ACTION_HOLD;
        action->number = keyboard->scroll_lock;
    }
    return true;
}

/* Alt with a function key or a cursor key changes the console, Ctrl-Alt-Del restarts. */
static bool console_key(struct keyboard *keyboard, unsigned code, struct key_action *action)
{
    if (!alt_down(keyboard)) {
        return false;
    }
    if ((code == KEY_DELETE || code == KEY_KPDOT) && ctrl_down(keyboard)) {
        action->kind = KEY_ACTION_REBOOT;
        return true;
    }
    if (code >= KEY_F1 && code <= KEY_F10) {
        action->kind = KEY_ACTION_CONSOLE;
        action->number = (int)(code - KEY_F1) + 1;
        return true;
    }
    if (code == KEY_F11 || code == KEY_F12) {
        action->kind = KEY_ACTION_CONSOLE;
        action->number = (int)(code - KEY_F11) + 11;
        return true;
    }
    if (code == KEY_LEFT || code == KEY_RIGHT) {
        action->kind = KEY_ACTION_STEP;
        action->number = code == KEY_LEFT ? -1 : 1;
        return true;
    }
    return false;
}

static bool is_modifier(unsigned code)
{
    return code == KEY_LEFTSHIFT || code == KEY_RIGHTSHIFT || code == KEY_LEFTCTRL ||
           code == KEY_RIGHTCTRL || code == KEY_LEFTALT || code == KEY_RIGHTALT ||
           code == KEY_LEFTMETA || code == KEY_RIGHTMETA;
}

/* What is on the key where the layout is the US one, 0: nothing. */
static int us_character(unsigned code)
{
    const struct keymap *map = keymap_find("us");

    for (unsigned i = 0; i < map->nkeys; i++) {
        if (map->keys[i].code == code) {
            return map->keys[i].plain;
        }
    }
    return 0;
}

/* SysRq with Alt held, whichever, and the keys from there on until it is released. */
static bool sysrq_key(struct keyboard *keyboard, unsigned code, int value,
                      struct key_action *action)
{
    if (code == KEY_SYSRQ && value == 0) {
        keyboard->sysrq = false;
    } else if (code == KEY_SYSRQ && (alt_down(keyboard) || is_down(keyboard, KEY_RIGHTALT))) {
        keyboard->sysrq = true;
    } else if (!keyboard->sysrq) {
        return false;
    }
    if (is_modifier(code)) {
        return false;
    }
    action->kind = KEY_ACTION_SYSRQ;
    action->number = value == 1 && code != KEY_SYSRQ ? us_character(code) : 0;
    return true;
}

/* Enter, Backspace, Tab, Escape. */
static bool editing_control(struct keyboard *keyboard, unsigned code, const struct key_modes *modes,
                            struct key_action *action)
{
    bool alt = alt_down(keyboard);

    if (code != KEY_ENTER && code != KEY_BACKSPACE && code != KEY_TAB && code != KEY_ESC) {
        return false;
    }
    if (alt) {
        add_byte(action, 0x1b);
    }
    switch (code) {
    case KEY_ENTER:
        add_string(action, modes->newline ? "\r\n" : "\r");
        break;
    case KEY_BACKSPACE:
        add_byte(action, ctrl_down(keyboard) ? '\b' : 0x7f);
        break;
    case KEY_TAB:
        add_string(action, shift_down(keyboard) ? "\033[Z" : "\t");
        break;
    default:
        add_byte(action, 0x1b);
        break;
    }
    return true;
}

void keyboard_event(struct keyboard *keyboard, unsigned code, int value,
                    const struct key_modes *modes, struct key_action *ret_action)
{
    *ret_action = (struct key_action){.kind = KEY_ACTION_NONE};
    if (code >= KEYBOARD_CODES) {
        return;
    }
    if (value != 0) {
        keyboard->down[code / 8] |= (uint8_t)(1u << (code % 8));
    } else {
        keyboard->down[code / 8] &= (uint8_t) ~(1u << (code % 8));
    }
    if (sysrq_key(keyboard, code, value, ret_action) || is_modifier(code) ||
        lock_key(keyboard, code, value, ret_action) || value == 0) {
        return;
    }
    if (console_key(keyboard, code, ret_action) ||
        editing_control(keyboard, code, modes, ret_action) ||
        keypad_key(keyboard, code, modes, ret_action) ||
        sequence_key(keyboard, code, modes, ret_action)) {
        return;
    }
    if (keyboard->index[code] != 0) {
        character_key(keyboard, &keyboard->map->keys[keyboard->index[code] - 1], ret_action);
    }
}
