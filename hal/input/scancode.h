/*
 * Keyboard scan codes to evdev key events. A pure state machine: also compiled for the host tests.
 */
#pragma once

#include "kernel/base/types.h"

struct scancode_event {
    uint16_t code; /* KEY_* */
    uint8_t value; /* 0 release, 1 press, 2 repeat */
};

struct scancode_decoder {
    bool set1;        /* else set 2 */
    uint8_t prefix;   /* 0, 0xe0 or 0xe1 */
    uint8_t e1_left;  /* bytes of the 0xe1 sequence still to come */
    bool release;     /* set 2: 0xf0 was seen */
    uint64_t down[4]; /* keys held, by KEY_* */
};

void scancode_init(struct scancode_decoder *decoder, bool set1);
/* Take one byte from the keyboard; returns how many events it completes (0 to 2), in events[]. Any bytes are fine. */
unsigned scancode_decode(struct scancode_decoder *decoder, uint8_t byte,
                         struct scancode_event events[2]);
/* Release one key that is still held (the keyboard went away or lost bytes). False: none is. */
bool scancode_release_one(struct scancode_decoder *decoder, struct scancode_event *ret_event);
