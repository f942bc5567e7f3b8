/*
 * Keyboard layouts: us (ANSI X4.23 as PC keyboards have it) and de (DIN 2137-01, T1). Keys that send the same on every layout (function keys, cursor keys,
 * keypad) are in keymap.c.
 */
#include <linux/input-event-codes.h>

#include "kernel/dev/keymap.h"

#define LETTER(code_, small, large)                                                                \
    {                                                                                              \
        .code = (code_), .caps = true, .plain = (small), .shift = (large)                          \
    }
#define SYMBOL(code_, plain_, shift_)                                                              \
    {                                                                                              \
        .code = (code_), .plain = (plain_), .shift = (shift_)                                      \
    }
#define SYMBOL3(code_, plain_, shift_, altgr_)                                                     \
    {                                                                                              \
        .code = (code_), .plain = (plain_), .shift = (shift_), .altgr = (altgr_)                   \
    }
#define LETTER3(code_, small, large, altgr_)                                                       \
    {                                                                                              \
        .code = (code_), .caps = true, .plain = (small), .shift = (large), .altgr = (altgr_)       \
    }

/* Letters that lie at the same place on both. */
#define COMMON_LETTERS                                                                             \
    LETTER(KEY_W, 'w', 'W'), LETTER(KEY_R, 'r', 'R'), LETTER(KEY_T, 't', 'T'),                     \
        LETTER(KEY_U, 'u', 'U'), LETTER(KEY_I, 'i', 'I'), LETTER(KEY_O, 'o', 'O'),                 \
        LETTER(KEY_P, 'p', 'P'), LETTER(KEY_A, 'a', 'A'), LETTER(KEY_S, 's', 'S'),                 \
        LETTER(KEY_D, 'd', 'D'), LETTER(KEY_F, 'f', 'F'), LETTER(KEY_G, 'g', 'G'),                 \
        LETTER(KEY_H, 'h', 'H'), LETTER(KEY_J, 'j', 'J'), LETTER(KEY_K, 'k', 'K'),                 \
        LETTER(KEY_L, 'l', 'L'), LETTER(KEY_X, 'x', 'X'), LETTER(KEY_C, 'c', 'C'),                 \
        LETTER(KEY_V, 'v', 'V'), LETTER(KEY_B, 'b', 'B'), LETTER(KEY_N, 'n', 'N'),                 \
        SYMBOL(KEY_SPACE, ' ', ' ')

static const struct key_levels us_keys[] = {
    COMMON_LETTERS,
    LETTER(KEY_Q, 'q', 'Q'),
    LETTER(KEY_E, 'e', 'E'),
    LETTER(KEY_Y, 'y', 'Y'),
    LETTER(KEY_Z, 'z', 'Z'),
    LETTER(KEY_M, 'm', 'M'),
    SYMBOL(KEY_1, '1', '!'),
    SYMBOL(KEY_2, '2', '@'),
    SYMBOL(KEY_3, '3', '#'),
    SYMBOL(KEY_4, '4', '$'),
    SYMBOL(KEY_5, '5', '%'),
    SYMBOL(KEY_6, '6', '^'),
    SYMBOL(KEY_7, '7', '&'),
    SYMBOL(KEY_8, '8', '*'),
    SYMBOL(KEY_9, '9', '('),
    SYMBOL(KEY_0, '0', ')'),
    SYMBOL(KEY_MINUS, '-', '_'),
    SYMBOL(KEY_EQUAL, '=', '+'),
    SYMBOL(KEY_LEFTBRACE, '[', '{'),
    SYMBOL(KEY_RIGHTBRACE, ']', '}'),
    SYMBOL(KEY_SEMICOLON, ';', ':'),
    SYMBOL(KEY_APOSTROPHE, '\'', '"'),
    SYMBOL(KEY_GRAVE, '`', '~'),
    SYMBOL(KEY_BACKSLASH, '\\', '|'),
    SYMBOL(KEY_102ND, '<', '>'),
    SYMBOL(KEY_COMMA, ',', '<'),
    SYMBOL(KEY_DOT, '.', '>'),
    SYMBOL(KEY_SLASH, '/', '?'),
};

static const struct key_levels de_keys[] = {
    COMMON_LETTERS,
    LETTER3(KEY_Q, 'q', 'Q', '@'),
    LETTER3(KEY_E, 'e', 'E', 0x20ac),
    LETTER(KEY_Y, 'z', 'Z'),
    LETTER(KEY_Z, 'y', 'Y'),
    LETTER3(KEY_M, 'm', 'M', 0xb5),
    SYMBOL(KEY_1, '1', '!'),
    SYMBOL3(KEY_2, '2', '"', 0xb2),
    SYMBOL3(KEY_3, '3', 0xa7, 0xb3),
    SYMBOL(KEY_4, '4', '$'),
    SYMBOL(KEY_5, '5', '%'),
    SYMBOL(KEY_6, '6', '&'),
    SYMBOL3(KEY_7, '7', '/', '{'),
    SYMBOL3(KEY_8, '8', '(', '['),
    SYMBOL3(KEY_9, '9', ')', ']'),
    SYMBOL3(KEY_0, '0', '=', '}'),
    SYMBOL3(KEY_MINUS, 0xdf, '?', '\\'),
    SYMBOL(KEY_EQUAL, KEY_DEAD(ACCENT_ACUTE), KEY_DEAD(ACCENT_GRAVE)),
    LETTER(KEY_LEFTBRACE, 0xfc, 0xdc),
    SYMBOL3(KEY_RIGHTBRACE, '+', '*', '~'),
    LETTER(KEY_SEMICOLON, 0xf6, 0xd6),
    LETTER(KEY_APOSTROPHE, 0xe4, 0xc4),
    SYMBOL(KEY_GRAVE, KEY_DEAD(ACCENT_CIRCUMFLEX), 0xb0),
    SYMBOL(KEY_BACKSLASH, '#', '\''),
    SYMBOL3(KEY_102ND, '<', '>', '|'),
    SYMBOL(KEY_COMMA, ',', ';'),
    SYMBOL(KEY_DOT, '.', ':'),
    SYMBOL(KEY_SLASH, '-', '_'),
};

const struct keymap keymap_layouts[] = {
    {.name = "us", .keys = us_keys, .nkeys = ARRAY_SIZE(us_keys), .keypad_point = '.'},
    {.name = "de", .keys = de_keys, .nkeys = ARRAY_SIZE(de_keys), .keypad_point = ','},
};
const unsigned keymap_nlayouts = ARRAY_SIZE(keymap_layouts);
