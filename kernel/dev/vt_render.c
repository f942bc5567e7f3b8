/*
 * When and what of the active virtual terminal is drawn.
 *
 * A writer draws its changes itself when the last drawing is at least a frame ago, so that what one types shows at once; otherwise a
 * timer collects what follows, so that a flood of output costs no more than sixty drawings in a second.
 */
#include "kernel/base/string.h"
#include "kernel/core/time.h"
#include "kernel/dev/fbcon.h"
#include "kernel/dev/vt_impl.h"

#define FRAME_NS (NS_PER_S / 60)

static struct mutex render_lock = MUTEX_INIT(render_lock);
static ktime_t last_render; /* [a] */
static bool pending;        /* [a] the timer or the work will draw */
static struct timer render_timer;
static struct work render_work;
static vt_cell_t row_cells[VT_MAX_COLS]; /* [render_lock] one row, copied under the screen's lock */
static uint32_t shown_palette[VT_NCOLORS]; /* [render_lock] */

/* Copy what row y shows. vt->lock held. -1: no cursor in it. */
static int copy_row(const struct vt_screen *screen, unsigned y)
{
    memcpy(row_cells, screen->lines[y], screen->cols * sizeof(vt_cell_t));
    return screen->cursor_visible && screen->cursor.y == y ? (int)screen->cursor.x : -1;
}

/* A changed palette changes every pixel. */
static void check_palette(struct vt *vt)
{
    uint64_t flags = spin_lock_irqsave(&vt->lock);

    if (memcmp(shown_palette, vt->palette, sizeof(shown_palette)) != 0) {
        memcpy(shown_palette, vt->palette, sizeof(shown_palette));
        vt_dirty_all(&vt->screen);
        fbcon_invalidate();
    }
    spin_unlock_irqrestore(&vt->lock, flags);
}

static void render_rows(struct vt *vt)
{
    struct vt_screen *screen = &vt->screen;

    for (unsigned y = 0; y < screen->rows; y++) {
        uint64_t flags;
        int cursor_x;
        bool reverse;
        if (!bitmap_test(screen->dirty, y)) {
            continue;
        }
        flags = spin_lock_irqsave(&vt->lock);
        bitmap_clear(screen->dirty, y);
        cursor_x = copy_row(screen, y);
        reverse = screen->reverse;
        spin_unlock_irqrestore(&vt->lock, flags);
        fbcon_draw_row(y, row_cells, cursor_x, reverse, shown_palette);
    }
}

static void render_locked(void)
{
    struct vt *vt = vt_active();

    if (vt_is_ready(vt) && READ_ONCE(vt->kd_mode) == KD_TEXT) {
        check_palette(vt);
        render_rows(vt);
    }
    atomic_store_relaxed(&last_render, ktime_now());
}

void vt_render_later(struct vt *vt)
{
    if (vt == vt_active() && !atomic_exchange(&pending, true)) {
        timer_arm(&render_timer, MAX(atomic_load_relaxed(&last_render) + FRAME_NS, ktime_now()));
    }
}

void vt_render_request(struct vt *vt)
{
    ktime_t now;

    if (vt != vt_active()) {
        return; /* switching to it draws everything */
    }
    now = ktime_now();
    if (now - atomic_load_relaxed(&last_render) >= FRAME_NS && !in_atomic() &&
        mutex_trylock(&render_lock)) {
        render_locked();
        mutex_unlock(&render_lock);
        return;
    }
    vt_render_later(vt);
}

static void timer_fired(struct timer *timer)
{
    (void)timer;
    (void)work_queue(&render_work);
}

static void render_work_fn(struct work *work)
{
    (void)work;
    (void)atomic_exchange(&pending,
                          false); /* before drawing: what changes from now on asks again */
    mutex_lock(&render_lock);
    render_locked();
    mutex_unlock(&render_lock);
}

void vt_render_all(void)
{
    struct vt *vt = vt_active();
    uint64_t flags;

    mutex_lock(&render_lock);
    flags = spin_lock_irqsave(&vt->lock);
    vt_dirty_all(&vt->screen);
    spin_unlock_irqrestore(&vt->lock, flags);
    if (vt->kd_mode == KD_TEXT) {
        fbcon_invalidate();
    }
    render_locked();
    mutex_unlock(&render_lock);
}

void vt_render_panic(void)
{
    struct vt *vt = vt_active();

    for (unsigned y = 0; y < vt->screen.rows; y++) {
        if (bitmap_test(vt->screen.dirty, y)) {
            int cursor_x = copy_row(&vt->screen, y);
            bitmap_clear(vt->screen.dirty, y);
            fbcon_draw_row(y, row_cells, cursor_x, vt->screen.reverse, vt->palette);
        }
    }
}

void vt_render_init(void)
{
    timer_init(&render_timer, timer_fired);
    work_init(&render_work, render_work_fn);
}
