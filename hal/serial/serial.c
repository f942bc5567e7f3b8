/*
 * The PC's serial ports as terminals ttyS0 to ttyS3: found at boot, and the operations that the terminal layer asks for.
 *
 * Kernel log lines go to every port that a console= parameter names, or to ttyS0 when there is no such parameter.
 *
 * Input: receive.c. Output: transmit.c. Kernel log: console.c. Modem lines: modem.c. The chip: uart.c. Locks: uart.h.
 */
#include <linux/major.h>

#include "hal/serial/uart.h"
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/param.h"
#include "kernel/core/time.h"
#include "kernel/dev/driver.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/sched.h"
#include "kernel/vfs/chrdev.h"

#define FIRST_MINOR       64u
#define EARLY_PORT        0x3f8u /* what the early console has written to */
#define CLOSE_DRAIN_TRIES 200u
#define CLOSE_DRAIN_NS    (10 * NS_PER_MS)

static const struct {
    uint16_t port;
    uint8_t irq;
} isa_ports[] = {{0x3f8, 4}, {0x2f8, 3}, {0x3e8, 4}, {0x2e8, 3}};

/* ---- the terminal's operations ---- */

static void serial_throttle(struct tty *tty, bool on)
{
    uart_throttle(tty->private, on);
}

static size_t serial_write_room(struct tty *tty)
{
    struct uart *uart = tty->private;
    uint64_t flags = spin_lock_irqsave(&uart->lock);
    uint32_t space = ring_space(&uart->tx);

    spin_unlock_irqrestore(&uart->lock, flags);
    return space > UART_TX_RESERVE ? space - UART_TX_RESERVE : 0;
}

/* The log may have come in between since write_room() answered, but it leaves what it does not fill. */
static size_t serial_write(struct tty *tty, const uint8_t *data, size_t len_bytes)
{
    struct uart *uart = tty->private;
    size_t done = 0;

    /* In portions, so that a long write does not keep interrupts off for long. */
    while (done < len_bytes) {
        size_t want = MIN(len_bytes - done, (size_t)UART_PUMP_BYTES);
        uint64_t flags = spin_lock_irqsave(&uart->lock);
        if (ring_used(&uart->tx) > 0) {
            uart_pump_locked(uart, UART_PUMP_BYTES);
        }
        size_t taken = uart_send_locked(uart, data + done, want, false);
        spin_unlock_irqrestore(&uart->lock, flags);
        done += taken;
        if (taken < want) {
            break;
        }
    }
    return done;
}

static size_t serial_chars_in_buffer(struct tty *tty)
{
    struct uart *uart = tty->private;
    uint64_t flags = spin_lock_irqsave(&uart->lock);
    size_t n = ring_used(&uart->tx) + (uart->tx_in_fifo ? 1 : 0);

    spin_unlock_irqrestore(&uart->lock, flags);
    return n;
}

static void serial_flush_output(struct tty *tty)
{
    struct uart *uart = tty->private;
    uint8_t thrown[64];
    uint64_t flags = spin_lock_irqsave(&uart->lock);

    while (ring_read(&uart->tx, thrown, sizeof(thrown)) > 0) {
    }
    uart_pump_locked(uart, 0);
    spin_unlock_irqrestore(&uart->lock, flags);
}

static void serial_set_stopped(struct tty *tty, bool stopped)
{
    struct uart *uart = tty->private;
    uint64_t flags = spin_lock_irqsave(&uart->lock);

    uart->stopped = stopped;
    uart_pump_locked(uart, UART_PUMP_BYTES);
    spin_unlock_irqrestore(&uart->lock, flags);
}

static void serial_apply_termios_locked(struct uart *uart, const struct ktermios *termios)
{
    uint32_t cflag = termios->c_cflag;
    uint8_t mcr = uart->mcr;

    uart_set_format_locked(uart, termios->c_ospeed, cflag);
    uart->ignore_input = !(cflag & CREAD);
    uart->local = (cflag & CLOCAL) != 0;
    uart->cts_flow = (cflag & CRTSCTS) != 0;
    uart->cts_wait = uart->cts_flow && !(uart_read(uart, UART_MSR) & UART_MSR_CTS);
    if (termios->c_ospeed == 0) {
        mcr &= (uint8_t) ~(UART_MCR_DTR | UART_MCR_RTS);
    } else {
        mcr |= UART_MCR_DTR | UART_MCR_RTS;
    }
    uart_set_mcr_locked(uart, mcr);
    uint8_t ier = uart->ier & (uint8_t)~UART_IER_MSI;
    uart_set_ier_locked(uart, !uart->local || uart->cts_flow ? ier | UART_IER_MSI : ier);
    uart_rx_enable_locked(uart);
    uart_pump_locked(uart, UART_PUMP_BYTES);
}

static void serial_set_termios(struct tty *tty, const struct ktermios *old)
{
    struct uart *uart = tty->private;
    uint64_t flags = spin_lock_irqsave(&uart->lock);

    (void)old;
    serial_apply_termios_locked(uart, &tty->termios);
    spin_unlock_irqrestore(&uart->lock, flags);
}

static int serial_open(struct tty *tty)
{
    struct uart *uart = tty->private;
    uint64_t flags = spin_lock_irqsave(&uart->lock);

    /* What came while nobody listened is not input. */
    for (unsigned i = 0; i < 64 && (uart_read(uart, UART_LSR) & UART_LSR_DR); i++) {
        (void)uart_read(uart, UART_RX);
    }
    (void)uart_read(uart, UART_MSR);
    uart->lsr_errors = 0;
    uart->open = true;
    uart->throttled = false;
    serial_apply_termios_locked(uart, &tty->termios);
    spin_unlock_irqrestore(&uart->lock, flags);
    return 0;
}

static void serial_close(struct tty *tty)
{
    struct uart *uart = tty->private;

    /* Output goes out first, unless the other end refuses it. */
    for (unsigned i = 0; i < CLOSE_DRAIN_TRIES && serial_chars_in_buffer(tty) > 0; i++) {
        thread_sleep_ns(CLOSE_DRAIN_NS);
    }
    (void)timer_cancel_sync(&uart->throttle_timer);
    uint64_t flags = spin_lock_irqsave(&uart->lock);
    uart->open = false;
    uart->throttled = false;
    uart_rx_enable_locked(uart);
    uart_set_ier_locked(uart, uart->ier & (uint8_t)~UART_IER_MSI);
    if ((tty->termios.c_cflag & HUPCL) && !uart->console) {
        uart_set_mcr_locked(uart, uart->mcr & (uint8_t) ~(UART_MCR_DTR | UART_MCR_RTS));
    }
    spin_unlock_irqrestore(&uart->lock, flags);
}

static const struct tty_driver_ops serial_ops = {
    .open = serial_open,
    .close = serial_close,
    .write = serial_write,
    .write_room = serial_write_room,
    .chars_in_buffer = serial_chars_in_buffer,
    .flush_output = serial_flush_output,
    .set_stopped = serial_set_stopped,
    .set_termios = serial_set_termios,
    .throttle = serial_throttle,
    .ioctl = uart_ioctl,
};

/* ---- finding them ---- */

/*
 * Does a console= parameter name this port? "console=ttyS0,115200n8": *ret_baud is set when it says a speed. Without any such
 * parameter the first port is the console.
 */
static bool console_wanted(unsigned index, uint32_t *ret_baud)
{
    const char *word = param_cmdline();
    char name[16];
    size_t len = (size_t)kscnprintf(name, sizeof(name), "ttyS%u", index);
    bool any = false, wanted = false;

    for (; (word = strstr(word, "console=")) != NULL;) {
        bool starts = word == param_cmdline() || word[-1] == ' ';
        word += strlen("console=");
        if (!starts) {
            continue;
        }
        any = true;
        if (strncmp(word, name, len) != 0 ||
            (word[len] != '\0' && word[len] != ' ' && word[len] != ',')) {
            continue;
        }
        wanted = true;
        uint32_t baud = 0;
        for (const char *digit = word + len + 1;
             word[len] == ',' && *digit >= '0' && *digit <= '9' && baud < UART_CLOCK_HZ; digit++) {
            baud = baud * 10 + (uint32_t)(*digit - '0');
        }
        if (baud != 0) {
            *ret_baud = baud;
        }
    }
    return any ? wanted : index == 0;
}

static uint32_t baud_code(uint32_t baud)
{
    static const struct {
        uint32_t baud, code;
    } codes[] = {
        {9600, B9600}, {19200, B19200}, {38400, B38400}, {57600, B57600}, {115200, B115200}};

    for (unsigned i = 0; i < ARRAY_SIZE(codes); i++) {
        if (codes[i].baud == baud) {
            return codes[i].code;
        }
    }
    return BOTHER;
}

/* Terminal, ring, interrupt and log console for a chip that is there. */
static int serial_start(struct uart *uart)
{
    uint32_t baud = UART_CLOCK_HZ;
    char name[16];

    uart->console = console_wanted(uart->index, &baud);
    kscnprintf(name, sizeof(name), "ttyS%u", uart->index);
    void *buffer = kmalloc(UART_TX_BYTES);
    if (buffer == NULL) {
        return -ENOMEM;
    }
    ring_init(&uart->tx, buffer, UART_TX_BYTES);
    int err = tty_create(name, DEV_MAKE(TTY_MAJOR, FIRST_MINOR + uart->index), &serial_ops, uart,
                         &uart->tty);
    if (err < 0) {
        goto free_buffer;
    }
    uart->tty->termios.c_cflag =
        baud_code(baud) | CS8 | CREAD | HUPCL | (uart->console ? CLOCAL : 0);
    uart->tty->termios.c_ospeed = baud;
    uart->tty->termios.c_ispeed = baud;
    uart_input_init(uart);
    uart_set_format_locked(uart, baud, CS8);
    err = irq_attach(uart->irq, IRQ_FLAG_ISA, &uart->irq_handler);
    if (err < 0) {
        goto remove_tty;
    }
    uart->resource =
        (struct resource){.start = uart->port, .last = uart->port + 7u, .name = "serial"};
    (void)resource_add(&resource_ports, &uart->resource);
    log_info("serial: ttyS%u at port %#x, irq %u, 16550 with %u byte%s of FIFO%s", uart->index,
             uart->port, uart->irq, uart->fifo_bytes, uart->fifo_bytes == 1 ? "" : "s",
             uart->console ? ", log console" : "");
    if (uart->console) {
        uart_console_register(uart, uart->port != EARLY_PORT);
    }
    return 0;

remove_tty:
    tty_remove(uart->tty);
free_buffer:
    kfree(buffer);
    return err;
}

static int serial_probe(const struct boot_handoff *handoff)
{
    int found = -ENODEV;

    (void)handoff;
    for (unsigned i = 0; i < ARRAY_SIZE(isa_ports); i++) {
        struct uart probe = {
            .port = isa_ports[i].port, .irq = isa_ports[i].irq, .index = (uint8_t)i};
        if (!uart_probe(&probe)) {
            continue;
        }
        struct uart *uart = kmemdup(&probe, sizeof(probe));
        if (uart == NULL) {
            return -ENOMEM;
        }
        spin_init(&uart->lock, "uart");
        int err = serial_start(uart);
        if (err < 0) {
            log_err("serial: ttyS%u does not start: error %d", i, -err);
            kfree(uart);
            continue;
        }
        found = 0;
    }
    return found;
}

DRIVER(serial) = {.name = "serial", .stage = DRIVER_STAGE_CONSOLE, .probe = serial_probe};
