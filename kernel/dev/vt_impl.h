/*
 * What the files of the virtual terminals share. Private to kernel/dev/vt*.c and vcs.c.
 *
 * Locks:  v vt->lock (spin, irqsave): screen, parser, palette, answers      s vt_switch_lock (mutex): which one is active, modes
 *         I immutable      a atomic
 * Order: vt_switch_lock -> render lock (vt_render.c) -> vt->lock.
 */
#pragma once

#include <linux/kd.h>
#include <linux/vt.h>

#include "kernel/dev/keymap.h"
#include "kernel/dev/tty.h"
#include "kernel/dev/vt.h"
#include "kernel/dev/vtparse.h"

#define VT_COUNT       6u
#define VT_REPLY_BYTES 128u
#define VT_NCOLORS     16u

struct vt {
    unsigned number; /* [I] 1 .. VT_COUNT */
    struct tty *tty; /* [I] */
    struct spinlock lock;
    void *memory; /* [s] the screen's cells; NULL: never opened; set once, with release order */
    struct vt_screen screen;      /* [v] */
    struct vt_parser parser;      /* [v] */
    uint32_t palette[VT_NCOLORS]; /* [v] 0xrrggbb */
    char reply[VT_REPLY_BYTES];   /* [v] answers of one write, on their way to the input */
    size_t reply_len;             /* [v] */
    unsigned kd_mode;             /* [s] KD_TEXT, KD_GRAPHICS */
    unsigned kb_mode;             /* [a] K_XLATE, K_UNICODE, K_MEDIUMRAW, K_OFF */
    struct vt_mode mode;          /* [s] VT_AUTO, VT_PROCESS */
    struct pid *mode_owner;       /* [s] whom to signal, referenced */
};

extern struct vt vt_table[VT_COUNT];
extern struct mutex vt_switch_lock;
extern struct wait_queue vt_switch_wait; /* VT_WAITACTIVE */
extern struct keyboard vt_keyboard;      /* under the input layer's lock */
extern bool vt_present;                  /* there is a screen */

/* The one on the screen. Any context. */
struct vt *vt_active(void);
static inline bool vt_is_ready(const struct vt *vt)
{
    return atomic_load_acquire(&vt->memory) != NULL;
}
/* Make its screen. Thread context, vt_switch_lock held. -ENOMEM. */
int vt_prepare_locked(struct vt *vt);
/* Bring vt to the screen, or ask the process that holds the present one to let go. Thread context. */
int vt_switch(struct vt *vt);
/* The holder's answer to a switch that waits for it. False: none does. vt_switch_lock held. */
bool vt_release_display_locked(struct vt *vt, bool granted);
void vt_set_kd_mode_locked(struct vt *vt, unsigned mode);

/* Show changes of vt soon, if it is the active one. Any context. */
void vt_render_request(struct vt *vt);
/* The same, but never at once: for the log, whose writer shall not wait for the screen. */
void vt_render_later(struct vt *vt);
/* Everything anew. Thread context. */
void vt_render_all(void);
/* At once, without locks: for panic. */
void vt_render_panic(void);
void vt_render_init(void);

int64_t vt_ioctl(struct tty *tty, unsigned cmd, uint64_t arg);
void vt_keyboard_init(void);
void vt_default_palette(uint32_t *palette);
void vcs_init(void);
void vcs_create_nodes(void);
