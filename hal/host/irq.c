/*
 * Interrupt lines of the host machine: 32 edge-triggered inputs of a chip that tests raise, and move as they like.
 */
#include "kernel/machine/irq.h"
#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/irq/chip.h"

#define NINPUTS 32u

struct host_irq host_irqs[NINPUTS];
static struct irq_line *lines[NINPUTS];

static int startup(struct irq_line *line)
{
    host_irqs[line->input] = (struct host_irq){.masked = true, .cpu = line->target};
    return 0;
}

static void mask(struct irq_line *line)
{
    host_irqs[line->input].masked = true;
}

static void unmask(struct irq_line *line)
{
    host_irqs[line->input].masked = false;
}

static int set_target(struct irq_line *line, unsigned cpu)
{
    if (cpu == host_irq_unreachable) {
        return -EINVAL;
    }
    host_irqs[line->input].cpu = cpu;
    host_irqs[line->input].moves++;
    return 0;
}

static void settle(struct irq_line *line, unsigned cpu)
{
    (void)cpu;
    host_irqs[line->input].settles++;
}

static void describe(struct irq_line *line, char *buf, size_t size)
{
    (void)kscnprintf(buf, size, "%3u-%-8s", line->input, "edge");
}

static const struct irq_chip chip = {
    .name = "host",
    .startup = startup,
    .mask = mask,
    .unmask = unmask,
    .set_target = set_target,
    .settle = settle,
    .describe = describe,
};

unsigned host_irq_unreachable = ~0u;

int machine_irq_resolve(unsigned line, unsigned *flags)
{
    *flags &= IRQ_FLAG_LEVEL | IRQ_FLAG_ACTIVE_LOW;
    if (line >= NINPUTS) {
        return -EINVAL;
    }
    if (lines[line] == NULL) {
        lines[line] = irq_line_create(line, &chip, line, NULL, -1);
    }
    return lines[line] == NULL ? -EINVAL : (int)line;
}

static void raise(void *line)
{
    irq_line_interrupt(line);
}

bool host_irq_raise(unsigned line)
{
    return line < NINPUTS && lines[line] != NULL && !host_irqs[line].masked &&
           host_run_interrupt(raise, lines[line]);
}

bool machine_irq_row(unsigned row, struct machine_irq_row *ret_row)
{
    *ret_row = (struct machine_irq_row){.label = "LOC", .text = "Local timer interrupts"};
    return row == 0;
}

uint64_t machine_irq_row_count(unsigned row, unsigned cpu)
{
    (void)row, (void)cpu;
    return 0;
}
