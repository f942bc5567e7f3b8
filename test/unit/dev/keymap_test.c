/*
 * Keyboard layouts and what keys send (terminfo's "linux").
 */
#define TEST_SUITE "dev"
#include "test/unit/test.h"

#include <linux/input-event-codes.h>

#include "kernel/dev/keymap.h"

static struct keyboard keyboard;
static struct key_modes modes;
static struct key_action action;
static char text[64];

static void begin(const char *layout)
{
    keyboard_init(&keyboard, keymap_find(layout));
    modes = (struct key_modes){0};
    text[0] = '\0';
}

static void event(unsigned code, int value)
{
    keyboard_event(&keyboard, code, value, &modes, &action);
    if (action.kind == KEY_ACTION_TEXT) {
        size_t at = strlen(text);
        memcpy(text + at, action.text, action.len);
        text[at + action.len] = '\0';
    }
}

static void press(unsigned code)
{
    event(code, 1);
    event(code, 0);
}

static void press_with(unsigned modifier, unsigned code)
{
    event(modifier, 1);
    press(code);
    event(modifier, 0);
}

TEST(keymap, types_us_letters_and_symbols)
{
    begin("us");
    press(KEY_H);
    press_with(KEY_LEFTSHIFT, KEY_I);
    press_with(KEY_RIGHTSHIFT, KEY_1);
    press(KEY_SLASH);
    EXPECT_STR_EQ(text, "hI!/");
}

TEST(keymap, an_unknown_layout_is_us)
{
    EXPECT_STR_EQ(keymap_find("xx")->name, "us");
    EXPECT_STR_EQ(keymap_find(NULL)->name, "us");
}

TEST(keymap, types_german_with_altgr_in_utf8)
{
    begin("de");
    press(KEY_Y);
    press(KEY_SEMICOLON);
    press_with(KEY_RIGHTALT, KEY_Q);
    press_with(KEY_RIGHTALT, KEY_E);
    press_with(KEY_RIGHTALT, KEY_102ND);
    EXPECT_STR_EQ(text, "z\303\266@\342\202\254|");
}

TEST(keymap, composes_dead_keys)
{
    begin("de");
    press(KEY_EQUAL);
    press(KEY_E);
    press(KEY_GRAVE);
    press(KEY_SPACE);
    press_with(KEY_LEFTSHIFT, KEY_EQUAL);
    press_with(KEY_LEFTSHIFT, KEY_A);
    press(KEY_GRAVE);
    press(KEY_X);
    EXPECT_STR_EQ(text, "\303\251^\303\200^x");
}

TEST(keymap, control_and_alt_make_control_characters_and_escapes)
{
    begin("us");
    press_with(KEY_LEFTCTRL, KEY_C);
    press_with(KEY_LEFTCTRL, KEY_LEFTBRACE);
    press_with(KEY_LEFTALT, KEY_B);
    EXPECT_STR_EQ(text, "\003\033\033b");
}

TEST(keymap, caps_lock_acts_on_letters_alone)
{
    begin("us");
    press(KEY_CAPSLOCK);
    EXPECT_EQ(keyboard_leds(&keyboard), 1u << LED_CAPSL);
    press(KEY_A);
    press(KEY_1);
    press_with(KEY_LEFTSHIFT, KEY_B);
    EXPECT_STR_EQ(text, "A1b");
}

TEST(keymap, cursor_keys_follow_the_mode)
{
    begin("us");
    press(KEY_UP);
    modes.app_cursor = true;
    press(KEY_LEFT);
    EXPECT_STR_EQ(text, "\033[A\033OD");
}

TEST(keymap, function_and_editing_keys_send_linux_sequences)
{
    begin("us");
    press(KEY_F1);
    press(KEY_F6);
    press(KEY_F12);
    press(KEY_HOME);
    press(KEY_DELETE);
    EXPECT_STR_EQ(text, "\033[[A\033[17~\033[24~\033[1~\033[3~");
}

TEST(keymap, the_keypad_types_digits_with_num_lock)
{
    begin("de");
    press(KEY_KP7);
    press(KEY_NUMLOCK);
    press(KEY_KP7);
    press(KEY_KPDOT);
    press(KEY_KPENTER);
    EXPECT_STR_EQ(text, "\033[1~7,\r");
}

TEST(keymap, alt_function_keys_switch_consoles)
{
    begin("us");
    event(KEY_LEFTALT, 1);
    event(KEY_F3, 1);
    EXPECT_EQ(action.kind, KEY_ACTION_CONSOLE);
    EXPECT_EQ(action.number, 3);
    event(KEY_F3, 0);
    event(KEY_LEFTCTRL, 1);
    event(KEY_DELETE, 1);
    EXPECT_EQ(action.kind, KEY_ACTION_REBOOT);
    EXPECT_STR_EQ(text, "");
}

TEST(keymap, repeats_type_and_releases_do_not)
{
    begin("us");
    event(KEY_A, 1);
    event(KEY_A, 2);
    event(KEY_A, 0);
    EXPECT_STR_EQ(text, "aa");
}

TEST(keymap, alt_sysrq_and_a_key_is_a_request_and_no_text)
{
    begin("de");
    event(KEY_LEFTALT, 1);
    event(KEY_SYSRQ, 1);
    EXPECT_EQ(action.kind, KEY_ACTION_SYSRQ);
    EXPECT_EQ(action.number, 0);
    event(KEY_Y, 1); /* by its place on a US keyboard, whatever the layout */
    EXPECT_EQ(action.kind, KEY_ACTION_SYSRQ);
    EXPECT_EQ(action.number, 'y');
    event(KEY_Y, 2);
    EXPECT_EQ(action.number, 0);
    event(KEY_Y, 0);
    EXPECT_EQ(action.number, 0);
    event(KEY_LEFTALT, 0); /* which one need not hold on to */
    event(KEY_9, 1);
    EXPECT_EQ(action.number, '9');
    event(KEY_9, 0);
    event(KEY_SYSRQ, 0);
    press(KEY_T);
    EXPECT_STR_EQ(text, "t");
    event(KEY_SYSRQ, 1); /* without Alt: nothing */
    press(KEY_T);
    event(KEY_SYSRQ, 0);
    EXPECT_STR_EQ(text, "tt");
}
