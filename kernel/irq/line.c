/*
 * Interrupt lines: the table of them, their handlers, and what happens when one comes in. The interfaces: irq.h, chip.h.
 *
 * Handlers run without the line's lock, by the CPU that has set `running`. A second CPU that takes the same line meanwhile, because it has
 * just been moved, leaves `again` behind and goes; so no handler runs twice at once and no interrupt is forgotten. The list of handlers changes
 * under the lock while nobody runs them.
 *
 * An edge-triggered line with several handlers is asked again until all say no, because an edge that comes while the input is still active is
 * not seen. A line that nobody answers for long is masked, or the CPU would do nothing else.
 */
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/random.h"
#include "kernel/core/time.h"
#include "kernel/irq/impl.h"
#include "kernel/machine/irq.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/kmalloc.h"

#define UNHANDLED_LIMIT 10000u /* in a row */
#define SHARED_ROUNDS   64u

struct spinlock irq_lock = SPINLOCK_INIT("irq lines");

static struct irq_line *lines[NR_LINES]; /* [a] set once each */
static unsigned nlines;                  /* [a] one above the highest; grows under irq_lock */

struct irq_line *irq_line_at(unsigned number)
{
    return number < NR_LINES ? atomic_load_acquire(&lines[number]) : NULL;
}

unsigned irq_limit(void)
{
    return atomic_load_relaxed(&nlines);
}

/* ---- an interrupt ---- */

/* Ask every handler of the line once. */
static enum irq_result line_ask(struct irq_line *line)
{
    enum irq_result all = IRQ_NONE;
    struct irq_handler *handler;

    list_for_each (handler, &line->handlers, node) {
        enum irq_result result = irq_thread_ask(handler);
        if (result == IRQ_NONE) {
            continue;
        }
        handler->count++;
        if (result == IRQ_WAKE_THREAD) {
            spin_lock(&line->lock);
            irq_thread_wake_locked(line, handler);
            spin_unlock(&line->lock);
        }
        all = all == IRQ_HANDLED ? all : result;
    }
    return all;
}

/* Ask until nothing is left. True: somebody claimed it. */
static bool line_run(struct irq_line *line)
{
    enum irq_result result = line_ask(line);
    bool shared = line->handlers.next != line->handlers.prev;

    if (unlikely(shared && !(line->flags & IRQ_FLAG_LEVEL))) {
        enum irq_result more = result;
        for (unsigned i = 0; i < SHARED_ROUNDS && more == IRQ_HANDLED; i++) {
            more = line_ask(line);
        }
    }
    return result != IRQ_NONE;
}

static void line_unclaimed_locked(struct irq_line *line)
{
    line->lost++;
    line->lost_last = ktime_now();
    if (++line->unhandled == UNHANDLED_LIMIT) {
        line->chip->mask(line);
        log_err("irq: line %u: %u interrupts in a row that nobody claims, masked", line->number,
                UNHANDLED_LIMIT);
    }
}

void irq_line_interrupt(struct irq_line *line)
{
    spin_lock(&line->lock);
    line->counts[cpu_id()]++;
    if (unlikely(++line->total % IRQ_BALANCE_COUNT == 0)) {
        irq_balance_poke();
    }
    if (unlikely(line->running)) {
        line->again = true;
        spin_unlock(&line->lock);
        return;
    }
    line->running = true;
    do {
        line->again = false;
        spin_unlock(&line->lock);
        bool claimed = line_run(line);
        spin_lock(&line->lock);
        if (likely(claimed)) {
            line->unhandled = 0;
        } else {
            line_unclaimed_locked(line);
        }
    } while (unlikely(line->again));
    line->running = false;
    if (unlikely(line->nthreads > 0) && (line->flags & IRQ_FLAG_LEVEL) && !line->masked) {
        line->chip->mask(line);
        line->masked = true;
    }
    spin_unlock(&line->lock);
    random_add_interrupt(line->number);
}

/* ---- lines ---- */

struct irq_line *irq_line_create(unsigned number, const struct irq_chip *chip, unsigned input,
                                 void *chip_data, int node)
{
    struct irq_line *line = kzalloc(sizeof(*line));

    if (line == NULL) {
        return NULL;
    }
    spin_init(&line->lock, "irq line");
    list_init(&line->handlers);
    line->chip = chip;
    line->input = input;
    line->chip_data = chip_data;
    line->node = node;
    uint64_t flags = spin_lock_irqsave(&irq_lock);
    if (number == IRQ_ANY) {
        number = nlines;
    }
    bool taken = number >= NR_LINES || lines[number] != NULL;
    if (!taken) {
        line->number = number;
        atomic_store_release(&lines[number], line);
        atomic_store_relaxed(&nlines, MAX(nlines, number + 1));
    }
    spin_unlock_irqrestore(&irq_lock, flags);
    if (taken) {
        kfree(line);
        return NULL;
    }
    return line;
}

/* ---- handlers ---- */

/* Lock the line when nobody runs its handlers: only then their list may change. irq_lock held. */
static void line_lock_quiet(struct irq_line *line)
{
    spin_lock(&line->lock);
    while (line->running) {
        spin_unlock(&line->lock);
        cpu_relax();
        spin_lock(&line->lock);
    }
}

static struct irq_line *line_find(unsigned line, unsigned *flags)
{
    int number = machine_irq_resolve(line, flags);

    return number < 0 ? NULL : irq_line_at((unsigned)number);
}

/* The first handler: set the chip up, choose a CPU. */
static int line_start_locked(struct irq_line *line, unsigned trigger, bool fixed)
{
    line->flags = trigger;
    line->fixed = fixed || line->chip->set_target == NULL;
    line->target = 0;
    int err = line->chip->startup(line);
    if (err == 0) {
        irq_target_first_locked(line);
    }
    return err;
}

static int line_add_locked(struct irq_line *line, unsigned trigger, bool fixed,
                           struct irq_handler *handler)
{
    bool first = list_empty(&line->handlers);

    if (!first && line->flags != trigger) {
        return -EBUSY;
    }
    int err = first ? line_start_locked(line, trigger, fixed) : 0;
    if (err < 0) {
        return err;
    }
    handler->count = 0;
    list_push_back(&line->handlers, &handler->node);
    line->unhandled = 0;
    if (first) {
        line->masked = false;
        line->chip->unmask(line);
    }
    return 0;
}

int irq_attach(unsigned number, unsigned flags, struct irq_handler *handler)
{
    unsigned trigger = flags;
    struct irq_line *line = line_find(number, &trigger);

    if (line == NULL) {
        return -EINVAL;
    }
    uint64_t *counts = kzalloc(cpu_count() * sizeof(*counts));
    int err = counts == NULL ? -ENOMEM : irq_thread_create(line, handler, flags);
    if (err < 0) {
        kfree(counts);
        return err;
    }
    uint64_t irqflags = spin_lock_irqsave(&irq_lock);
    line_lock_quiet(line);
    if (line->counts == NULL) {
        line->counts = counts;
        counts = NULL;
    }
    err = line_add_locked(line, trigger, (flags & IRQ_FLAG_TIMER) != 0, handler);
    spin_unlock(&line->lock);
    spin_unlock_irqrestore(&irq_lock, irqflags);
    kfree(counts);
    if (err < 0) {
        irq_thread_destroy(handler);
    }
    return err;
}

void irq_detach(unsigned number, unsigned flags, struct irq_handler *handler)
{
    struct irq_line *line = line_find(number, &flags);

    if (line == NULL) {
        return;
    }
    uint64_t irqflags = spin_lock_irqsave(&irq_lock);
    line_lock_quiet(line);
    list_remove(&handler->node);
    if (list_empty(&line->handlers)) {
        line->chip->mask(line);
        irq_target_none_locked(line);
    }
    spin_unlock(&line->lock);
    spin_unlock_irqrestore(&irq_lock, irqflags);
    irq_thread_destroy(handler);
}

/* ---- telling ---- */

static void describe_locked(struct irq_line *line, struct irq_info *info)
{
    struct irq_handler *handler;
    size_t used = 0;

    info->chip = line->chip->name;
    line->chip->describe(line, info->input, sizeof(info->input));
    info->actions[0] = '\0';
    list_for_each (handler, &line->handlers, node) {
        used += (size_t)kscnprintf(info->actions + used, sizeof(info->actions) - used, "%s%s",
                                   used == 0 ? "" : ", ", handler->name);
    }
    info->affinity = line->affinity;
    info->target = line->target;
    info->in_use = !list_empty(&line->handlers);
    info->movable = !line->fixed && line->chip->set_target != NULL;
    info->node = line->node;
    info->count = line->total;
    info->unhandled = line->lost;
    info->last_unhandled_ms = line->lost_last / NS_PER_MS;
}

bool irq_describe(unsigned number, struct irq_info *ret_info)
{
    struct irq_line *line = irq_line_at(number);

    if (line == NULL) {
        return false;
    }
    uint64_t flags = spin_lock_irqsave(&line->lock);
    describe_locked(line, ret_info);
    spin_unlock_irqrestore(&line->lock, flags);
    return true;
}

uint64_t irq_count(unsigned number, unsigned cpu)
{
    struct irq_line *line = irq_line_at(number);
    uint64_t *counts = line == NULL ? NULL : READ_ONCE(line->counts);

    return counts == NULL ? 0 : READ_ONCE(counts[cpu]);
}

bool irq_handler_name(unsigned number, unsigned n, char *buf, size_t size)
{
    struct irq_line *line = irq_line_at(number);
    struct irq_handler *handler;
    bool found = false;

    if (line == NULL) {
        return false;
    }
    uint64_t flags = spin_lock_irqsave(&line->lock);
    list_for_each (handler, &line->handlers, node) {
        if (n-- == 0) {
            (void)str_copy(buf, handler->name, size);
            found = true;
            break;
        }
    }
    spin_unlock_irqrestore(&line->lock, flags);
    return found;
}
