/*
 * The 16550's registers (National Semiconductor PC16550D data sheet, 8): probing, format, modem lines.
 */
#include "hal/serial/uart.h"

#include <asm/termbits.h>

/* Interrupt enable bits 4-7 read as 0, and what is written to the scratch register stays. Some FIFO-less chips have no scratch. */
static bool uart_registers_react(const struct uart *uart)
{
    uint8_t old_ier = uart_read(uart, UART_IER);

    uart_write(uart, UART_IER, 0x00);
    uint8_t none = uart_read(uart, UART_IER) & 0x0f;
    uart_write(uart, UART_IER, 0x0f);
    uint8_t all = uart_read(uart, UART_IER) & 0x0f;
    uart_write(uart, UART_IER, old_ier & 0x0f);
    return none == 0x00 && all == 0x0f;
}

/* In loop-back the outputs appear at the inputs: RTS and OUT2 as CTS and DCD. */
static bool uart_loops_back(const struct uart *uart)
{
    uint8_t old_mcr = uart_read(uart, UART_MCR);

    uart_write(uart, UART_MCR, UART_MCR_LOOP | UART_MCR_OUT2 | UART_MCR_RTS);
    uint8_t status = uart_read(uart, UART_MSR) & 0xf0;
    uart_write(uart, UART_MCR, old_mcr);
    return status == (UART_MSR_DCD | UART_MSR_CTS);
}

bool uart_probe(struct uart *uart)
{
    /* An empty ISA slot floats high; a real line status never has all bits set. */
    if (uart_read(uart, UART_LSR) == 0xff || !uart_registers_react(uart) ||
        !uart_loops_back(uart)) {
        return false;
    }
    /* What firmware or the early console still has in the transmitter must not be lost to the FIFO reset. */
    for (unsigned i = 0; i < 100000 && !(uart_read(uart, UART_LSR) & UART_LSR_TEMT); i++) {
        cpu_relax();
    }
    uart_write(uart, UART_FCR,
               UART_FCR_ENABLE_FIFO | UART_FCR_CLEAR_RCVR | UART_FCR_CLEAR_XMIT |
                   UART_FCR_TRIGGER_8);
    /* The 16550 without A reports its FIFO as broken (only bit 7); it is right. */
    uart->fifo_bytes = (uart_read(uart, UART_IIR) & 0xc0) == 0xc0 ? 16 : 1;
    if (uart->fifo_bytes == 1) {
        uart_write(uart, UART_FCR, 0);
    }
    uart->ier = 0;
    uart_write(uart, UART_IER, 0);
    uart->lcr = UART_LCR_WLEN8;
    uart_set_mcr_locked(uart, UART_MCR_OUT2); /* on PCs OUT2 lets the interrupt through */
    return true;
}

void uart_set_ier_locked(struct uart *uart, uint8_t ier)
{
    if (uart->ier != ier) {
        uart->ier = ier;
        uart_write(uart, UART_IER, ier);
    }
}

void uart_set_mcr_locked(struct uart *uart, uint8_t mcr)
{
    uart->mcr = mcr;
    uart_write(uart, UART_MCR, mcr);
}

void uart_set_format_locked(struct uart *uart, uint32_t baud, uint32_t cflag)
{
    uint8_t lcr = 0;

    switch (cflag & CSIZE) {
    case CS5:
        lcr = UART_LCR_WLEN5;
        break;
    case CS6:
        lcr = UART_LCR_WLEN6;
        break;
    case CS7:
        lcr = UART_LCR_WLEN7;
        break;
    default:
        lcr = UART_LCR_WLEN8;
        break;
    }
    lcr |= (cflag & CSTOPB) ? UART_LCR_STOP : 0;
    if (cflag & PARENB) {
        lcr |= UART_LCR_PARITY;
        lcr |= (cflag & PARODD) ? 0 : UART_LCR_EPAR;
        lcr |= (cflag & CMSPAR) ? UART_LCR_SPAR : 0;
    }
    if (baud != 0) {
        uint32_t divisor = CLAMP((UART_CLOCK_HZ + baud / 2) / baud, 1u, 0xffffu);
        uart_write(uart, UART_LCR, UART_LCR_DLAB | lcr);
        uart_write(uart, UART_DLL, (uint8_t)divisor);
        uart_write(uart, UART_DLM, (uint8_t)(divisor >> 8));
    }
    uart->lcr = lcr;
    uart_write(uart, UART_LCR, lcr);
}

uint8_t uart_line_status_locked(struct uart *uart)
{
    uint8_t status = uart_read(uart, UART_LSR);

    /* Reading clears the error bits, whoever reads. */
    uart->lsr_errors |= status & UART_LSR_ERRORS;
    return status;
}
