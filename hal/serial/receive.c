/*
 * Input and interrupts. The handler empties the receiver and hands it to the line discipline.
 *
 * While the line discipline is full ("throttled") the receiver is left alone: the chip's own flow control then holds the
 * sender back where there is any. On a line with signal characters (ISIG) only for a second; after that input is taken and
 * dropped, so that an interrupt character still gets through to a program that does not read.
 *
 * Locks: uart.h. What is taken under uart->lock is delivered without it; the handler itself never runs twice at once.
 */
#include "hal/serial/uart.h"
#include "kernel/core/sysrq.h"
#include "kernel/core/time.h"

#define PASS_LIMIT      64u /* rounds of the interrupt handler */
#define WAKE_SPACE      (UART_TX_BYTES / 2)
#define THROTTLE_MAX_NS NS_PER_S
#define SYSRQ_NS        (5 * NS_PER_S)

/* ---- input ---- */

struct rx_batch {
    uint8_t data[64];
    size_t len_bytes;
    uint8_t error_byte; /* comes after data */
    uint8_t errors;     /* UART_LSR_*; 0: no error byte */
    uint8_t sysrq;      /* a request to the kernel, which came after all that; 0: none */
};

/*
 * A break on the console and a byte within SYSRQ_NS are a request (kernel/core/sysrq.h). A second break is one for the terminal. True: it is
 * not for the terminal; *ret_key: the request.
 */
static bool sysrq_locked(struct uart *uart, uint8_t byte, uint8_t errors, uint8_t *ret_key)
{
    ktime_t until = uart->sysrq_until;

    if (!uart->console || (until == 0 && (errors & UART_LSR_BI) == 0)) {
        return false;
    }
    if ((errors & UART_LSR_BI) != 0 && until == 0) {
        uart->sysrq_until = ktime_now() + SYSRQ_NS;
        return true;
    }
    uart->sysrq_until = 0;
    if (errors != 0 || byte == 0 || ktime_now() >= until) {
        return false;
    }
    *ret_key = byte;
    return true;
}

/* Take bytes until the receiver is empty, the batch is full, or one has an error or is a request. */
static void rx_take_locked(struct uart *uart, struct rx_batch *batch)
{
    batch->len_bytes = 0;
    batch->errors = batch->sysrq = 0;
    while (batch->len_bytes < sizeof(batch->data)) {
        uint8_t status = uart_line_status_locked(uart);
        if (!(status & UART_LSR_DR)) {
            return;
        }
        uint8_t byte = uart_read(uart, UART_RX);
        uint8_t errors = uart->lsr_errors;
        uart->lsr_errors = 0;
        if (unlikely(sysrq_locked(uart, byte, errors, &batch->sysrq))) {
            if (batch->sysrq != 0) {
                return;
            }
            continue;
        }
        if (uart->ignore_input) {
            continue;
        }
        if (unlikely(errors != 0)) {
            batch->error_byte = byte;
            batch->errors = errors;
            return;
        }
        batch->data[batch->len_bytes++] = byte;
    }
}

static void rx_deliver(struct uart *uart, const struct rx_batch *batch)
{
    uint8_t errors = batch->errors;

    if (batch->len_bytes > 0) {
        (void)tty_receive(uart->tty, batch->data, batch->len_bytes);
    }
    if (unlikely(batch->sysrq != 0)) {
        sysrq_request_checked((char)batch->sysrq);
    }
    if (likely(errors == 0)) {
        return;
    }
    if (errors &
        UART_LSR_OE) { /* a lost one before this byte, which is itself good unless it says otherwise */
        tty_receive_error(uart->tty, 0, TTY_OVERRUN);
    }
    if (errors & UART_LSR_BI) {
        tty_receive_error(uart->tty, 0, TTY_BREAK);
    } else if (errors & UART_LSR_PE) {
        tty_receive_error(uart->tty, batch->error_byte, TTY_PARITY);
    } else if (errors & UART_LSR_FE) {
        tty_receive_error(uart->tty, batch->error_byte, TTY_FRAME);
    } else {
        (void)tty_receive(uart->tty, &batch->error_byte, 1);
    }
}

void uart_rx_enable_locked(struct uart *uart)
{
    bool on = uart->open && !uart->throttled;
    uint8_t bits = UART_IER_RDI | UART_IER_RLSI;

    uart_set_ier_locked(uart, on ? uart->ier | bits : uart->ier & (uint8_t)~bits);
    if (uart->cts_flow && uart->open) {
        uint8_t mcr =
            uart->throttled ? uart->mcr & (uint8_t)~UART_MCR_RTS : uart->mcr | UART_MCR_RTS;
        uart_set_mcr_locked(uart, mcr);
    }
}

static void throttle_expired(struct timer *timer)
{
    struct uart *uart = container_of(timer, struct uart, throttle_timer);
    uint64_t flags = spin_lock_irqsave(&uart->lock);

    uart->throttled = false;
    uart_rx_enable_locked(uart);
    spin_unlock_irqrestore(&uart->lock, flags);
}

void uart_throttle(struct uart *uart, bool on)
{
    uint64_t flags = spin_lock_irqsave(&uart->lock);

    uart->throttled = on;
    uart_rx_enable_locked(uart);
    spin_unlock_irqrestore(&uart->lock, flags);
    if (on && (READ_ONCE(uart->tty->termios.c_lflag) & ISIG)) {
        timer_arm(&uart->throttle_timer, ktime_now() + THROTTLE_MAX_NS);
    } else {
        (void)timer_cancel(&uart->throttle_timer);
    }
}

/* ---- interrupts ---- */

/* The modem lines changed; true when the carrier was lost. */
static bool modem_status_locked(struct uart *uart)
{
    uint8_t status = uart_read(uart, UART_MSR);

    if (uart->cts_flow && (status & UART_MSR_DCTS)) {
        uart->cts_wait = !(status & UART_MSR_CTS);
    }
    return (status & UART_MSR_DDCD) && !(status & UART_MSR_DCD) && !uart->local && uart->open;
}

/* One pending cause. False: there is none. */
static bool uart_service(struct uart *uart)
{
    struct rx_batch batch = {.len_bytes = 0};
    bool wake = false, hangup = false;

    uint64_t flags = spin_lock_irqsave(&uart->lock);
    uint8_t cause = uart_read(uart, UART_IIR);
    if (cause & UART_IIR_NO_INT) {
        spin_unlock_irqrestore(&uart->lock, flags);
        return false;
    }
    switch (cause & 0x0f) {
    case UART_IIR_MSI:
        hangup = modem_status_locked(uart);
        uart_pump_locked(uart, UART_PUMP_BYTES);
        break;
    case UART_IIR_THRI: {
        uint32_t before = ring_space(&uart->tx);
        uart_pump_locked(uart, UART_PUMP_BYTES);
        uint32_t space = ring_space(&uart->tx);
        wake = space == UART_TX_BYTES || (before < WAKE_SPACE && space >= WAKE_SPACE);
        break;
    }
    default: /* received data, time-out of the FIFO, line status */
        rx_take_locked(uart, &batch);
        break;
    }
    spin_unlock_irqrestore(&uart->lock, flags);
    rx_deliver(uart, &batch);
    if (wake) {
        tty_wake_writers(uart->tty);
    }
    if (hangup) {
        tty_hangup_later(uart->tty);
    }
    return true;
}

static enum irq_result uart_interrupt(struct irq_handler *handler)
{
    struct uart *uart = container_of(handler, struct uart, irq_handler);
    unsigned passes = 0;

    while (passes < PASS_LIMIT && uart_service(uart)) {
        passes++;
    }
    return passes > 0 ? IRQ_HANDLED : IRQ_NONE;
}

void uart_input_init(struct uart *uart)
{
    timer_init(&uart->throttle_timer, throttle_expired);
    uart->irq_handler = (struct irq_handler){.fn = uart_interrupt, .name = uart->tty->name};
}
