/*
 * The CMOS real-time clock (MC146818 and its heirs): index port 0x70, data port 0x71. It is taken to run on UTC.
 *
 * While the chip updates itself the fields may be torn: register A bit 7 announces an update 244 us ahead, so with the bit
 * clear there is time to read them all; reading twice alike covers being held up in between. Register B bit 7 stops updates
 * for a write. Bit 7 of the index port masks NMIs on old machines and stays clear.
 *
 * Locks: rtc_lock (irqsave) keeps index and data together.
 */
#include "hal/pc/pc.h"
#include "hal/pc/rtc_date.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/machine/io.h"
#include "kernel/mm/resource.h"
#include "kernel/sync/spinlock.h"

#define CMOS_INDEX 0x70
#define CMOS_DATA  0x71

#define RTC_SECOND 0x00
#define RTC_MINUTE 0x02
#define RTC_HOUR   0x04
#define RTC_DAY    0x07
#define RTC_MONTH  0x08
#define RTC_YEAR   0x09
#define RTC_A      0x0a
#define RTC_B      0x0b
#define RTC_D      0x0d

#define RTC_A_UPDATING 0x80u
#define RTC_B_SET      0x80u
#define RTC_B_BINARY   0x04u
#define RTC_B_24H      0x02u
#define RTC_CMOS_BYTES 0x80u
#define RTC_UPDATE_US  2300u /* longest update, with its announcement */
#define RTC_TRIES      50u   /* a virtual machine on a busy host may be held up again and again */

static struct spinlock rtc_lock = SPINLOCK_INIT("rtc");

static uint8_t cmos_read(uint8_t index)
{
    port_write8(CMOS_INDEX, index);
    return port_read8(CMOS_DATA);
}

static void cmos_write(uint8_t index, uint8_t value)
{
    port_write8(CMOS_INDEX, index);
    port_write8(CMOS_DATA, value);
}

/* The index of the century byte by the FADT (ACPI 6.5, table 5.9), 0: none. */
static uint8_t century_index(void)
{
    const struct acpi_fadt *fadt = acpi_fadt();

    return fadt != NULL && fadt->century > RTC_D && fadt->century < RTC_CMOS_BYTES ? fadt->century
                                                                                   : 0;
}

static bool rtc_present(void)
{
    const struct acpi_fadt *fadt = acpi_fadt();

    if (fadt != NULL && fadt->revision >= 2 && (fadt->boot_arch_flags & ACPI_BOOT_NO_CMOS_RTC)) {
        return false;
    }
    /* Nobody home reads as all ones; the low bits of register D are always 0. */
    return cmos_read(RTC_D) != 0xff;
}

static void registers_read(struct rtc_registers *registers)
{
    uint8_t mode = cmos_read(RTC_B);
    uint8_t century = century_index();

    *registers = (struct rtc_registers){
        .second = cmos_read(RTC_SECOND),
        .minute = cmos_read(RTC_MINUTE),
        .hour = cmos_read(RTC_HOUR),
        .day = cmos_read(RTC_DAY),
        .month = cmos_read(RTC_MONTH),
        .year = cmos_read(RTC_YEAR),
        .century = century != 0 ? cmos_read(century) : 0,
        .binary = (mode & RTC_B_BINARY) != 0,
        .hours_24 = (mode & RTC_B_24H) != 0,
    };
}

/* Wait for an update to end. False: it never does. */
static bool update_wait(void)
{
    for (unsigned us = 0; us < 2 * RTC_UPDATE_US; us += 20) {
        if (!(cmos_read(RTC_A) & RTC_A_UPDATING)) {
            return true;
        }
        clock_delay_us(20);
    }
    return false;
}

static struct resource rtc_resource = {.start = CMOS_INDEX, .last = CMOS_DATA, .name = "rtc0"};

/* Two readings one after the other that agree. False: somebody held this CPU up in between, or the chip is always busy. */
static bool registers_read_twice(struct rtc_registers *ret_registers)
{
    struct rtc_registers again = {.second = 0};
    uint64_t flags = spin_lock_irqsave(&rtc_lock);
    bool read = rtc_present() && update_wait();

    if (read) {
        registers_read(ret_registers);
        registers_read(&again);
    }
    spin_unlock_irqrestore(&rtc_lock, flags);
    return read && memcmp(ret_registers, &again, sizeof(again)) == 0;
}

uint64_t clock_rtc_read(void)
{
    struct rtc_registers registers = {.second = 0};
    uint64_t unix_time_s = 0;

    for (unsigned tries = 0; !registers_read_twice(&registers); tries++) {
        if (tries == RTC_TRIES) {
            return 0;
        }
    }
    if (rtc_date_decode(&registers, &unix_time_s) < 0) {
        return 0;
    }
    (void)resource_add(&resource_ports, &rtc_resource); /* the first time */
    return unix_time_s;
}

int clock_rtc_write(uint64_t unix_time_s)
{
    uint8_t century = century_index();
    struct rtc_registers registers;
    int err = -ENODEV;

    uint64_t flags = spin_lock_irqsave(&rtc_lock);
    if (rtc_present()) {
        uint8_t mode = cmos_read(RTC_B);
        registers.binary = (mode & RTC_B_BINARY) != 0;
        registers.hours_24 = (mode & RTC_B_24H) != 0;
        err = rtc_date_encode(unix_time_s, &registers);
        if (err == 0) {
            cmos_write(RTC_B, (uint8_t)(mode | RTC_B_SET));
            cmos_write(RTC_SECOND, registers.second);
            cmos_write(RTC_MINUTE, registers.minute);
            cmos_write(RTC_HOUR, registers.hour);
            cmos_write(RTC_DAY, registers.day);
            cmos_write(RTC_MONTH, registers.month);
            cmos_write(RTC_YEAR, registers.year);
            if (century != 0) {
                cmos_write(century, registers.century);
            }
            cmos_write(RTC_B, mode);
        }
    }
    spin_unlock_irqrestore(&rtc_lock, flags);
    return err;
}
