/*
 * ioctls of virtual terminals (ioctl_console(2)): which one is active, text or graphics, the keyboard.
 */
#include <linux/capability.h>
#include <linux/input-event-codes.h>

#include "kernel/base/string.h"
#include "kernel/dev/input.h"
#include "kernel/dev/vt_impl.h"

/* One's own terminal, or the capability. */
static bool may_configure(struct tty *tty)
{
    struct tty *own = tty_current();

    tty_put(own);
    return own == tty || current_has_cap(CAP_SYS_TTY_CONFIG);
}

/* ---- keyboard and display mode ---- */

static int64_t set_kb_mode(struct vt *vt, uint64_t arg)
{
    if (arg != K_XLATE && arg != K_UNICODE && arg != K_MEDIUMRAW && arg != K_OFF) {
        return -EINVAL;
    }
    atomic_store_relaxed(&vt->kb_mode, (unsigned)arg);
    return 0;
}

static int64_t set_kd_mode(struct vt *vt, uint64_t arg)
{
    if (arg != KD_TEXT && arg != KD_GRAPHICS) {
        return -EINVAL;
    }
    mutex_lock(&vt_switch_lock);
    vt_set_kd_mode_locked(vt, (unsigned)arg);
    mutex_unlock(&vt_switch_lock);
    return 0;
}

/* The LEDs' bits here: LED_SCR, LED_NUM, LED_CAP. */
static int64_t get_leds(char __user *arg)
{
    unsigned leds = keyboard_leds(&vt_keyboard);
    char value = (char)(((leds & BIT(LED_SCROLLL)) != 0 ? LED_SCR : 0) |
                        ((leds & BIT(LED_NUML)) != 0 ? LED_NUM : 0) |
                        ((leds & BIT(LED_CAPSL)) != 0 ? LED_CAP : 0));

    return put_user(value, arg);
}

static int64_t keyboard_ioctl(struct vt *vt, unsigned cmd, uint64_t arg)
{
    bool configures = cmd == KDSETMODE || cmd == KDSKBMODE || cmd == KDSETLED || cmd == KDMKTONE ||
                      cmd == KIOCSOUND;
    char type = KB_101;
    int value;

    if (configures && !may_configure(vt->tty)) {
        return -EPERM;
    }
    switch (cmd) {
    case KDGKBTYPE:
        return put_user(type, (char __user *)arg);
    case KDGETMODE:
        value = (int)vt->kd_mode;
        return put_user(value, (int __user *)arg);
    case KDSETMODE:
        return set_kd_mode(vt, arg);
    case KDGKBMODE:
        value = (int)vt->kb_mode;
        return put_user(value, (int __user *)arg);
    case KDSKBMODE:
        return set_kb_mode(vt, arg);
    case KDGETLED:
    case KDGKBLED:
        return get_leds((char __user *)arg);
    case KDMKTONE: /* there is no speaker driver: silence is a tone of no volume */
    case KIOCSOUND:
        return 0;
    default:
        return -ENOIOCTLCMD;
    }
}

/* ---- which terminal ---- */

static int64_t get_state(struct vt_stat __user *arg)
{
    struct vt_stat state = {.v_active = (unsigned short)vt_active()->number, .v_state = 1};

    for (unsigned i = 0; i < VT_COUNT; i++) {
        if (READ_ONCE(vt_table[i].tty->opens) > 0) {
            state.v_state |= (unsigned short)(1u << (i + 1));
        }
    }
    return copy_to_user(arg, &state, sizeof(state));
}

static int64_t find_free(int __user *arg)
{
    int number = -1;

    for (unsigned i = 0; number < 0 && i < VT_COUNT; i++) {
        if (READ_ONCE(vt_table[i].tty->opens) == 0) {
            number = (int)i + 1;
        }
    }
    return put_user(number, arg);
}

static int64_t get_mode(struct vt *vt, struct vt_mode __user *arg)
{
    struct vt_mode mode;

    mutex_lock(&vt_switch_lock);
    mode = vt->mode;
    mutex_unlock(&vt_switch_lock);
    return copy_to_user(arg, &mode, sizeof(mode));
}

static int64_t set_mode(struct vt *vt, const struct vt_mode __user *arg)
{
    struct vt_mode mode;
    struct pid *owner = NULL, *old;

    if (copy_from_user(&mode, arg, sizeof(mode)) < 0) {
        return -EFAULT;
    }
    if (mode.mode != VT_AUTO && mode.mode != VT_PROCESS) {
        return -EINVAL;
    }
    if (mode.mode == VT_PROCESS) {
        if (mode.relsig < 1 || mode.relsig > 64 || mode.acqsig < 0 || mode.acqsig > 64) {
            return -EINVAL;
        }
        owner = pid_get(jobctl->current_process());
    }
    mutex_lock(&vt_switch_lock);
    (void)vt_release_display_locked(vt, false); /* the one who was asked is asked no more */
    vt->mode = mode;
    vt->mode.frsig = 0;
    old = vt->mode_owner;
    vt->mode_owner = owner;
    mutex_unlock(&vt_switch_lock);
    pid_put(old);
    return 0;
}

/* VT_RELDISP: to whom a switch waits for, 0 refuses it and all else allows it; else VT_ACKACQ acknowledges having got the display. */
static int64_t release_display(struct vt *vt, uint64_t arg)
{
    mutex_lock(&vt_switch_lock);
    bool is_answer = vt->mode.mode == VT_PROCESS &&
                     (vt_release_display_locked(vt, arg != 0) || arg == VT_ACKACQ);
    mutex_unlock(&vt_switch_lock);
    return is_answer ? 0 : -EINVAL;
}

static struct vt *vt_numbered(uint64_t number)
{
    return number >= 1 && number <= VT_COUNT ? &vt_table[number - 1] : NULL;
}

static int64_t switch_ioctl(unsigned cmd, uint64_t arg)
{
    struct vt *target = vt_numbered(arg);

    if (target == NULL) {
        return -ENXIO;
    }
    if (cmd == VT_ACTIVATE) {
        return vt_switch(target);
    }
    return wait_event_interruptible(&vt_switch_wait, vt_active() == target);
}

int64_t vt_ioctl(struct tty *tty, unsigned cmd, uint64_t arg)
{
    struct vt *vt = tty->private;
    bool configures =
        cmd == VT_ACTIVATE || cmd == VT_WAITACTIVE || cmd == VT_SETMODE || cmd == VT_RELDISP;

    if (configures && !may_configure(tty)) {
        return -EPERM;
    }
    switch (cmd) {
    case VT_GETSTATE:
        return get_state((struct vt_stat __user *)arg);
    case VT_OPENQRY:
        return find_free((int __user *)arg);
    case VT_GETMODE:
        return get_mode(vt, (struct vt_mode __user *)arg);
    case VT_SETMODE:
        return set_mode(vt, (const struct vt_mode __user *)arg);
    case VT_RELDISP:
        return release_display(vt, arg);
    case VT_ACTIVATE:
    case VT_WAITACTIVE:
        return switch_ioctl(cmd, arg);
    case VT_DISALLOCATE: /* the memory of a closed terminal is kept for its next opening */
        if (arg > VT_COUNT) {
            return -ENXIO;
        }
        return arg != 0 && READ_ONCE(vt_table[arg - 1].tty->opens) > 0 ? -EBUSY : 0;
    default:
        return keyboard_ioctl(vt, cmd, arg);
    }
}
