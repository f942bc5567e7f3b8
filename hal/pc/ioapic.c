/*
 * I/O APICs: each has some input pins, numbered on from its GSI base, and a redirection entry per pin that says which vector
 * on which CPU a pin raises. Intel 82093AA data sheet, 3.0.
 *
 * Registers are reached through a window: select at +0x00, data at +0x10. Entry n is registers 0x10 + 2n (low) and + 1 (high).
 *
 * Locks: the window and the shadow of the low words under chip->lock (irqsave). The set of chips is fixed at boot.
 */
#include "hal/pc/pc.h"
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/core/log.h"
#include "kernel/machine/io.h"
#include "kernel/mm/resource.h"
#include "kernel/sync/spinlock.h"

#define IOAPIC_SELECT  0x00
#define IOAPIC_DATA    0x10
#define IOAPIC_VERSION 0x01u
#define IOAPIC_ENTRY   0x10u

#define ENTRY_SENDING    BIT(12) /* delivery status */
#define ENTRY_ACTIVE_LOW BIT(13)
#define ENTRY_LEVEL      BIT(15)
#define ENTRY_MASKED     BIT(16)
#define ENTRY_DEST_SHIFT 24 /* in the high word: physical destination */

#define IOAPIC_MAX_PINS 240u
#define IOAPIC_BYTES    0x400u /* decoded, of which the first 0x20 are in use */
#define NCHIPS          16u
#define MAX_APIC_ID     0xfeu /* of a destination without interrupt remapping */
#define SEND_TRIES      1000u

struct ioapic {
    uint8_t *window;      /* [I] */
    unsigned id;          /* [I] */
    unsigned gsi_base;    /* [I] */
    unsigned npins;       /* [I] */
    struct spinlock lock; /* the window */
    struct resource resource;
    char name[16];
};

static struct ioapic chips[NCHIPS];
static unsigned nchips;

static uint32_t window_read(struct ioapic *chip, uint32_t reg)
{
    mmio_write32(chip->window + IOAPIC_SELECT, reg);
    return mmio_read32(chip->window + IOAPIC_DATA);
}

static void window_write(struct ioapic *chip, uint32_t reg, uint32_t value)
{
    mmio_write32(chip->window + IOAPIC_SELECT, reg);
    mmio_write32(chip->window + IOAPIC_DATA, value);
}

static struct ioapic *ioapic_of(unsigned gsi)
{
    for (unsigned i = 0; i < nchips; i++) {
        if (gsi >= chips[i].gsi_base && gsi - chips[i].gsi_base < chips[i].npins) {
            return &chips[i];
        }
    }
    return NULL;
}

static void ioapic_add(const struct acpi_ioapic *entry)
{
    struct ioapic *chip = &chips[nchips];
    uint8_t *window = mmio_map(entry->pa, 0x20, false);

    if (window == NULL) {
        log_err("ioapic: no memory to map the one at %#llx", (unsigned long long)entry->pa);
        return;
    }
    chip->window = window;
    uint32_t version = window_read(chip, IOAPIC_VERSION);
    unsigned npins = ((version >> 16) & 0xff) + 1;
    if (version == UINT32_MAX || version == 0 || npins > IOAPIC_MAX_PINS) {
        log_warn("ioapic: nothing at %#llx, skipped", (unsigned long long)entry->pa);
        mmio_unmap(window, 0x20);
        return;
    }
    if (ioapic_of(entry->gsi_base) != NULL || ioapic_of(entry->gsi_base + npins - 1) != NULL) {
        log_warn("ioapic: the one at %#llx overlaps another, skipped",
                 (unsigned long long)entry->pa);
        mmio_unmap(window, 0x20);
        return;
    }
    spin_init(&chip->lock, "ioapic");
    chip->id = entry->id;
    chip->gsi_base = entry->gsi_base;
    chip->npins = npins;
    for (unsigned pin = 0; pin < npins; pin++) {
        window_write(chip, IOAPIC_ENTRY + 2 * pin, ENTRY_MASKED);
    }
    (void)ksnprintf(chip->name, sizeof(chip->name), "IOAPIC %u", nchips);
    chip->resource = (struct resource){
        .start = entry->pa, .last = entry->pa + IOAPIC_BYTES - 1, .name = chip->name};
    (void)resource_add(&resource_memory, &chip->resource);
    nchips++;
    log_info("ioapic: id %u, version %#x, GSI %u-%u", chip->id, version & 0xff, chip->gsi_base,
             chip->gsi_base + npins - 1);
}

unsigned ioapic_init(const struct acpi_madt *madt)
{
    unsigned end = 0;

    for (unsigned i = 0; madt != NULL && i < madt->nioapics && nchips < NCHIPS; i++) {
        ioapic_add(&madt->ioapic[i]);
    }
    for (unsigned i = 0; i < nchips; i++) {
        end = MAX(end, chips[i].gsi_base + chips[i].npins);
    }
    return end;
}

bool ioapic_has_gsi(unsigned gsi)
{
    return ioapic_of(gsi) != NULL;
}

void ioapic_route(unsigned gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low)
{
    struct ioapic *chip = ioapic_of(gsi);
    uint32_t reg = IOAPIC_ENTRY + 2 * (gsi - chip->gsi_base);
    uint32_t low = vector | (uint32_t)ENTRY_MASKED | (level ? (uint32_t)ENTRY_LEVEL : 0) |
                   (active_low ? (uint32_t)ENTRY_ACTIVE_LOW : 0);

    uint64_t flags = spin_lock_irqsave(&chip->lock);
    window_write(chip, reg, low);
    window_write(chip, reg + 1, apic_id << ENTRY_DEST_SHIFT);
    spin_unlock_irqrestore(&chip->lock, flags);
}

int ioapic_set_destination(unsigned gsi, uint32_t apic_id)
{
    struct ioapic *chip = ioapic_of(gsi);
    uint32_t reg = IOAPIC_ENTRY + 2 * (gsi - chip->gsi_base) + 1;

    if (apic_id > MAX_APIC_ID) {
        return -EINVAL;
    }
    uint64_t flags = spin_lock_irqsave(&chip->lock);
    window_write(chip, reg, apic_id << ENTRY_DEST_SHIFT);
    (void)window_read(chip, reg); /* it has arrived */
    spin_unlock_irqrestore(&chip->lock, flags);
    return 0;
}

void ioapic_wait_sent(unsigned gsi)
{
    struct ioapic *chip = ioapic_of(gsi);
    uint32_t reg = IOAPIC_ENTRY + 2 * (gsi - chip->gsi_base);
    bool sending = true;

    for (unsigned i = 0; sending && i < SEND_TRIES; i++) {
        uint64_t flags = spin_lock_irqsave(&chip->lock);
        sending = (window_read(chip, reg) & ENTRY_SENDING) != 0;
        spin_unlock_irqrestore(&chip->lock, flags);
    }
}

/* The bit that waits for the end of interrupt (remote IRR) is zero in an edge-triggered entry (82093AA, 3.2.4): for a moment it is one. */
void ioapic_forget_sent(unsigned gsi)
{
    struct ioapic *chip = ioapic_of(gsi);
    uint32_t reg = IOAPIC_ENTRY + 2 * (gsi - chip->gsi_base);

    uint64_t flags = spin_lock_irqsave(&chip->lock);
    uint32_t low = window_read(chip, reg);
    window_write(chip, reg, (low | (uint32_t)ENTRY_MASKED) & ~(uint32_t)ENTRY_LEVEL);
    window_write(chip, reg, low | (uint32_t)ENTRY_MASKED);
    window_write(chip, reg, low);
    spin_unlock_irqrestore(&chip->lock, flags);
}

static void ioapic_set_mask(unsigned gsi, bool masked)
{
    struct ioapic *chip = ioapic_of(gsi);
    uint32_t reg = IOAPIC_ENTRY + 2 * (gsi - chip->gsi_base);

    uint64_t flags = spin_lock_irqsave(&chip->lock);
    uint32_t low = window_read(chip, reg) & ~(uint32_t)ENTRY_MASKED;
    window_write(chip, reg, masked ? low | (uint32_t)ENTRY_MASKED : low);
    spin_unlock_irqrestore(&chip->lock, flags);
}

void ioapic_mask(unsigned gsi)
{
    ioapic_set_mask(gsi, true);
}

void ioapic_unmask(unsigned gsi)
{
    ioapic_set_mask(gsi, false);
}

void ioapic_describe(unsigned gsi, unsigned *ret_chip, unsigned *ret_pin)
{
    const struct ioapic *chip = ioapic_of(gsi);

    *ret_chip = chip->id;
    *ret_pin = gsi - chip->gsi_base;
}
