/*
 * What ioctl(2) can do to a serial line beyond the terminal's own: modem lines and breaks (ioctl_tty(2)).
 */
#include <asm/ioctls.h>

#include "hal/serial/uart.h"
#include "kernel/base/errno.h"
#include "kernel/core/time.h"
#include "kernel/machine/user.h"
#include "kernel/sched/sched.h"

static const struct {
    uint8_t line; /* of the chip */
    unsigned bit; /* of TIOCMGET */
} modem_out[] = {{UART_MCR_DTR, TIOCM_DTR},
                 {UART_MCR_RTS, TIOCM_RTS},
                 {UART_MCR_OUT1, TIOCM_OUT1},
                 {UART_MCR_LOOP, TIOCM_LOOP}},
  modem_in[] = {{UART_MSR_CTS, TIOCM_CTS},
                {UART_MSR_DSR, TIOCM_DSR},
                {UART_MSR_RI, TIOCM_RI},
                {UART_MSR_DCD, TIOCM_CAR}};

static unsigned modem_lines(struct uart *uart)
{
    unsigned lines = 0;
    uint64_t flags = spin_lock_irqsave(&uart->lock);
    uint8_t out = uart->mcr, in = uart_read(uart, UART_MSR);

    spin_unlock_irqrestore(&uart->lock, flags);
    for (unsigned i = 0; i < ARRAY_SIZE(modem_out); i++) {
        lines |= (out & modem_out[i].line) ? modem_out[i].bit : 0;
        lines |= (in & modem_in[i].line) ? modem_in[i].bit : 0;
    }
    return lines;
}

static void modem_change(struct uart *uart, unsigned set, unsigned clear)
{
    uint64_t flags = spin_lock_irqsave(&uart->lock);
    uint8_t mcr = uart->mcr;

    for (unsigned i = 0; i < ARRAY_SIZE(modem_out); i++) {
        mcr &= (clear & modem_out[i].bit) ? (uint8_t)~modem_out[i].line : 0xff;
        mcr |= (set & modem_out[i].bit) ? modem_out[i].line : 0;
    }
    uart_set_mcr_locked(uart, mcr);
    spin_unlock_irqrestore(&uart->lock, flags);
}

static void serial_break(struct uart *uart, bool on)
{
    uint64_t flags = spin_lock_irqsave(&uart->lock);

    uart->lcr = (uint8_t)(on ? uart->lcr | UART_LCR_SBC : uart->lcr & ~UART_LCR_SBC);
    uart_write(uart, UART_LCR, uart->lcr);
    spin_unlock_irqrestore(&uart->lock, flags);
}

/* tcsendbreak(3): a quarter of a second, or `tenths` of one; after the output. */
static int64_t serial_send_break(struct tty *tty, uint64_t tenths)
{
    struct uart *uart = tty->private;
    int err = tty_drain(tty);

    if (err < 0) {
        return err;
    }
    serial_break(uart, true);
    thread_sleep_ns(tenths == 0 ? 250 * NS_PER_MS : (ktime_t)tenths * 100 * NS_PER_MS);
    serial_break(uart, false);
    return 0;
}

static int64_t serial_modem_ioctl(struct uart *uart, unsigned cmd, uint64_t arg)
{
    unsigned lines;

    if (cmd == TIOCMGET) {
        lines = modem_lines(uart);
        return put_user(lines, (unsigned __user *)arg);
    }
    if (get_user(lines, (const unsigned __user *)arg) < 0) {
        return -EFAULT;
    }
    modem_change(uart, cmd == TIOCMBIC ? 0 : lines,
                 cmd == TIOCMBIC   ? lines
                 : cmd == TIOCMSET ? ~lines
                                   : 0);
    return 0;
}

int64_t uart_ioctl(struct tty *tty, unsigned cmd, uint64_t arg)
{
    struct uart *uart = tty->private;

    switch (cmd) {
    case TIOCMGET:
    case TIOCMSET:
    case TIOCMBIS:
    case TIOCMBIC:
        return serial_modem_ioctl(uart, cmd, arg);
    case TIOCSBRK:
    case TIOCCBRK:
        serial_break(uart, cmd == TIOCSBRK);
        return 0;
    case TCSBRK:
        return arg == 0 ? serial_send_break(tty, 0) : -ENOIOCTLCMD;
    case TCSBRKP:
        return serial_send_break(tty, MIN(arg, (uint64_t)100));
    default:
        return -ENOIOCTLCMD;
    }
}
