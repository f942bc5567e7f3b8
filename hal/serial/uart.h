/*
 * One 16550 and what the driver knows about it. Private to hal/serial.
 *
 * Locks:  u uart->lock (spin, irqsave)   I immutable after probing   i only the interrupt handler
 * Order: tty->lock -> uart->lock. Nothing of the terminal layer is called with uart->lock held.
 */
#pragma once

#include <linux/serial_reg.h>

#include "kernel/base/ring.h"
#include "kernel/core/log.h"
#include "kernel/core/timer.h"
#include "kernel/dev/tty.h"
#include "kernel/irq/irq.h"
#include "kernel/machine/io.h"
#include "kernel/machine/power.h"
#include "kernel/mm/resource.h"
#include "kernel/sync/spinlock.h"

#define UART_CLOCK_HZ   115200u /* divisor 1 */
#define UART_TX_BYTES   16384u  /* ring */
#define UART_TX_RESERVE 2048u   /* of it, for the log: terminals do not fill it */
#define UART_LSR_ERRORS (UART_LSR_BI | UART_LSR_FE | UART_LSR_PE | UART_LSR_OE)
#define UART_PUMP_BYTES 256u /* sent in one go; bounds the time with interrupts off */

struct uart {
    uint16_t port;      /* [I] */
    uint8_t irq;        /* [I] ISA interrupt */
    uint8_t index;      /* [I] ttyS number */
    uint8_t fifo_bytes; /* [I] transmitter: 16, or 1 without FIFO */
    bool console;       /* [I] kernel log lines go here */
    struct resource resource;
    struct spinlock lock;
    uint8_t ier, mcr, lcr;   /* [u] what the registers hold */
    uint8_t lsr_errors;      /* [u] receive errors seen while looking at the transmitter */
    struct ring tx;          /* [u] */
    bool tx_in_fifo;         /* [u] the transmitter was loaded and has not reported empty yet */
    bool stopped;            /* [u] ^S */
    bool cts_flow, cts_wait; /* [u] CRTSCTS; the other end is not clear to send */
    bool open, throttled;    /* [u] */
    bool ignore_input;       /* [u] !CREAD */
    bool local;              /* [u] CLOCAL: no carrier to lose */
    ktime_t
        sysrq_until; /* [u] a break came on the console: the next byte is a request, if it comes by then; 0: none did */
    struct timer throttle_timer;
    struct tty *tty; /* [I] */
    struct irq_handler irq_handler;
    struct log_console log_console;
    struct machine_shutdown shutdown;
};

static inline uint8_t uart_read(const struct uart *uart, unsigned reg)
{
    return port_read8((uint16_t)(uart->port + reg));
}

static inline void uart_write(const struct uart *uart, unsigned reg, uint8_t value)
{
    port_write8((uint16_t)(uart->port + reg), value);
}

/* ---- uart.c: the chip ---- */
/* Is there one? Looks without disturbing what else may live at the port; leaves a found chip silent, FIFO on. */
bool uart_probe(struct uart *uart);
void uart_set_ier_locked(struct uart *uart, uint8_t ier);
void uart_set_mcr_locked(struct uart *uart, uint8_t mcr);
/* Speed and character format; 0 baud hangs up. */
void uart_set_format_locked(struct uart *uart, uint32_t baud, uint32_t cflag);
/* The line status, with receive errors remembered for uart_take_errors_locked(). */
uint8_t uart_line_status_locked(struct uart *uart);

/* ---- transmit.c ---- */
/* Send what the ring holds as far as the chip takes it at once, at most `limit` bytes, and ask for an interrupt for the rest. */
void uart_pump_locked(struct uart *uart, size_t limit_bytes);
/* Put bytes into the ring or straight into the chip: returns how many. `use_reserve`: the log may fill the ring to the brim. */
size_t uart_send_locked(struct uart *uart, const uint8_t *data, size_t len_bytes, bool use_reserve);
/* Send everything the ring holds by polling, then these bytes. Works with the lock held by somebody who will not run again. */
void uart_send_polled(struct uart *uart, const uint8_t *data, size_t len_bytes);
/* Wait until the last bit has left the chip. Bounded. */
void uart_wait_sent(struct uart *uart);

/* ---- receive.c ---- */
void uart_input_init(struct uart *uart);
/* Let the receiver interrupt when the terminal is open and has room. */
void uart_rx_enable_locked(struct uart *uart);
/* The line discipline is nearly full, or has room again. Any context. */
void uart_throttle(struct uart *uart, bool on);

/* ---- modem.c ---- */
int64_t uart_ioctl(struct tty *tty, unsigned cmd, uint64_t arg);

/* ---- console.c ---- */
void uart_console_register(struct uart *uart, bool replay);
