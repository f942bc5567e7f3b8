/*
 * Virtual terminals: tty drivers over a screen model, and which of them is on the display.
 *
 *   write(2) -> line discipline -> vt_write() -> vtparse/vtcsi -> vtscreen (cells) -> vt_render.c -> fbcon (pixels)
 *   keyboard -> vt_kbd.c -> keymap -> tty_receive()
 *
 * They exist when there is a framebuffer. A terminal's cells are allocated when it is first opened or shown. The kernel log writes its
 * lines into the active one without going through the parser, so that it cannot disturb a sequence that a program has begun.
 */
#include <asm/signal.h>
#include <linux/capability.h>
#include <linux/major.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/dev/fb.h"
#include "kernel/dev/fbcon.h"
#include "kernel/dev/vt_impl.h"
#include "kernel/mm/arena.h"

struct vt vt_table[VT_COUNT];
struct mutex vt_switch_lock = MUTEX_INIT(vt_switch_lock);
struct wait_queue vt_switch_wait = WAIT_QUEUE_INIT(vt_switch_wait);
bool vt_present;

static struct vt *active = &vt_table[0]; /* [s] written; [a] read */
static struct vt *switch_target;         /* [s] waiting for the holder of the display to let go */

struct vt *vt_active(void)
{
    return atomic_load_acquire(&active);
}

/* The colours of the PC's text mode (IBM VGA), as console_codes(4) numbers them. */
void vt_default_palette(uint32_t *palette)
{
    static const uint32_t colors[VT_NCOLORS] = {
        0x000000, 0xaa0000, 0x00aa00, 0xaa5500, 0x0000aa, 0xaa00aa, 0x00aaaa, 0xaaaaaa,
        0x555555, 0xff5555, 0x55ff55, 0xffff55, 0x5555ff, 0xff55ff, 0x55ffff, 0xffffff};

    memcpy(palette, colors, sizeof(colors));
}

/* ---- the parser's callbacks: vt->lock held ---- */

static void on_reply(void *arg, const char *text, size_t len)
{
    struct vt *vt = arg;

    len = MIN(len, VT_REPLY_BYTES - vt->reply_len);
    memcpy(vt->reply + vt->reply_len, text, len);
    vt->reply_len += len;
}

static void on_palette(void *arg, int index, uint32_t rgb)
{
    struct vt *vt = arg;

    if (index < 0) {
        vt_default_palette(vt->palette);
    } else if (index < (int)VT_NCOLORS) {
        vt->palette[index] = rgb;
    }
}

int vt_prepare_locked(struct vt *vt)
{
    void *memory;

    if (vt->memory != NULL) {
        return 0;
    }
    memory = kvmalloc(vt_screen_memory(fbcon_cols(), fbcon_rows()));
    if (memory == NULL) {
        return -ENOMEM;
    }
    vt_screen_init(&vt->screen, fbcon_cols(), fbcon_rows(), memory);
    vt_parser_init(&vt->parser, &vt->screen);
    vt->parser.reply = on_reply;
    vt->parser.palette = on_palette;
    vt->parser.arg = vt;
    atomic_store_release(&vt->memory, memory);
    return 0;
}

/* ---- the terminal driver ---- */

static int vt_open(struct tty *tty)
{
    struct vt *vt = tty->private;
    int err;

    mutex_lock(&vt_switch_lock);
    err = vt_prepare_locked(vt);
    mutex_unlock(&vt_switch_lock);
    return err;
}

static size_t vt_write(struct tty *tty, const uint8_t *data, size_t len_bytes)
{
    struct vt *vt = tty->private;
    char reply[VT_REPLY_BYTES];
    size_t reply_len, done = 0;
    uint64_t flags = spin_lock_irqsave(&vt->lock);

    while ((done += vt_parse(&vt->parser, data + done, len_bytes - done)) < len_bytes) {
        spin_unlock_irqrestore(&vt->lock, flags); /* a few bytes can be a lot of work */
        flags = spin_lock_irqsave(&vt->lock);
    }
    reply_len = vt->reply_len;
    if (reply_len > 0) {
        memcpy(reply, vt->reply, reply_len);
        vt->reply_len = 0;
    }
    spin_unlock_irqrestore(&vt->lock, flags);
    vt_render_request(vt);
    if (reply_len > 0) {
        (void)tty_receive(tty, (const uint8_t *)reply, reply_len);
    }
    return len_bytes;
}

/* A screen is never full; the chunks keep the time under the spinlock short. */
static size_t vt_write_room(struct tty *tty)
{
    (void)tty;
    return 512;
}

static void vt_hangup(struct tty *tty)
{
    struct vt *vt = tty->private;

    mutex_lock(&vt_switch_lock);
    (void)vt_release_display_locked(vt, false);
    vt->mode = (struct vt_mode){.mode = VT_AUTO};
    pid_put(vt->mode_owner);
    vt->mode_owner = NULL;
    vt->kb_mode = K_UNICODE;
    vt_set_kd_mode_locked(vt, KD_TEXT);
    mutex_unlock(&vt_switch_lock);
}

static const struct tty_driver_ops vt_ops = {
    .open = vt_open,
    .write = vt_write,
    .write_room = vt_write_room,
    .ioctl = vt_ioctl,
    .hangup = vt_hangup,
};

/* ---- switching ---- */

static void complete_switch_locked(struct vt *vt)
{
    uint64_t flags = spin_lock_irqsave(&vt->lock);

    vt_dirty_all(&vt->screen);
    spin_unlock_irqrestore(&vt->lock, flags);
    atomic_store_release(&active, vt);
    switch_target = NULL;
    if (vt->mode.mode == VT_PROCESS && vt->mode.acqsig != 0 && vt->mode_owner != NULL) {
        (void)jobctl->signal_process(vt->mode_owner, vt->mode.acqsig);
    }
    vt_render_all();
    wait_wake_all(&vt_switch_wait, 0);
}

int vt_switch(struct vt *vt)
{
    struct vt *old;
    int err;

    mutex_lock(&vt_switch_lock);
    old = vt_active();
    err = vt_prepare_locked(vt);
    if (err < 0 || vt == old) {
        mutex_unlock(&vt_switch_lock);
        return err;
    }
    if (old->mode.mode == VT_PROCESS) {
        switch_target = vt;
        if (jobctl->signal_process(old->mode_owner, old->mode.relsig) == 0) {
            mutex_unlock(&vt_switch_lock);
            return 0; /* goes on with VT_RELDISP */
        }
        old->mode.mode = VT_AUTO; /* its holder is dead */
        pid_put(old->mode_owner);
        old->mode_owner = NULL;
    }
    complete_switch_locked(vt);
    mutex_unlock(&vt_switch_lock);
    return 0;
}

bool vt_release_display_locked(struct vt *vt, bool granted)
{
    struct vt *target = switch_target;

    if (vt != vt_active() || target == NULL) {
        return false;
    }
    switch_target = NULL;
    if (granted) {
        complete_switch_locked(target);
    }
    return true;
}

void vt_set_kd_mode_locked(struct vt *vt, unsigned mode)
{
    if (vt->kd_mode == mode) {
        return;
    }
    vt->kd_mode = mode;
    if (mode == KD_TEXT && vt == vt_active() && vt_is_ready(vt)) {
        vt_render_all();
    }
}

/* ---- the kernel log ---- */

/* A line for the screen in default colours. vt->lock held (but at the machine's end). */
static void put_log_text(struct vt_screen *screen, const char *text, size_t len)
{
    struct vt_cursor saved = screen->cursor;
    size_t run;

    screen->cursor.flags = 0;
    screen->cursor.fg = VT_COLOR_DEFAULT;
    screen->cursor.bg = VT_COLOR_DEFAULT;
    screen->cursor.shift = 0;
    screen->cursor.charset[0] = VT_CHARSET_ASCII;
    for (size_t i = 0; i < len; i += MAX(run, 1ul)) {
        run = 0;
        while (i + run < len && text[i + run] >= 0x20 && text[i + run] < 0x7f) {
            run++;
        }
        if (run > 0) {
            vt_put_ascii(screen, (const uint8_t *)text + i, run);
        } else if (text[i] == '\n') {
            vt_carriage_return(screen);
            vt_line_feed(screen);
        } else if (text[i] == '\t') {
            vt_tab(screen, 1);
        } else if ((text[i] & 0x40) != 0 || text[i] >= 0) {
            vt_put(screen, '?'); /* once for each character beyond ASCII */
        }
    }
    saved.x = screen->cursor.x;
    saved.y = screen->cursor.y;
    saved.wrap_pending = screen->cursor.wrap_pending;
    screen->cursor = saved;
}

/* Bounded: a message from inside our own critical section must not wait for itself. It stays in the log either way. */
#define LOG_LOCK_TRIES 100000u

static void log_to_screen(struct log_console *console, const char *text, size_t len_bytes)
{
    struct vt *vt = vt_active();
    bool dying = log_stands_alone();
    uint64_t flags = irq_save();
    bool locked = spin_trylock(&vt->lock);

    (void)console;
    for (unsigned i = 0; !locked && !dying && i < LOG_LOCK_TRIES; i++) {
        cpu_relax();
        locked = spin_trylock(&vt->lock);
    }
    if (locked || dying) {
        put_log_text(&vt->screen, text, len_bytes);
    }
    if (locked) {
        spin_unlock(&vt->lock);
    }
    irq_restore(flags);
    if (dying) {
        vt_render_panic();
    } else {
        vt_render_later(vt);
    }
}

static struct log_console screen_console = {.name = "tty0", .write = log_to_screen, .replay = true};

/* The screen shows the log when a console= parameter names it, or when there is none. */
static bool log_wanted(void)
{
    const char *at = param_cmdline();
    bool any = false;

    while ((at = strstr(at, "console=")) != NULL) {
        bool whole = at == param_cmdline() || at[-1] == ' ';
        at += strlen("console=");
        if (!whole) {
            continue;
        }
        any = true;
        if (str_has_prefix(at, "tty") && at[3] >= '0' && at[3] <= '9') {
            return true;
        }
    }
    return !any;
}

/* ---- start ---- */

static struct tty *active_tty(void)
{
    return vt_present ? tty_get(vt_active()->tty) : NULL;
}

static int create_one(struct vt *vt, unsigned number, const struct framebuffer *fb)
{
    char name[8];
    int err;

    vt->number = number;
    spin_init(&vt->lock, "vt");
    vt->kd_mode = KD_TEXT;
    vt->kb_mode = K_UNICODE;
    vt->mode.mode = VT_AUTO;
    vt_default_palette(vt->palette);
    (void)ksnprintf(name, sizeof(name), "tty%u", number);
    err = tty_create(name, DEV_MAKE(TTY_MAJOR, number), &vt_ops, vt, &vt->tty);
    if (err < 0) {
        return err;
    }
    vt->tty->termios.c_iflag |= IUTF8;
    vt->tty->winsize = (struct winsize){.ws_row = (unsigned short)fbcon_rows(),
                                        .ws_col = (unsigned short)fbcon_cols(),
                                        .ws_xpixel = (unsigned short)fb->width,
                                        .ws_ypixel = (unsigned short)fb->height};
    return 0;
}

static void screen_ready(const struct framebuffer *fb)
{
    int err = fbcon_init(fb);

    for (unsigned i = 0; err == 0 && i < VT_COUNT; i++) {
        err = create_one(&vt_table[i], i + 1, fb);
    }
    if (err == 0) {
        mutex_lock(&vt_switch_lock);
        err = vt_prepare_locked(&vt_table[0]);
        mutex_unlock(&vt_switch_lock);
    }
    if (err < 0) {
        log_err("vt: no virtual terminals: error %d", -err);
        return;
    }
    vt_present = true;
    tty_active_vt = active_tty;
    vt_keyboard_init();
    vcs_create_nodes();
    if (log_wanted()) {
        log_console_register(&screen_console);
    }
    vt_render_all();
}

void vt_init(void)
{
    vt_render_init();
    vcs_init();
    framebuffer_ready_hook = screen_ready;
    if (framebuffer_primary() != NULL) {
        screen_ready(framebuffer_primary());
    }
}
