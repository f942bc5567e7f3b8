/*
 * Messages between CPUs: interrupts on vectors of their own, sent by the platform.
 */
#include "kernel/machine/smp.h"

#include "hal/x86_64/ipi.h"
#include "kernel/core/percpu.h"
#include "kernel/machine/clock.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/vector.h"

#define VECTOR_RESCHEDULE (VECTOR_MESSAGE_FIRST + 0)
#define VECTOR_CALL       (VECTOR_MESSAGE_FIRST + 1)

#define STOP_WAIT_US 100000u

static DEFINE_PER_CPU(uint64_t[SMP_NMESSAGES], messages); /* own CPU, interrupts off */

uint64_t smp_message_count(enum smp_message message, unsigned id)
{
    return READ_ONCE((*per_cpu_ptr(messages, id))[message]);
}

void smp_message_add(enum smp_message message)
{
    (*this_cpu_ptr(messages))[message]++;
}

static void reschedule_interrupt(struct trapframe *frame, unsigned vector)
{
    (void)frame;
    (void)vector;
    this_cpu->irq_count++;
    smp_message_add(SMP_RESCHEDULE);
    platform_end_message();
    machine_reschedule_interrupt();
}

static void call_interrupt(struct trapframe *frame, unsigned vector)
{
    (void)frame;
    (void)vector;
    this_cpu->irq_count++;
    smp_message_add(SMP_CALL);
    /* Before: who calls while the functions run sends another message. */
    platform_end_message();
    machine_call_interrupt();
}

void smp_install_messages(void)
{
    machine_vector_install(VECTOR_RESCHEDULE, reschedule_interrupt);
    machine_vector_install(VECTOR_CALL, call_interrupt);
}

void smp_send_reschedule(unsigned id)
{
    if (id != cpu_id()) {
        platform_send_message(id, VECTOR_RESCHEDULE);
    }
}

void smp_send_call(const struct cpumask *mask)
{
    unsigned id;

    for_each_cpu_in (id, mask) {
        platform_send_message(id, VECTOR_CALL);
    }
}

void smp_send_nmi(unsigned id)
{
    platform_send_nmi(id);
}

static uint32_t stopper; /* [a] id + 1 of the CPU that stops the others; 0: none does */
static uint32_t stopped; /* [a] CPUs that its NMI has stopped */

void smp_stop_if_told(void)
{
    uint32_t by = atomic_load_relaxed(&stopper);

    if (by != 0 && by != cpu_id() + 1) {
        (void)atomic_fetch_add_relaxed(&stopped, 1);
        cpu_halt_forever();
    }
}

void smp_stop_others(void)
{
    uint32_t by = 0;
    unsigned id, others = 0;

    if (!atomic_cas(&stopper, &by, cpu_id() + 1) && by != cpu_id() + 1) {
        cpu_halt_forever(); /* the NMI finds it here */
    }
    for_each_online_cpu (id) {
        if (id != cpu_id()) {
            platform_send_nmi(id);
            others++;
        }
    }
    for (unsigned us = 0; us < STOP_WAIT_US && atomic_load_relaxed(&stopped) < others; us += 10) {
        clock_delay_us(10);
    }
}
