/*
 * The last words of a boot that cannot go on: polled output on COM1 (16550 registers: TI PC16550D data sheet, 8).
 */
#include "kernel/base/string.h"
#include "loader/pvh/pvh.h"

#define COM1           0x3f8
#define LINE_STATUS    5
#define THR_EMPTY      0x20
#define POLLS_PER_CHAR 100000

static uint8_t port_in(uint16_t port)
{
    uint8_t value;

    __asm__ volatile("inb %1, %0" : "=a"(value) : "Nd"(port));
    return value;
}

static void serial_put(char c)
{
    for (int i = 0; i < POLLS_PER_CHAR && (port_in(COM1 + LINE_STATUS) & THR_EMPTY) == 0; i++) {
    }
    __asm__ volatile("outb %0, %1" : : "a"((uint8_t)c), "Nd"((uint16_t)COM1));
}

static void serial_write(const char *text)
{
    for (; *text != '\0'; text++) {
        serial_put(*text);
    }
}

void pvh_fail(const char *sentence)
{
    serial_write("linnet: ");
    serial_write(sentence);
    serial_write("\r\n");
    for (;;) {
        __asm__ volatile("cli; hlt");
    }
}
