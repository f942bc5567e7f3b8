/*
 * Interrupt lines. A line is a global number that the machine hands out (on the PC: 0-23 IOAPIC GSIs and up, vectors for
 * MSI later). Handlers run in hard interrupt context with interrupts off.
 */
#pragma once

#include "kernel/base/list.h"

enum irq_result { IRQ_NONE, IRQ_HANDLED };

struct irq_handler {
    struct list_node node; /* [irq core] */
    enum irq_result (*fn)(struct irq_handler *handler);
    const char *name; /* for /proc/interrupts; static */
    void *arg;
    uint64_t count; /* [line lock] times handled */
};

#define IRQ_FLAG_LEVEL      1u /* level triggered; default edge */
#define IRQ_FLAG_ACTIVE_LOW 2u /* default active high */
#define IRQ_FLAG_ISA                                                                               \
    4u /* `line` is an ISA IRQ number: source overrides decide line, level and polarity */

/*
 * Attach a handler (caller's memory, alive until irq_detach returns) to a line and unmask it. Lines are shared: each handler
 * on the line is asked. Thread context. -EINVAL: no such line; -EBUSY: incompatible flags.
 */
int irq_attach(unsigned line, unsigned flags, struct irq_handler *handler);
void irq_detach(unsigned line, struct irq_handler *handler);

/* Walk for /proc/interrupts: fills one line's data for index 0, 1, ...; false when past the end. */
struct irq_info {
    char label[8];    /* "0", "LOC", "NMI" ... */
    bool single;      /* one number is told of all CPUs: their sum */
    char chip[24];    /* "IO-APIC 4-edge" */
    char actions[64]; /* "ttyS0, rtc0" */
};
bool irq_describe(unsigned index, struct irq_info *ret_info);
/* How many of these CPU `cpu` has taken; 0 past the end. */
uint64_t irq_count(unsigned index, unsigned cpu);
