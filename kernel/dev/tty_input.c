/*
 * Terminals: what drivers bring in, what it causes (signals, echoes, wake-ups), and flow control.
 *
 * Input is processed where it arrives, interrupt handlers included, under tty->lock. Only echoes may have to wait: they go through the
 * driver's write(), which may sleep, so they are queued and written by whoever holds the output lock or by a kernel thread.
 */
#include <asm/poll.h>
#include <linux/tty.h>

#include "kernel/dev/tty_impl.h"

/* ---- input ---- */

/* Above this many unread bytes the driver is asked to hold input back; below the other it may go on. */
#define THROTTLE_AT   (LDISC_SIZE - 128)
#define UNTHROTTLE_AT 128u

static void throttle_locked(struct tty *tty, bool on)
{
    struct ldisc *ld = tty->ldisc;

    tty->throttled = on;
    if ((ld->termios.c_iflag & IXOFF) != 0) {
        uint8_t c = ld->termios.c_cc[on ? VSTOP : VSTART];
        if (c != 0) {
            ldisc_echo_raw(ld, c);
        }
    }
    if (tty->ops->throttle != NULL) {
        tty->ops->throttle(tty, on);
    }
}

void tty_unthrottle(struct tty *tty)
{
    uint64_t flags = spin_lock_irqsave(&tty->lock);

    if (tty->throttled &&
        (ldisc_used(tty->ldisc) <= UNTHROTTLE_AT || ldisc_room(tty->ldisc) == SIZE_MAX)) {
        throttle_locked(tty, false);
    }
    spin_unlock_irqrestore(&tty->lock, flags);
    tty_echo_kick(tty);
}

static void packet_event(struct tty *tty, uint8_t bits)
{
    if (tty->ops->packet_event != NULL) {
        tty->ops->packet_event(tty, bits);
    }
}

/* Act on what the line discipline found; the lock is no longer held. Any context. */
static void apply_events(struct tty *tty, const struct ldisc_events *events)
{
    if (events->flow_changed) {
        tty_stop(tty, tty->ldisc->stopped);
    }
    if (events->flush_output) {
        tty_flush_output(tty);
    }
    for (uint64_t left = events->signals; left != 0; left &= left - 1) {
        tty_signal_foreground(tty, __builtin_ctzll(left));
    }
    if (events->readable) {
        if (wait_queue_active(&tty->read_wait)) {
            wait_wake_all(&tty->read_wait, POLLIN | POLLRDNORM);
        }
        async_tell(&tty->async, POLL_IN);
    }
    tty_echo_kick(tty);
}

static inline bool input_counts(const struct tty *tty, const struct ldisc *ld)
{
    return ld != NULL && (READ_ONCE(tty->opens) > 0 || tty->keep_input);
}

static size_t receive(struct tty *tty, const uint8_t *data, size_t len_bytes, bool drop)
{
    struct ldisc_events events = {0};
    struct ldisc *ld;
    uint64_t flags;
    size_t n;

    ld = atomic_load_acquire(&tty->ldisc);
    if (!input_counts(tty, ld)) {
        return len_bytes; /* nobody has it open: input goes nowhere */
    }
    flags = spin_lock_irqsave(&tty->lock);
    n = ldisc_receive(ld, data, len_bytes, &events);
    if (drop && n < len_bytes) {
        tty->dropped += (uint32_t)(len_bytes - n);
    }
    if (!tty->throttled && ldisc_used(ld) >= THROTTLE_AT && ldisc_room(ld) != SIZE_MAX) {
        throttle_locked(tty, true);
    }
    spin_unlock_irqrestore(&tty->lock, flags);
    apply_events(tty, &events);
    return n;
}

size_t tty_receive(struct tty *tty, const uint8_t *data, size_t len_bytes)
{
    return receive(tty, data, len_bytes, true);
}

size_t tty_receive_some(struct tty *tty, const uint8_t *data, size_t len_bytes)
{
    return receive(tty, data, len_bytes, false);
}

bool tty_receive_room(struct tty *tty)
{
    struct ldisc *ld = atomic_load_acquire(&tty->ldisc);

    return !input_counts(tty, ld) || ldisc_room(ld) > 1;
}

void tty_receive_error(struct tty *tty, uint8_t byte, unsigned kind)
{
    struct ldisc_events events = {0};
    struct ldisc *ld = atomic_load_acquire(&tty->ldisc);
    uint64_t flags;

    if (!input_counts(tty, ld)) {
        return;
    }
    flags = spin_lock_irqsave(&tty->lock);
    if (kind == TTY_OVERRUN) {
        tty->dropped++;
    } else {
        ldisc_receive_error(ld, byte, kind, &events);
    }
    spin_unlock_irqrestore(&tty->lock, flags);
    apply_events(tty, &events);
}

/* ---- echoes ---- */

static bool echo_pending(struct tty *tty)
{
    struct ldisc *ld = atomic_load_acquire(&tty->ldisc);

    return ld != NULL && !READ_ONCE(tty->stopped) &&
           READ_ONCE(ld->echo_head) != READ_ONCE(ld->echo_tail);
}

bool tty_echo_flush_locked(struct tty *tty)
{
    uint8_t out[128];
    size_t n, room;
    uint64_t flags;

    while (echo_pending(tty)) {
        room = tty->ops->write_room(tty);
        flags = spin_lock_irqsave(&tty->lock);
        n = ldisc_echo_output(tty->ldisc, out, MIN(room, sizeof(out)));
        spin_unlock_irqrestore(&tty->lock, flags);
        if (n == 0) {
            return !echo_pending(tty);
        }
        (void)tty->ops->write(tty, out, n);
    }
    return true;
}

/*
 * Whoever finds the output lock taken leaves the echoes to its holder, who looks again after letting go: so an echo is never
 * stranded, and a driver whose write() produces input (a terminal's reports) does not wait for itself.
 */
void tty_echo_flush(struct tty *tty)
{
    bool room = true;

    while (room && echo_pending(tty) && mutex_trylock(&tty->output_lock)) {
        room = tty_echo_flush_locked(tty);
        mutex_unlock(&tty->output_lock);
    }
}

void tty_echo_kick(struct tty *tty)
{
    if (!echo_pending(tty)) {
        return;
    }
    if (!in_atomic()) {
        tty_echo_flush(tty);
        return;
    }
    tty_get(tty);
    if (!work_queue(&tty->echo_work)) {
        tty_put(tty); /* queued already, with a reference of its own; never the last one here */
    }
}

void tty_echo_work(struct work *work)
{
    struct tty *tty = container_of(work, struct tty, echo_work);

    tty_echo_flush(tty);
    tty_put(tty);
}

void tty_wake_writers(struct tty *tty)
{
    if (wait_queue_active(&tty->write_wait)) {
        wait_wake_all(&tty->write_wait, POLLOUT | POLLWRNORM);
    }
    if (async_is_wanted(&tty->async) && atomic_exchange(&tty->wrote_less, false)) {
        async_tell_all(&tty->async, POLL_OUT);
    }
    tty_echo_kick(tty);
}

/* ---- flow control and flushing ---- */

void tty_stop(struct tty *tty, bool stop)
{
    uint64_t flags = spin_lock_irqsave(&tty->lock);
    bool changed = tty->stopped != stop;

    tty->stopped = stop;
    if (tty->ldisc != NULL) {
        tty->ldisc->stopped = stop;
    }
    spin_unlock_irqrestore(&tty->lock, flags);
    if (!changed) {
        return;
    }
    if (tty->ops->set_stopped != NULL) {
        tty->ops->set_stopped(tty, stop);
    }
    packet_event(tty, stop ? TIOCPKT_STOP : TIOCPKT_START);
    if (!stop) {
        tty_wake_writers(tty);
    }
}

void tty_flush_input(struct tty *tty)
{
    uint64_t flags = spin_lock_irqsave(&tty->lock);

    if (tty->ldisc != NULL) {
        ldisc_flush_input(tty->ldisc);
        if (tty->throttled) {
            throttle_locked(tty, false);
        }
    }
    spin_unlock_irqrestore(&tty->lock, flags);
    packet_event(tty, TIOCPKT_FLUSHREAD);
}

void tty_flush_output(struct tty *tty)
{
    if (tty->ops->flush_output != NULL) {
        tty->ops->flush_output(tty);
    }
    packet_event(tty, TIOCPKT_FLUSHWRITE);
    tty_wake_writers(tty);
}
