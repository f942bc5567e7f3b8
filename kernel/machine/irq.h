/*
 * What kernel/irq asks of the machine about interrupts. The lines themselves it makes by irq_line_create() (kernel/irq/chip.h).
 */
#pragma once

#include "kernel/base/types.h"

/*
 * The number of the line that a driver means by `line` and IRQ_FLAG_* (kernel/irq/irq.h); its real trigger mode is put into *flags. Any context.
 * -EINVAL: there is none.
 */
int machine_irq_resolve(unsigned line, unsigned *flags);

/* The rows of /proc/interrupts behind the lines', 0, 1, ...: what no device raises. False when past the end. Any context. */
struct machine_irq_row {
    const char *label;
    const char *text; /* NULL: one number is told of all CPUs, their sum */
};
bool machine_irq_row(unsigned row, struct machine_irq_row *ret_row);
/* How many of them CPU `cpu` has taken. */
uint64_t machine_irq_row_count(unsigned row, unsigned cpu);
