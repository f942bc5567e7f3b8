/*
 * The terminal's language: UTF-8 and escape sequences (ECMA-48, VT102, the xterm and Linux subset) applied to a struct vt_screen.
 *
 * A state machine after Williams, "A parser for DEC's ANSI-compatible video terminals". Any byte string is accepted; unknown sequences are
 * consumed without effect. No locks; answers (device attributes, cursor position) go through the owner's callback.
 */
#pragma once

#include "kernel/dev/vtscreen.h"

#define VT_MAX_PARAMS 16u

enum vt_state {
    VT_GROUND,
    VT_ESCAPE,
    VT_ESCAPE_INTERMEDIATE,
    VT_CSI,
    VT_CSI_IGNORE,
    VT_OSC,      /* until BEL or ST */
    VT_STRING,   /* DCS, SOS, PM, APC: until ST */
    VT_PALETTE,  /* Linux: ESC ] P and seven hex digits */
    VT_LINUX_KEY /* ESC [ [ and one byte: a function key echoed */
};

struct vt_parser {
    struct vt_screen *screen;                               /* [I] */
    void (*reply)(void *arg, const char *text, size_t len); /* [I] */
    void (*bell)(void *arg);                                /* [I] may be NULL */
    /* Linux: palette entry (index below 16) or, with index < 0, all of them back to the defaults. May be NULL. */
    void (*palette)(void *arg, int index, uint32_t rgb); /* [I] */
    void *arg;                                           /* [I] */
    enum vt_state state;
    uint8_t intermediate; /* the last of them; 0: none */
    uint8_t private;      /* < = > ? at the start of the parameters; 0: none */
    uint8_t nparams;      /* parameters begun */
    bool utf8;            /* ESC % G, ESC % @ */
    uint16_t params[VT_MAX_PARAMS];
    uint16_t subparams; /* bit n: parameter n followed a colon */
    uint32_t code;      /* UTF-8 character so far, or palette digits */
    uint8_t left;       /* continuation bytes or palette digits still to come */
    uint32_t least;     /* smallest character that may use this length */
};

void vt_parser_init(struct vt_parser *parser, struct vt_screen *screen);
/*
 * Apply what a program writes: all of it, or, after much work (VT_WORK_MAX cells, and one sequence or run of text more), its beginning.
 * Returns the bytes taken, at least one unless len is 0: who holds a lock lets go of it before the next call.
 */
#define VT_WORK_MAX 8192u
size_t vt_parse(struct vt_parser *parser, const uint8_t *data, size_t len) __must_check;
