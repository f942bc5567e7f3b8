/*
 * The PC's interrupts: vectors, the lines of the I/O APICs or of the 8259 pair as kernel/irq has them, and what CPUs raise for themselves.
 *
 * Numbers of lines: an ISA interrupt has its ISA number wherever firmware has routed it, other inputs of I/O APICs have their GSI where that is
 * not taken. Messages of devices come after all these.
 *
 * A line has one vector on all CPUs, found when it is first used. So a line moves by one write of the destination, at any moment: what was sent
 * before is served where it arrives, an end of interrupt finds its input by the vector (82093AA data sheet, 3.2.4: EOI messages carry it), and
 * no edge meets a masked input. It bounds the number of lines to the number of vectors.
 *
 * Locks: vector_lock; line locks -> vector_lock, ioapic.
 */
#include "kernel/machine/irq.h"
#include "hal/pc/pc.h"
#include "kernel/base/bitmap.h"
#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
#include "kernel/core/log.h"
#include "kernel/core/param.h"
#include "kernel/core/percpu.h"
#include "kernel/irq/chip.h"
#include "kernel/machine/smp.h"
#include "kernel/machine/vector.h"
#include "kernel/sync/spinlock.h"

#define MAX_GSIS  256u
#define NO_NUMBER UINT16_MAX

static struct irq_line
    *vector_line[MACHINE_NVECTORS]; /* [vector_lock] set before the line is unmasked, for ever */
static struct spinlock vector_lock = SPINLOCK_INIT("vectors");
static unsigned next_vector = VECTOR_LINE_FIRST;    /* [vector_lock] */
static bool use_ioapic;                             /* [I] */
static unsigned ngsis;                              /* [I] */
static struct acpi_override isa_override[ISA_IRQS]; /* [I] */
static uint16_t gsi_number[MAX_GSIS];               /* [I] of its line */
static uint64_t pic_spurious;                       /* [a] */
static DEFINE_PER_CPU(uint64_t, timer_interrupts);
static DEFINE_PER_CPU(uint64_t, stray_interrupts);

/* ---- taking interrupts ---- */

static void vector_interrupt(struct trapframe *frame, unsigned vector)
{
    (void)frame;
    this_cpu->irq_count++;
    irq_line_interrupt(vector_line[vector]);
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
        irq_line_interrupt(vector_line[vector]);
    }
    pic_eoi(irq);
}

/* A vector that nobody asked for: a left-over of firmware, or a broken device. */
static void stray_interrupt(struct trapframe *frame, unsigned vector)
{
    (void)frame;
    this_cpu->irq_count++;
    ++*this_cpu_ptr(stray_interrupts);
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

int irq_vector_assign(struct irq_line *line)
{
    int err = 0;

    if (line->vector != 0) {
        return 0;
    }
    uint64_t flags = spin_lock_irqsave(&vector_lock);
    if (next_vector == VECTOR_LINE_END) {
        err = -ENOSPC;
    } else {
        line->vector = (uint8_t)next_vector++;
        vector_line[line->vector] = line;
        machine_vector_install(line->vector, vector_interrupt);
    }
    spin_unlock_irqrestore(&vector_lock, flags);
    return err;
}

/* ---- the I/O APICs as a chip; line->input is the GSI ---- */

static int ioapic_line_startup(struct irq_line *line)
{
    int err = irq_vector_assign(line);

    if (err == 0) {
        ioapic_route(line->input, line->vector, machine_apic_id(line->target),
                     (line->flags & IRQ_FLAG_LEVEL) != 0, (line->flags & IRQ_FLAG_ACTIVE_LOW) != 0);
    }
    return err;
}

static void ioapic_line_mask(struct irq_line *line)
{
    ioapic_mask(line->input);
}

static void ioapic_line_unmask(struct irq_line *line)
{
    ioapic_unmask(line->input);
}

static int ioapic_line_set_target(struct irq_line *line, unsigned cpu)
{
    return ioapic_set_destination(line->input, machine_apic_id(cpu));
}

/*
 * A level-triggered input waits for the end of what it has sent, which the old CPU will not give any more; so it is made to forget that and
 * sends again if it is still active. An edge is sent again as a message.
 */
static void ioapic_line_settle(struct irq_line *line, unsigned cpu)
{
    (void)cpu;
    ioapic_wait_sent(line->input);
    if (!lapic_is_requested(line->vector)) {
        return;
    }
    if ((line->flags & IRQ_FLAG_LEVEL) != 0) {
        ioapic_forget_sent(line->input);
    } else {
        lapic_send(machine_apic_id(line->target), LAPIC_FIXED | line->vector);
    }
}

static void ioapic_line_describe(struct irq_line *line, char *buf, size_t size)
{
    unsigned chip, pin;

    ioapic_describe(line->input, &chip, &pin);
    (void)kscnprintf(buf, size, "%3u-%-8s", pin,
                     (line->flags & IRQ_FLAG_LEVEL) ? "fasteoi" : "edge");
}

static const struct irq_chip ioapic_chip = {
    .name = "IO-APIC",
    .startup = ioapic_line_startup,
    .mask = ioapic_line_mask,
    .unmask = ioapic_line_unmask,
    .set_target = ioapic_line_set_target,
    .settle = ioapic_line_settle,
    .describe = ioapic_line_describe,
};

/* ---- the 8259 pair as a chip: it knows the boot CPU alone ---- */

static int pic_line_startup(struct irq_line *line)
{
    line->vector = (uint8_t)(VECTOR_PIC + line->input);
    vector_line[line->vector] = line;
    return 0;
}

static void pic_line_mask(struct irq_line *line)
{
    pic_mask(line->input);
}

static void pic_line_unmask(struct irq_line *line)
{
    pic_unmask(line->input, (line->flags & IRQ_FLAG_LEVEL) != 0);
}

static void pic_line_describe(struct irq_line *line, char *buf, size_t size)
{
    (void)kscnprintf(buf, size, "%3u-%-8s", line->input,
                     (line->flags & IRQ_FLAG_LEVEL) ? "level" : "edge");
}

static const struct irq_chip pic_chip = {
    .name = "XT-PIC",
    .startup = pic_line_startup,
    .mask = pic_line_mask,
    .unmask = pic_line_unmask,
    .describe = pic_line_describe,
};

/* ---- numbers ---- */

/* ISA interrupts have their numbers wherever they are routed to; other inputs their own, or if that is taken any that is free. */
static void numbers_assign(void)
{
    uint64_t taken[BITMAP_WORDS(MAX_GSIS)] = {0};

    for (unsigned gsi = 0; gsi < ngsis; gsi++) {
        gsi_number[gsi] = NO_NUMBER;
    }
    for (unsigned i = 0; i < ISA_IRQS; i++) {
        unsigned gsi = isa_override[i].gsi;
        if (gsi < ngsis && gsi_number[gsi] == NO_NUMBER) {
            gsi_number[gsi] = (uint16_t)i;
            bitmap_set(taken, i);
        }
    }
    for (unsigned gsi = 0; gsi < ngsis; gsi++) {
        if (gsi_number[gsi] == NO_NUMBER && !bitmap_test(taken, gsi)) {
            gsi_number[gsi] = (uint16_t)gsi;
            bitmap_set(taken, gsi);
        }
    }
    for (unsigned gsi = 0; gsi < ngsis; gsi++) {
        if (gsi_number[gsi] == NO_NUMBER) {
            gsi_number[gsi] = (uint16_t)bitmap_find_clear(taken, MAX_GSIS, 0);
            bitmap_set(taken, gsi_number[gsi]);
        }
    }
}

int machine_irq_resolve(unsigned line, unsigned *flags)
{
    unsigned trigger = *flags & (IRQ_FLAG_LEVEL | IRQ_FLAG_ACTIVE_LOW);
    bool isa = (*flags & IRQ_FLAG_ISA) != 0;

    if (isa && line >= ISA_IRQS) {
        return -EINVAL;
    }
    if (use_ioapic && isa) {
        const struct acpi_override *override = &isa_override[line];
        line = override->gsi;
        trigger = (override->level ? IRQ_FLAG_LEVEL : 0) |
                  (override->active_low ? IRQ_FLAG_ACTIVE_LOW : 0);
    }
    *flags = trigger;
    if (!use_ioapic) {
        return (int)line;
    }
    return line < ngsis ? gsi_number[line] : -EINVAL;
}

static void lines_create(bool pic)
{
    unsigned n = use_ioapic ? ngsis : pic ? ISA_IRQS : 0;

    numbers_assign();
    for (unsigned i = 0; i < n; i++) {
        bool usable = use_ioapic ? ioapic_has_gsi(i) : i != PIC_CASCADE;
        if (usable && irq_line_create(use_ioapic ? gsi_number[i] : i,
                                      use_ioapic ? &ioapic_chip : &pic_chip, i, NULL, -1) == NULL) {
            log_err("irq: no line for input %u", i);
        }
    }
}

void irq_init(const struct acpi_madt *madt)
{
    bool pic = pic_init();

    for (unsigned i = 0; i < ISA_IRQS; i++) {
        isa_override[i] = (struct acpi_override){.source = (uint8_t)i, .gsi = i};
    }
    for (unsigned i = 0; madt != NULL && i < madt->noverrides; i++) {
        isa_override[madt->override[i].source] = madt->override[i];
    }
    for (unsigned vector = VECTOR_LINE_FIRST; vector < VECTOR_SPURIOUS; vector++) {
        machine_vector_install(vector, stray_interrupt);
    }
    ngsis = param_bool("noapic", false) ? 0 : MIN(ioapic_init(madt), MAX_GSIS);
    use_ioapic = lapic_init(madt, ngsis == 0) && ngsis != 0;
    /* Where the pair's lines are all masked, what comes on its vectors is a message, which wants its EOI. */
    for (unsigned i = 0; i < ISA_IRQS; i++) {
        machine_vector_install(VECTOR_PIC + i,
                               pic && !use_ioapic ? pic_interrupt : stray_interrupt);
    }
    lines_create(pic);
    if (!use_ioapic) {
        log_notice("irq: no I/O APIC, %s", pic ? "using the 8259 pair" : "and no 8259 either");
    }
}

/* ---- telling ---- */

/* The rows behind the lines', in Linux's order. No sources of machine checks and the like are used yet: those would be the end. */
enum summary_row {
    ROW_NMI,
    ROW_LOC,
    ROW_SPU,
    ROW_PMI,
    ROW_RES,
    ROW_CAL,
    ROW_TLB,
    ROW_TRM,
    ROW_MCE,
    ROW_ERR,
    ROW_MIS,
    NROWS
};

static const struct machine_irq_row rows[NROWS] = {
    [ROW_NMI] = {"NMI", "Non-maskable interrupts"},
    [ROW_LOC] = {"LOC", "Local timer interrupts"},
    [ROW_SPU] = {"SPU", "Spurious interrupts"},
    [ROW_PMI] = {"PMI", "Performance monitoring interrupts"},
    [ROW_RES] = {"RES", "Rescheduling interrupts"},
    [ROW_CAL] = {"CAL", "Function call interrupts"},
    [ROW_TLB] = {"TLB", "TLB shootdowns"},
    [ROW_TRM] = {"TRM", "Thermal event interrupts"},
    [ROW_MCE] = {"MCE", "Machine check exceptions"},
    [ROW_ERR] = {"ERR", NULL},
    [ROW_MIS] = {"MIS", NULL},
};

bool machine_irq_row(unsigned row, struct machine_irq_row *ret_row)
{
    if (row >= NROWS) {
        return false;
    }
    *ret_row = rows[row];
    return true;
}

/*
 * The inputs of performance counters and thermal sensors are masked (lapic.c), and a machine check is the end: none of these was ever taken. MIS counts
 * level-triggered interrupts that came as edges, which I/O APICs from the 82093AA on do not send.
 */
uint64_t machine_irq_row_count(unsigned row, unsigned cpu)
{
    switch ((enum summary_row)row) {
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
        return lapic_error_count(cpu) + READ_ONCE(*per_cpu_ptr(stray_interrupts, cpu));
    case ROW_PMI:
    case ROW_TRM:
    case ROW_MCE:
    case ROW_MIS:
    case NROWS:
        break;
    }
    return 0;
}
