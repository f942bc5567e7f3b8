/*
 * What the files of kernel/irq share. Private to it.
 *
 * Lock order: irq_lock -> line->lock -> the chip's.
 */
#pragma once

#include "kernel/irq/chip.h"

#define NR_LINES 1024u

extern struct spinlock irq_lock; /* which CPU a line goes to, and who has how many; irqsave */

/* NULL: there is none. Lines stay for ever. Any context. */
struct irq_line *irq_line_at(unsigned number);

/* ---- affinity.c ---- */
/* A line gets its first handler: choose its CPU. irq_lock and line->lock held. */
void irq_target_first_locked(struct irq_line *line);
/* Its last handler has gone. Likewise. */
void irq_target_none_locked(struct irq_line *line);
/* So many interrupts have come on one line since it was last called: time to look at the balance? Hard interrupt context. */
#define IRQ_BALANCE_COUNT 1024u
void irq_balance_poke(void);

/* ---- thread.c ---- */
/* Give the handler its thread, if it wants one or all have to (threadirqs). -ENOMEM. */
int irq_thread_create(struct irq_line *line, struct irq_handler *handler, unsigned flags);
/* End it, if there is one; the handler is not on the line any more. May sleep. */
void irq_thread_destroy(struct irq_handler *handler);
/* In the hard part: ask it, or its thread in its place. */
enum irq_result irq_thread_ask(struct irq_handler *handler);
/* fn has said IRQ_WAKE_THREAD. line->lock held. */
void irq_thread_wake_locked(struct irq_line *line, struct irq_handler *handler);
