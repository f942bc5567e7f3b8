/*
 * Cells to pixels: draws rows of terminal cells on the framebuffer, only where they differ from what is there, never reading the
 * framebuffer. One instance. The caller serialises all calls (vt.c's render lock; a panic ignores it).
 */
#pragma once

#include "kernel/dev/fb.h"
#include "kernel/dev/vtscreen.h"

/* Choose font and scale for this screen. -ENOMEM. Thread context. */
int fbcon_init(const struct framebuffer *fb);
unsigned fbcon_cols(void);
unsigned fbcon_rows(void);
/*
 * Show `cells` as row y. cursor_x: where the cursor is shown, -1: not in this row. `reverse`: the whole screen is inverted. `palette`: 16
 * colours as 0xrrggbb.
 */
void fbcon_draw_row(unsigned y, const vt_cell_t *cells, int cursor_x, bool reverse,
                    const uint32_t *palette);
/* Forget what is shown: everything is drawn anew, margins too. */
void fbcon_invalidate(void);
