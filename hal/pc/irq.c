/*
 * Interrupt lines (kernel/machine/irq.h): numbers are GSIs when I/O APICs deliver them, ISA interrupts when the 8259 does.
 *
 * A line gets a vector the first time somebody attaches. The vector's handler asks each attached handler, then tells the
 * controller the end. An edge-triggered line with several handlers is asked again until all say no, because an edge that
 * comes while the input is still active is not seen. A level-triggered line that nobody answers for long is masked, or the
 * CPU would do nothing else.
 *
 * Locks: line->lock (irqsave) guards a line's handlers and counts and is held while handlers run, so irq_detach() returns
 * only when the handler does not run any more. attach_lock serialises routing. Order: attach_lock -> line->lock -> chip's.
 */
#include "kernel/machine/irq.h"

#include "hal/pc/pc.h"
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/core/percpu.h"
#include "kernel/core/random.h"
#include "kernel/machine/smp.h"
#include "kernel/machine/vector.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sync/spinlock.h"

#define NLINES          192u
#define UNHANDLED_LIMIT 10000u /* in a row */

struct irq_line {
    struct spinlock lock;
    struct list_node handlers; /* [lock] struct irq_handler */
    uint64_t *counts;          /* [lock] interrupts taken, by CPU; allocated by the first attach */
    uint32_t unhandled;        /* [lock] in a row, claimed by nobody */
    uint32_t flags;            /* [lock] IRQ_FLAG_LEVEL and IRQ_FLAG_ACTIVE_LOW as routed */
    uint16_t number;           /* [I] */
    uint16_t label; /* [attach_lock] how users know it: the ISA number where there is one */
    uint8_t vector; /* [attach_lock] 0: never attached */
};

static struct irq_line lines[NLINES];
static struct irq_line
    *vector_line[MACHINE_NVECTORS]; /* [attach_lock]; set before the line is unmasked */
static unsigned nlines;
static bool use_ioapic;                             /* [I] */
static struct acpi_override isa_override[ISA_IRQS]; /* [I] */
static struct spinlock attach_lock = SPINLOCK_INIT("irq attach");
static unsigned next_vector = VECTOR_LINE_FIRST; /* [attach_lock] */
static uint64_t pic_spurious;                    /* [a] */
static DEFINE_PER_CPU(uint64_t, timer_interrupts);

/* ---- taking interrupts ---- */

/* Ask every handler of the line once; true when one had something to do. */
static bool line_ask(struct irq_line *line)
{
    struct irq_handler *handler, *next;
    bool handled = false;

    list_for_each_safe (handler, next, &line->handlers, node) {
        if (handler->fn(handler) == IRQ_HANDLED) {
            handler->count++;
            handled = true;
        }
    }
    return handled;
}

static void line_mask(struct irq_line *line)
{
    if (use_ioapic) {
        ioapic_mask(line->number);
    } else {
        pic_mask(line->number);
    }
}

static void line_unhandled(struct irq_line *line)
{
    if (++line->unhandled == UNHANDLED_LIMIT) {
        line_mask(line);
        log_err("irq: line %u: %u interrupts in a row that nobody claims, masked", line->number,
                UNHANDLED_LIMIT);
    }
}

static void line_interrupt(struct irq_line *line)
{
    spin_lock(&line->lock);
    line->counts[cpu_id()]++;
    if (likely(line_ask(line))) {
        line->unhandled = 0;
        bool shared = line->handlers.next != line->handlers.prev;
        if (unlikely(shared && !(line->flags & IRQ_FLAG_LEVEL))) {
            for (unsigned round = 0; round < 64 && line_ask(line); round++) {
            }
        }
    } else {
        line_unhandled(line);
    }
    spin_unlock(&line->lock);
    random_add_interrupt(line->number);
}

static void ioapic_interrupt(struct trapframe *frame, unsigned vector)
{
    (void)frame;
    this_cpu->irq_count++;
    line_interrupt(vector_line[vector]);
    lapic_eoi();
}

static void pic_interrupt(struct trapframe *frame, unsigned vector)
{
    unsigned irq = vector - VECTOR_PIC;

    (void)frame;
    this_cpu->irq_count++;
    if (pic_is_spurious(irq)) {
        (void)atomic_fetch_add_relaxed(&pic_spurious, 1);
        return;
    }
    if (vector_line[vector] != NULL) {
        line_interrupt(vector_line[vector]);
    }
    pic_eoi(irq);
}

/* A vector that nobody asked for: a left-over of firmware, or a broken device. */
static void stray_interrupt(struct trapframe *frame, unsigned vector)
{
    (void)frame;
    this_cpu->irq_count++;
    log_once(LOG_WARNING, "irq: interrupt on unused vector %#x", vector);
    if (lapic_present()) {
        lapic_eoi();
    }
}

static void timer_interrupt(struct trapframe *frame, unsigned vector)
{
    (void)frame;
    (void)vector;
    this_cpu->irq_count++;
    ++*this_cpu_ptr(timer_interrupts);
    lapic_eoi();
    machine_timer_interrupt();
}

void irq_timer_install(void)
{
    machine_vector_install(VECTOR_TIMER, timer_interrupt);
}

/* ---- attaching ---- */

/* Give the line its vector and its counts. -ENOSPC: all are taken; -ENOMEM. */
static int line_assign_vector(struct irq_line *line)
{
    if (line->counts == NULL) {
        line->counts = kzalloc(cpu_count() * sizeof(line->counts[0]));
        if (line->counts == NULL) {
            return -ENOMEM;
        }
    }
    if (!use_ioapic) {
        line->vector = (uint8_t)(VECTOR_PIC + line->number);
        vector_line[line->vector] = line;
        return 0;
    }
    if (next_vector == VECTOR_LINE_END) {
        return -ENOSPC;
    }
    line->vector = (uint8_t)next_vector++;
    vector_line[line->vector] = line;
    machine_vector_install(line->vector, ioapic_interrupt);
    return 0;
}

static void line_unmask(struct irq_line *line)
{
    bool level = (line->flags & IRQ_FLAG_LEVEL) != 0;

    if (use_ioapic) {
        ioapic_route(line->number, line->vector, lapic_id(), level,
                     (line->flags & IRQ_FLAG_ACTIVE_LOW) != 0);
        ioapic_unmask(line->number);
    } else {
        pic_unmask(line->number, level);
    }
}

/* Turn what the caller says into a line and its real trigger mode. */
static struct irq_line *line_resolve(unsigned number, unsigned *flags)
{
    unsigned trigger = *flags & (IRQ_FLAG_LEVEL | IRQ_FLAG_ACTIVE_LOW);

    if (*flags & IRQ_FLAG_ISA) {
        if (number >= ISA_IRQS) {
            return NULL;
        }
        if (use_ioapic) {
            const struct acpi_override *override = &isa_override[number];
            number = override->gsi;
            trigger = (override->level ? IRQ_FLAG_LEVEL : 0) |
                      (override->active_low ? IRQ_FLAG_ACTIVE_LOW : 0);
        }
    }
    if (number >= nlines || (use_ioapic ? !ioapic_has_gsi(number) : number == PIC_CASCADE)) {
        return NULL;
    }
    *flags = trigger;
    return &lines[number];
}

int irq_attach(unsigned number, unsigned flags, struct irq_handler *handler)
{
    unsigned trigger = flags;
    struct irq_line *line = line_resolve(number, &trigger);
    int err = 0;

    if (line == NULL) {
        return -EINVAL;
    }
    uint64_t irqflags = spin_lock_irqsave(&attach_lock);
    if (line->vector == 0) {
        err = line_assign_vector(line);
        line->label = (flags & IRQ_FLAG_ISA) ? (uint16_t)number : line->number;
    }
    if (err == 0) {
        spin_lock(&line->lock);
        bool first = list_empty(&line->handlers);
        if (!first && line->flags != trigger) {
            err = -EBUSY;
        } else {
            handler->count = 0;
            list_push_back(&line->handlers, &handler->node);
            line->flags = trigger;
            line->unhandled = 0;
        }
        if (err == 0 && first) {
            line_unmask(line);
        }
        spin_unlock(&line->lock);
    }
    spin_unlock_irqrestore(&attach_lock, irqflags);
    return err;
}

void irq_detach(unsigned number, struct irq_handler *handler)
{
    uint64_t irqflags = spin_lock_irqsave(&attach_lock);

    /* The caller's number may be an ISA one, so find the line that has the handler. */
    (void)number;
    for (unsigned i = 0; i < nlines; i++) {
        struct irq_line *line = &lines[i];
        struct irq_handler *pos, *next;

        spin_lock(&line->lock);
        list_for_each_safe (pos, next, &line->handlers, node) {
            if (pos == handler) {
                list_remove(&handler->node);
                if (list_empty(&line->handlers)) {
                    line_mask(line);
                }
                break;
            }
        }
        spin_unlock(&line->lock);
    }
    spin_unlock_irqrestore(&attach_lock, irqflags);
}

void irq_init(const struct acpi_madt *madt)
{
    bool pic = pic_init();

    for (unsigned i = 0; i < NLINES; i++) {
        spin_init(&lines[i].lock, "irq line");
        list_init(&lines[i].handlers);
        lines[i].number = (uint16_t)i;
    }
    for (unsigned i = 0; i < ISA_IRQS; i++) {
        isa_override[i] = (struct acpi_override){.source = (uint8_t)i, .gsi = i};
        if (pic) {
            machine_vector_install(VECTOR_PIC + i, pic_interrupt);
        }
    }
    for (unsigned i = 0; madt != NULL && i < madt->noverrides; i++) {
        isa_override[madt->override[i].source] = madt->override[i];
    }
    for (unsigned vector = VECTOR_LINE_FIRST; vector < VECTOR_SPURIOUS; vector++) {
        machine_vector_install(vector, stray_interrupt);
    }
    unsigned ngsis = param_bool("noapic", false) ? 0 : ioapic_init(madt);
    use_ioapic = lapic_init(madt, ngsis == 0) && ngsis != 0;
    nlines = use_ioapic ? MIN(ngsis, NLINES) : pic ? ISA_IRQS : 0;
    if (!use_ioapic) {
        log_notice("irq: no I/O APIC, %s", pic ? "using the 8259 pair" : "and no 8259 either");
    }
}

/* ---- telling ---- */

static void line_describe(struct irq_line *line, struct irq_info *info)
{
    const char *trigger = (line->flags & IRQ_FLAG_LEVEL) ? "level" : "edge";
    struct irq_handler *handler;
    size_t used = 0;

    kscnprintf(info->label, sizeof(info->label), "%u", line->label);
    if (use_ioapic) {
        unsigned chip, pin;
        ioapic_describe(line->number, &chip, &pin);
        kscnprintf(info->chip, sizeof(info->chip), "IO-APIC %u-%s", pin, trigger);
    } else {
        kscnprintf(info->chip, sizeof(info->chip), "XT-PIC %u-%s", line->number, trigger);
    }
    info->single = false;
    info->actions[0] = '\0';
    list_for_each (handler, &line->handlers, node) {
        used += (size_t)kscnprintf(info->actions + used, sizeof(info->actions) - used, "%s%s",
                                   used == 0 ? "" : ", ", handler->name);
    }
}

/* The rows behind the lines', in Linux's order. */
enum summary_row { ROW_NMI, ROW_LOC, ROW_SPU, ROW_RES, ROW_CAL, ROW_TLB, ROW_ERR, NROWS };

static const struct {
    char label[8];
    const char *text;
} summary_rows[NROWS] = {
    [ROW_NMI] = {"NMI", "Non-maskable interrupts"},
    [ROW_LOC] = {"LOC", "Local timer interrupts"},
    [ROW_SPU] = {"SPU", "Spurious interrupts"},
    [ROW_RES] = {"RES", "Rescheduling interrupts"},
    [ROW_CAL] = {"CAL", "Function call interrupts"},
    [ROW_TLB] = {"TLB", "TLB shootdowns"},
    [ROW_ERR] = {"ERR", "APIC errors"},
};

static uint64_t summary_count(enum summary_row row, unsigned cpu)
{
    switch (row) {
    case ROW_NMI:
        return machine_nmi_count(cpu);
    case ROW_LOC:
        return READ_ONCE(*per_cpu_ptr(timer_interrupts, cpu));
    case ROW_SPU:
        return lapic_spurious_count(cpu) + (cpu == 0 ? atomic_load_relaxed(&pic_spurious) : 0);
    case ROW_RES:
        return smp_message_count(SMP_RESCHEDULE, cpu);
    case ROW_CAL: /* shootdowns are calls, told of by themselves */
        return smp_message_count(SMP_CALL, cpu) -
               MIN(smp_message_count(SMP_TLB, cpu), smp_message_count(SMP_CALL, cpu));
    case ROW_TLB:
        return smp_message_count(SMP_TLB, cpu);
    case ROW_ERR:
        return lapic_error_count(cpu);
    case NROWS:
        break;
    }
    return 0;
}

/* The line that is row `index`; NULL: it is row *ret_summary of the others. */
static struct irq_line *line_at(unsigned index, unsigned *ret_summary)
{
    unsigned found = 0;

    for (unsigned i = 0; i < nlines; i++) {
        uint64_t irqflags = spin_lock_irqsave(&lines[i].lock);
        bool used = !list_empty(&lines[i].handlers);
        spin_unlock_irqrestore(&lines[i].lock, irqflags);
        if (used && found++ == index) {
            return &lines[i];
        }
    }
    *ret_summary = index - found;
    return NULL;
}

bool irq_describe(unsigned index, struct irq_info *ret_info)
{
    unsigned row = 0;
    struct irq_line *line = line_at(index, &row);

    if (line != NULL) {
        uint64_t irqflags = spin_lock_irqsave(&line->lock);
        line_describe(line, ret_info);
        spin_unlock_irqrestore(&line->lock, irqflags);
        return true;
    }
    if (row >= NROWS) {
        return false;
    }
    memcpy(ret_info->label, summary_rows[row].label, sizeof(ret_info->label));
    ret_info->single = row == ROW_ERR;
    ret_info->chip[0] = '\0';
    (void)str_copy(ret_info->actions, summary_rows[row].text, sizeof(ret_info->actions));
    return true;
}

uint64_t irq_count(unsigned index, unsigned cpu)
{
    unsigned row = 0;
    struct irq_line *line = line_at(index, &row);

    if (line != NULL) {
        return READ_ONCE(line->counts[cpu]);
    }
    return row < NROWS ? summary_count((enum summary_row)row, cpu) : 0;
}
