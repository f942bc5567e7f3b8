/*
 * The 8259A pair: moved off the exception vectors and masked when there is an I/O APIC, used when there is none.
 *
 * Registers (8259A data sheet): command at 0x20 and 0xa0, mask at 0x21 and 0xa1. The second chip hangs on input 2 of the
 * first. The edge/level registers 0x4d0 and 0x4d1 (one bit per input) came with EISA and every PCI chipset has them.
 *
 * Locks: mask bits under pic_lock; called with interrupts off or from thread context.
 */
#include "hal/pc/pc.h"
#include "kernel/machine/io.h"
#include "kernel/mm/resource.h"
#include "kernel/sync/spinlock.h"

#define PIC1_COMMAND 0x20
#define PIC1_DATA    0x21
#define PIC2_COMMAND 0xa0
#define PIC2_DATA    0xa1
#define ELCR         0x4d0

#define ICW1_INIT_ICW4 0x11 /* begin, ICW4 will follow; edge triggered, cascaded */
#define ICW4_8086      0x01
#define OCW2_EOI       0x60 /* specific end of interrupt, + input */
#define OCW3_READ_ISR  0x0b

static struct spinlock pic_lock = SPINLOCK_INIT("pic");
static uint16_t pic_masked = 0xffff; /* [pic_lock] */

static void pic_mask_write(void)
{
    port_write8(PIC1_DATA, (uint8_t)pic_masked);
    port_write8(PIC2_DATA, (uint8_t)(pic_masked >> 8));
}

static struct resource pic_resources[] = {
    {.start = PIC1_COMMAND, .last = PIC1_DATA, .name = "pic1"},
    {.start = PIC2_COMMAND, .last = PIC2_DATA, .name = "pic2"},
};

bool pic_init(void)
{
    /* Nobody home reads as all ones; a mask register gives back what was written. */
    port_write8(PIC1_DATA, 0xfb);
    if (port_read8(PIC1_DATA) != 0xfb) {
        return false;
    }
    port_write8(PIC1_COMMAND, ICW1_INIT_ICW4);
    port_write8(PIC2_COMMAND, ICW1_INIT_ICW4);
    port_write8(PIC1_DATA, VECTOR_PIC);
    port_write8(PIC2_DATA, VECTOR_PIC + 8);
    port_write8(PIC1_DATA, 1u << PIC_CASCADE);
    port_write8(PIC2_DATA, PIC_CASCADE);
    port_write8(PIC1_DATA, ICW4_8086);
    port_write8(PIC2_DATA, ICW4_8086);
    pic_masked = 0xffff;
    for (unsigned i = 0; i < ARRAY_SIZE(pic_resources); i++) {
        (void)resource_add(&resource_ports, &pic_resources[i]);
    }
    pic_mask_write();
    return true;
}

void pic_mask(unsigned irq)
{
    uint64_t flags = spin_lock_irqsave(&pic_lock);

    pic_masked |= (uint16_t)(1u << irq);
    pic_mask_write();
    spin_unlock_irqrestore(&pic_lock, flags);
}

void pic_unmask(unsigned irq, bool level)
{
    uint64_t flags = spin_lock_irqsave(&pic_lock);
    uint16_t elcr_port = (uint16_t)(ELCR + irq / 8);
    uint8_t bit = (uint8_t)(1u << (irq % 8));

    /* Inputs 0, 1, 2, 8 and 13 are edge triggered by design and their bits reserved. */
    if (!((1u << irq) & 0x2107u)) {
        uint8_t elcr = port_read8(elcr_port);
        port_write8(elcr_port, level ? elcr | bit : elcr & (uint8_t)~bit);
    }
    pic_masked &= (uint16_t) ~(1u << irq);
    if (irq >= 8) {
        pic_masked &= (uint16_t) ~(1u << PIC_CASCADE);
    }
    pic_mask_write();
    spin_unlock_irqrestore(&pic_lock, flags);
}

void pic_eoi(unsigned irq)
{
    if (irq >= 8) {
        port_write8(PIC2_COMMAND, (uint8_t)(OCW2_EOI + irq - 8));
        irq = PIC_CASCADE;
    }
    port_write8(PIC1_COMMAND, (uint8_t)(OCW2_EOI + irq));
}

bool pic_is_spurious(unsigned irq)
{
    if (irq != 7 && irq != 15) {
        return false;
    }
    uint16_t command = irq == 7 ? PIC1_COMMAND : PIC2_COMMAND;
    port_write8(command, OCW3_READ_ISR);
    bool spurious = (port_read8(command) & 0x80) == 0;
    if (spurious && irq == 15) {
        pic_eoi(PIC_CASCADE); /* the first chip did see a request from the second */
    }
    return spurious;
}
