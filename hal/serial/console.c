/*
 * Kernel log lines on a serial port. They share the ring with the terminal, so lines and program output come in the order in
 * which they were written. When the ring is full they wait for the chip, because a log line must not be lost; at the machine's end, or
 * when the port's own code logs with the lock held, they go out by polling.
 */
#include "hal/serial/uart.h"
#include "kernel/base/string.h"

#define LOCK_TRIES 100000u

static bool console_lock(struct uart *uart)
{
    for (unsigned i = 0; i < LOCK_TRIES; i++) {
        if (spin_trylock(&uart->lock)) {
            return true;
        }
        cpu_relax();
    }
    return false;
}

static void console_send(struct uart *uart, const char *text, size_t len_bytes, bool polled)
{
    const uint8_t *data = (const uint8_t *)text;

    if (!polled) {
        size_t done = uart_send_locked(uart, data, len_bytes, true);
        data += done;
        len_bytes -= done;
    }
    if (len_bytes > 0) {
        uart_send_polled(uart, data, len_bytes);
    }
}

static void console_write(struct log_console *console, const char *text, size_t len_bytes)
{
    struct uart *uart = container_of(console, struct uart, log_console);
    uint64_t flags = irq_save();
    bool locked = !log_stands_alone() && console_lock(uart);

    /* Lines end as terminals want them. */
    while (len_bytes > 0) {
        const char *newline = memchr(text, '\n', len_bytes);
        size_t part = newline != NULL ? (size_t)(newline - text) : len_bytes;
        console_send(uart, text, part, !locked);
        if (newline != NULL) {
            console_send(uart, "\r\n", 2, !locked);
            part++;
        }
        text += part;
        len_bytes -= part;
    }
    if (locked) {
        spin_unlock(&uart->lock);
    }
    irq_restore(flags);
}

static void console_shutdown(struct machine_shutdown *shutdown)
{
    struct uart *uart = container_of(shutdown, struct uart, shutdown);

    uart_send_polled(uart, NULL, 0);
    uart_wait_sent(uart);
}

void uart_console_register(struct uart *uart, bool replay)
{
    uart->shutdown.fn = console_shutdown;
    machine_shutdown_register(&uart->shutdown);
    uart->log_console = (struct log_console){.name = uart->tty->name,
                                             .write = console_write,
                                             .replay = replay,
                                             .replaces_early = !replay};
    log_console_register(&uart->log_console);
}
