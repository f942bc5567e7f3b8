/*
 * Early console: COM1, polled (TI PC16550D data sheet, chapter 8). 115200 baud, 8 data bits, no parity.
 *
 * A port that is not there reads all ones and is left alone; one that does not take characters costs a bounded wait and no more.
 */
#include "kernel/machine/console.h"

#include "hal/x86_64/start.h"
#include "kernel/base/atomic.h"
#include "kernel/machine/io.h"

#define COM1           0x3f8
#define REG_DATA       (COM1 + 0)
#define REG_IER        (COM1 + 1)
#define REG_FCR        (COM1 + 2)
#define REG_LCR        (COM1 + 3)
#define REG_MCR        (COM1 + 4)
#define REG_LSR        (COM1 + 5)
#define REG_SCRATCH    (COM1 + 7)
#define LCR_8N1        0x03
#define LCR_DLAB       0x80
#define LSR_THR_EMPTY  0x20
#define POLLS_PER_CHAR 20000

static bool console_present __ro_after_init;

void __init console_early_init(void)
{
    port_write8(REG_SCRATCH, 0x5a);
    if (port_read8(REG_SCRATCH) != 0x5a) {
        return;
    }
    port_write8(REG_IER, 0);
    port_write8(REG_LCR, LCR_DLAB);
    port_write8(REG_DATA, 1); /* divisor 1: 115200 */
    port_write8(REG_IER, 0);
    port_write8(REG_LCR, LCR_8N1);
    port_write8(REG_FCR, 0x07); /* FIFOs on and emptied */
    port_write8(REG_MCR, 0x03); /* DTR, RTS */
    console_present = true;
}

static void put(char c)
{
    for (unsigned i = 0; i < POLLS_PER_CHAR; i++) {
        if (port_read8(REG_LSR) & LSR_THR_EMPTY) {
            break;
        }
    }
    port_write8(REG_DATA, (uint8_t)c);
}

void console_early_write(const char *text, size_t len_bytes)
{
    if (!console_present) {
        return;
    }
    for (size_t i = 0; i < len_bytes; i++) {
        if (text[i] == '\n') {
            put('\r');
        }
        put(text[i]);
    }
}
