/*
 * Interrupt lines, for drivers and for who looks after them.
 *
 * A line is a number, as users know it (/proc/interrupts): interrupts of the ISA bus have theirs, inputs of I/O APICs follow, then what devices
 * send as messages. It has handlers, CPUs that it may go to (its affinity), and one of these that it goes to now (its target).
 *
 *     static enum irq_result uart_interrupt(struct irq_handler *handler) { ... return IRQ_WAKE_THREAD; }
 *     static void uart_thread(struct irq_handler *handler) { ... }
 *
 * `fn` runs in hard interrupt context, interrupts off, on the target; never twice at once. What takes long goes into thread_fn, which a thread of
 * the line's own runs, as urgent as FIFO 50, when fn says so; a level-triggered line stays masked until it is done.
 */
#pragma once

#include "kernel/base/list.h"
#include "kernel/machine/cpumask.h"

enum irq_result { IRQ_NONE, IRQ_HANDLED, IRQ_WAKE_THREAD };

struct irq_thread;

struct irq_handler {
    struct list_node node; /* [line] */
    enum irq_result (*fn)(struct irq_handler *handler);
    void (*thread_fn)(struct irq_handler *handler); /* NULL: fn does it all */
    const char *name; /* for /proc/interrupts; lives as long as the handler */
    void *arg;
    uint64_t count;            /* [line running] times handled */
    struct irq_thread *thread; /* of kernel/irq */
};

#define IRQ_FLAG_LEVEL      1u /* level triggered; default edge */
#define IRQ_FLAG_ACTIVE_LOW 2u /* default active high */
/* `line` is an ISA IRQ number: source overrides decide line, level and polarity */
#define IRQ_FLAG_ISA 4u
/* The tick of one CPU: stays on the boot CPU, and never in a thread */
#define IRQ_FLAG_TIMER 8u

/*
 * Attach a handler (caller's memory, alive until irq_detach returns) to a line and unmask it. Lines are shared: each handler
 * on the line is asked. Thread context, or boot. -EINVAL: no such line; -EBUSY: incompatible flags; -ENOSPC: no vector is left; -ENOMEM.
 */
int irq_attach(unsigned line, unsigned flags, struct irq_handler *handler);
/* When it returns, neither part runs any more. Thread context, not from the handler; may sleep. */
void irq_detach(unsigned line, unsigned flags, struct irq_handler *handler);

/* ---- affinity ---- */

/*
 * Let the line go to any of these CPUs. Thread context. -EINVAL: none of them is online; -EIO: the line cannot be moved, -ENXIO: there is none.
 */
int irq_set_affinity(unsigned number, const struct cpumask *mask);
/* What lines made from now on begin with. -EINVAL: none of them is online. */
int irq_set_default_affinity(const struct cpumask *mask);
void irq_default_affinity(struct cpumask *ret_mask);

/* A step of a CPU's coming and going (kernel/core/hotplug.h): lines that belong on it come back; its lines go to others. */
void irq_cpu_online(unsigned id);
void irq_cpu_offline(unsigned id);

/* Level out what the CPUs have to do for lines since the last time: moves at most one line. Happens by itself while interrupts come. */
void irq_balance(void);

/* ---- telling ---- */

/* The first number that no line has. */
unsigned irq_limit(void);

struct irq_info {
    const char *chip; /* "IO-APIC" */
    char input[24];   /* "  4-edge    ": what the chip calls it */
    char actions[64]; /* "ttyS0, rtc0" */
    struct cpumask affinity;
    unsigned target;
    bool in_use;               /* has handlers */
    bool movable;              /* its affinity may be set */
    int node;                  /* -1: none in particular */
    uint32_t count, unhandled; /* interrupts, and those nobody claimed */
    int64_t last_unhandled_ms; /* since boot */
};
/* False: there is no such line. Any context. */
bool irq_describe(unsigned number, struct irq_info *ret_info);
/* How many CPU `cpu` has taken; 0: there is no such line. */
uint64_t irq_count(unsigned number, unsigned cpu);
/* The name of the n-th handler of a line, cut to `size`. False: it has less. */
bool irq_handler_name(unsigned number, unsigned n, char *buf, size_t size);
