/*
 * What the files of hal/pc offer each other. Nobody outside includes this.
 */
#pragma once

#include "hal/acpi/acpi.h"
#include "hal/pc/scale.h"
#include "kernel/base/atomic.h"
#include "kernel/machine/clock.h"

/* ---- interrupt vectors: the upper four bits are the priority class (Intel SDM 3A, 11.8.3) ---- */
enum {
    VECTOR_PIC = 0x20,        /* 16 for the 8259 pair */
    VECTOR_LINE_FIRST = 0x30, /* lines of the I/O APICs, handed out on attach */
    VECTOR_LINE_END = 0xe0,
    VECTOR_TIMER = 0xec, /* local APIC timer */
    VECTOR_ERROR = 0xed, /* local APIC error */
    VECTOR_SPURIOUS = 0xff,
};

#define ISA_IRQS 16u

/* ---- pic.c: the 8259 pair ---- */
#define PIC_CASCADE 2u /* where the second hangs on the first: no line */
/* Move it to VECTOR_PIC, all lines masked. False: there is none. */
bool pic_init(void);
void pic_mask(unsigned irq);
void pic_unmask(unsigned irq, bool level);
void pic_eoi(unsigned irq);
/* Interrupt 7 or 15 without a request behind it; then no pic_eoi(). Interrupts off. */
bool pic_is_spurious(unsigned irq);

/* ---- lapic.c ---- */
/* Turn the boot CPU's local APIC on, in x2APIC mode if it can. `extint`: pass the 8259's interrupts. False: there is none. */
bool lapic_init(const struct acpi_madt *madt, bool extint);
uint32_t lapic_id(void);
void lapic_eoi(void);
/* Has the running CPU been sent this vector, and not taken it yet? */
bool lapic_is_requested(unsigned vector);
/* The same for a CPU that comes up, and the reverse before it leaves. On the CPU, interrupts off. */
void lapic_start_cpu(void);
void lapic_stop_cpu(void);
/* Send a message: delivery mode and vector as the interrupt command register has them. Any context. */
#define LAPIC_FIXED    0x000u /* + vector */
#define LAPIC_NMI      0x400u
#define LAPIC_INIT     0x500u
#define LAPIC_START_UP 0x600u /* + number of the page */
void lapic_send(uint32_t apic_id, uint32_t command);
/* The highest id that a message can be sent to. */
uint32_t lapic_max_id(void);
bool lapic_present(void);
/* One-shot timer: counts down from `ticks` (32 bits) at the rate that calibration found. 0 stops it. Interrupts off. */
void lapic_timer_start(uint64_t ticks);
uint32_t lapic_timer_count(void);
/* Let the timer interrupt: one-shot, or at the TSC value written to the deadline register. */
void lapic_timer_enable(bool tsc_deadline);
void lapic_timer_mask(void);
bool lapic_timer_has_deadline(void);
void lapic_timer_deadline(uint64_t tsc);
uint64_t lapic_spurious_count(unsigned cpu);
uint64_t lapic_error_count(unsigned cpu);

/* ---- ioapic.c ---- */
/* Map and mask them all; returns the first GSI above theirs, 0 when there is none. */
unsigned ioapic_init(const struct acpi_madt *madt);
bool ioapic_has_gsi(unsigned gsi);
/* Route to `vector` on the CPU with local APIC `apic_id`; stays masked. */
void ioapic_route(unsigned gsi, uint8_t vector, uint32_t apic_id, bool level, bool active_low);
void ioapic_mask(unsigned gsi);
void ioapic_unmask(unsigned gsi);
/* Send it to another CPU from now on, without masking it. -EINVAL: no entry can name that one. */
int ioapic_set_destination(unsigned gsi, uint32_t apic_id);
/* What it was sending has arrived at its CPU. Bounded. */
void ioapic_wait_sent(unsigned gsi);
/* A level-triggered one: do not wait for the end of what was sent, but send again if the input is active. */
void ioapic_forget_sent(unsigned gsi);
/* "IO-APIC 4-edge": number of the pin's chip and of the pin. */
void ioapic_describe(unsigned gsi, unsigned *ret_chip, unsigned *ret_pin);

/* ---- irq.c ---- */
struct irq_line;
/* Give the line its vector, unless it has one. line->lock held. -ENOSPC. */
int irq_vector_assign(struct irq_line *line);
void irq_init(const struct acpi_madt *madt);
/* The local APIC timer's vector, after machine_init_clocks() chose it. */
void irq_timer_install(void);

/* ---- wake.c ---- */
/* Boot: list the CPUs by the MADT, the one that runs first. */
void cpus_list(const struct acpi_madt *madt);

/* ---- clock.c ---- */
/*
 * A counter narrower than 64 bits, extended by remembering a value. It must be read at least once per half wrap.
 * Invariant: `last` is never ahead of the hardware, and less than a wrap behind.
 */
struct wrap_counter {
    uint64_t last; /* [a] */
    uint64_t mask; /* [I] */
};

/* `last` was read from the counter before `raw` was read from the hardware. */
static inline uint64_t wrap_counter_extend(struct wrap_counter *counter, uint64_t last,
                                           uint64_t raw)
{
    uint64_t elapsed = (raw - last) & counter->mask;
    uint64_t now = last + elapsed;

    /* Writing seldom is enough; who loses the race has a value that is right all the same. */
    if (elapsed > counter->mask / 4) {
        (void)atomic_cas(&counter->last, &last, now);
    }
    return now;
}

/* A clock source as the platform has it. */
struct counter {
    struct clock_source source;
    struct wrap_counter wrap; /* mask UINT64_MAX: never wraps */
};

/* Set frequency, mult and shift; when the source is the clock, time goes on at the new rate without a step. */
void clock_set_rate(struct counter *counter, uint64_t frequency_hz);
/* From now on, time comes from this counter, without a step. */
void clock_switch(const struct counter *counter);

/* The clock is not to be read from the TSC any more, which is off by so much. Thread context. */
void clock_reject_tsc(const char *why, uint64_t cycles);

static inline uint64_t counter_wrap_ns(const struct counter *counter)
{
    if (counter->wrap.mask == UINT64_MAX || counter->source.frequency_hz == 0) {
        return UINT64_MAX;
    }
    return mul_div(counter->wrap.mask, 1000000000, counter->source.frequency_hz);
}

/* ---- the counters; init returns NULL when the machine has no such thing ---- */
struct counter *hpet_init(void);    /* hpet.c */
struct counter *pmtimer_init(void); /* pmtimer.c */
struct counter *pit_init(void);     /* pit.c */
uint64_t tsc_read(void);            /* tsc.c */
/* The processor may read the TSC early, out of order; the fence keeps time from running backwards between CPUs. */
static inline uint64_t tsc_read_inline(void)
{
    uint32_t lo, hi;
    __asm__ volatile("lfence; rdtsc" : "=a"(lo), "=d"(hi) : : "memory");
    return (uint64_t)hi << 32 | lo;
}
struct counter *tsc_counter(void);
bool tsc_is_invariant(void);
bool tsc_is_virtual(void);
/* The TSC's exact rate when CPUID tells it; 0: unknown. */
uint64_t tsc_cpuid_hz(void);

/* ---- calibrate.c ---- */
struct calibration {
    uint64_t tsc_hz;   /* 0: no two measurements agreed */
    uint64_t lapic_hz; /* of the local APIC timer as lapic_timer_start() counts; 0: not measured */
};
/* Count TSC and local APIC timer for a few ms of `reference`. */
void calibrate(const struct counter *reference, struct calibration *ret_calibration);
/* Reference, TSC and local APIC timer at one moment, known to `width` TSC cycles. False: something always came in between. */
struct clock_sample {
    uint64_t reference, tsc, width;
    uint32_t lapic;
};
bool clock_sample_take(const struct counter *reference, struct clock_sample *ret_sample);

/* ---- watchdog.c ---- */
/*
 * Choose to compare the TSC with `reference` from time to time: to refine its rate once, or to give it up when it drifts, or
 * both. watchdog_start() begins, when timers work.
 */
void watchdog_init(const struct counter *reference, bool refine, bool distrust);
void watchdog_start(void);

/* ---- event.c ---- */
struct event_device {
    const char *name;
    uint64_t frequency_hz;
    uint64_t min_ticks, max_ticks;
    void (*program)(uint64_t ticks); /* fire once, in this many ticks; interrupts off */
    void (*stop)(void);
    int (*start)(void);      /* take the interrupt; 0 or negative errno */
    struct rate_scale scale; /* [I] once in use: nanoseconds to ticks */
    uint64_t max_ns;         /* [I] as far as it can be programmed at once */
};
/* Choose the event timer, once the clock runs. */
void event_init(uint64_t lapic_hz);
/* Another CPU's, if CPUs have timers of their own. On the CPU, interrupts off. */
void event_start_cpu(void);
bool event_is_per_cpu(void);
void event_tsc_rate_changed(uint64_t tsc_hz);
struct event_device *hpet_event(void); /* NULL: none */
struct event_device *pit_event(void);
