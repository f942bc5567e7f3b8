/*
 * Output: bytes go into the chip while it takes them, the rest waits in the ring for the "transmitter empty" interrupt.
 *
 * A chip that is fast (an emulated one is empty again at once) is fed without any interrupt. The interrupt is enabled only
 * while there is something in the ring, or something in the chip whose end a tcdrain(3) may wait for.
 */
#include "hal/serial/uart.h"
#include "kernel/machine/clock.h"

#define POLL_TRIES                                                                                 \
    200000u /* for one FIFO to empty: at 110 baud 16 bytes take 1.6 s; a dead chip must not hang a panic */

static bool tx_held_locked(const struct uart *uart)
{
    return uart->stopped || uart->cts_wait;
}

/* Is the transmitter empty? Then the FIFO takes fifo_bytes. */
static bool tx_empty_locked(struct uart *uart)
{
    if (uart_line_status_locked(uart) & UART_LSR_THRE) {
        uart->tx_in_fifo = false;
        return true;
    }
    return false;
}

static void tx_load_locked(struct uart *uart, const uint8_t *data, size_t len_bytes)
{
    uint16_t port = uart->port;

    for (size_t i = 0; i < len_bytes; i++) {
        port_write8(port, data[i]);
    }
    uart->tx_in_fifo = true;
}

static void tx_want_interrupt_locked(struct uart *uart)
{
    bool want = uart->tx_in_fifo || (ring_used(&uart->tx) > 0 && !tx_held_locked(uart));

    uart_set_ier_locked(uart, want ? uart->ier | UART_IER_THRI : uart->ier & ~UART_IER_THRI);
}

void uart_pump_locked(struct uart *uart, size_t limit_bytes)
{
    uint8_t chunk[16];

    while (!tx_held_locked(uart) && limit_bytes > 0 && tx_empty_locked(uart)) {
        uint32_t n = ring_read(&uart->tx, chunk, uart->fifo_bytes);
        if (n == 0) {
            break;
        }
        tx_load_locked(uart, chunk, n);
        limit_bytes -= MIN((size_t)n, limit_bytes);
    }
    if (uart->tx_in_fifo) {
        (void)tx_empty_locked(uart);
    }
    tx_want_interrupt_locked(uart);
}

size_t uart_send_locked(struct uart *uart, const uint8_t *data, size_t len_bytes, bool use_reserve)
{
    size_t done = 0;

    /* Nothing waits: straight into the chip, as long as it keeps up. */
    if (ring_used(&uart->tx) == 0 && !tx_held_locked(uart)) {
        while (done < len_bytes && tx_empty_locked(uart)) {
            size_t n = MIN(len_bytes - done, (size_t)uart->fifo_bytes);
            tx_load_locked(uart, data + done, n);
            done += n;
        }
    }
    if (done < len_bytes) {
        uint32_t reserve = use_reserve ? 0 : UART_TX_RESERVE;
        uint32_t space = ring_space(&uart->tx);
        size_t n = MIN(len_bytes - done, (size_t)(space > reserve ? space - reserve : 0));
        done += ring_write(&uart->tx, data + done, (uint32_t)n);
    }
    if (uart->tx_in_fifo) {
        (void)tx_empty_locked(uart);
    }
    tx_want_interrupt_locked(uart);
    return done;
}

static void poll_status(struct uart *uart, uint8_t bit)
{
    for (unsigned i = 0; i < POLL_TRIES && !(uart_read(uart, UART_LSR) & bit); i++) {
        cpu_relax();
    }
}

void uart_wait_sent(struct uart *uart)
{
    poll_status(uart, UART_LSR_TEMT);
}

void uart_send_polled(struct uart *uart, const uint8_t *data, size_t len_bytes)
{
    uint8_t chunk[16];
    uint32_t n;

    while ((n = ring_read(&uart->tx, chunk, uart->fifo_bytes)) > 0) {
        poll_status(uart, UART_LSR_THRE);
        tx_load_locked(uart, chunk, n);
    }
    for (size_t done = 0; done < len_bytes; done += n) {
        n = (uint32_t)MIN(len_bytes - done, (size_t)uart->fifo_bytes);
        poll_status(uart, UART_LSR_THRE);
        tx_load_locked(uart, data + done, n);
    }
}
