/*
 * Interrupt controllers: what they offer (struct irq_chip), and how they bring interrupts in.
 *
 * A chip makes a line for each of its inputs (irq_line_create). When somebody attaches, it is started: the chip finds a way to the CPUs for it and
 * leaves it masked. When the interrupt comes, on whatever CPU, the chip calls irq_line_interrupt() and then ends it at the controller.
 *
 * Moving. set_target() is called with the line's lock held, at any time while interrupts come, and must lose none: what was sent before goes to the
 * old target and is served there, what comes later goes to the new one. The chips of the PC use one vector for a line on all CPUs, so
 * that one write moves it. Where the old target leaves for good, settle() is called after it: what has arrived there and was not taken comes
 * again at the new one.
 */
#pragma once

#include "kernel/irq/irq.h"
#include "kernel/sync/spinlock.h"

struct irq_line;

struct irq_chip {
    const char *name;
    /* First use: -ENOSPC, -ENOMEM. Afterwards also: send it to line->target by line->flags. Leaves it masked. Line's lock held. */
    int (*startup)(struct irq_line *line);
    void (*mask)(struct irq_line *line);
    void (*unmask)(struct irq_line *line);
    /* See above; NULL: lines stay on the boot CPU. -EINVAL: the chip does not reach that CPU. */
    int (*set_target)(struct irq_line *line, unsigned cpu);
    /* `cpu`, which is the running one and takes no interrupts any more, was the target. NULL: nothing is ever left over. */
    void (*settle)(struct irq_line *line, unsigned cpu);
    /* "  4-edge    " for /proc/interrupts: what stands behind the chip's name. */
    void (*describe)(struct irq_line *line, char *buf, size_t size);
};

struct irq_line {
    const struct irq_chip *chip; /* [I] */
    unsigned number;             /* [I] */
    unsigned input;              /* [I] the chip's name for it */
    void *chip_data;             /* [I] and what else it needs */
    int node;                    /* [I] near which node the device is; -1: none */

    struct spinlock lock;
    struct list_node handlers; /* [lock, and nobody runs them] struct irq_handler */
    uint64_t *counts;          /* [lock] interrupts taken, by CPU; made by the first attach */
    uint32_t flags;            /* [lock] IRQ_FLAG_LEVEL and IRQ_FLAG_ACTIVE_LOW as attached */
    uint8_t vector;            /* [lock] the chip's: 0 before it was started */
    bool fixed;                /* [lock] stays where it is */
    bool running;              /* [lock] some CPU asks the handlers */
    bool again;                /* [lock] it came once more meanwhile, somewhere else */
    unsigned nthreads;         /* [lock] handlers whose thread has something to do */
    bool masked;               /* [lock] for as long as these have */
    uint32_t unhandled;        /* [lock] in a row, claimed by nobody */
    uint32_t total, lost;      /* [lock] interrupts, and those claimed by nobody */
    int64_t lost_last;         /* [lock] when, monotonic ns */

    unsigned target;         /* [irq_lock, lock] */
    struct cpumask affinity; /* [irq_lock, lock] */
    uint64_t weighed;        /* [irq_lock] sum of counts when loads were last compared */
};

/*
 * A new line, with the number `number` or the next free one (IRQ_ANY), masked and of no use yet; `node` as in struct irq_line. Boot or thread
 * context. NULL: no memory, or the number is taken.
 */
#define IRQ_ANY (~0u)
struct irq_line *irq_line_create(unsigned number, const struct irq_chip *chip, unsigned input,
                                 void *chip_data, int node);

/* It came in. Hard interrupt context, interrupts off. */
void irq_line_interrupt(struct irq_line *line);
