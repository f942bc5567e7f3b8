/*
 * A 16550 (PC16550D data sheet, table 2), polled.
 */
#include "loader/efi/serial.h"

#define COM1     0x3f8
#define REG_DATA 0 /* and divisor low with DLAB */
#define REG_IER  1 /* and divisor high with DLAB */
#define REG_FCR  2
#define REG_LCR  3
#define REG_MCR  4
#define REG_LSR  5
#define REG_SCR  7

#define LCR_8N1  0x03
#define LCR_DLAB 0x80
#define LSR_THRE 0x20
#define PATIENCE 1000000 /* reads of LSR; each takes about a microsecond on an ISA bus */

static bool works;

static uint8_t port_read(unsigned reg)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"((uint16_t)(COM1 + reg)));
    return value;
}

static void port_write(unsigned reg, uint8_t value)
{
    __asm__ volatile("outb %0, %1" ::"a"(value), "Nd"((uint16_t)(COM1 + reg)));
}

bool serial_init(void)
{
    port_write(REG_SCR, 0xa5); /* a scratch register that keeps a value: something is there */
    if (port_read(REG_SCR) != 0xa5 || port_read(REG_LSR) == 0xff) {
        return false;
    }
    port_write(REG_IER, 0);
    port_write(REG_LCR, LCR_DLAB | LCR_8N1);
    port_write(REG_DATA, 1); /* 115200 baud */
    port_write(REG_IER, 0);
    port_write(REG_LCR, LCR_8N1);
    port_write(REG_FCR, 0x07); /* FIFOs on and empty */
    port_write(REG_MCR, 0x03); /* DTR, RTS */
    works = true;
    return true;
}

static void put_byte(char c)
{
    for (unsigned i = 0; works; i++) {
        if ((port_read(REG_LSR) & LSR_THRE) != 0) {
            port_write(REG_DATA, (uint8_t)c);
            return;
        }
        works = i < PATIENCE;
    }
}

void serial_write(const char *text)
{
    for (; *text != '\0'; text++) {
        if (*text == '\n') {
            put_byte('\r');
        }
        put_byte(*text);
    }
}
