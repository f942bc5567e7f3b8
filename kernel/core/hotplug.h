/*
 * What the rooms do when a CPU comes and goes: one struct cpu_step each, in a table in kernel/main.c that shows the order. Coming goes down the
 * table, leaving goes up. Any function may be NULL. Who drives them: kernel/sched/hotplug.h.
 */
#pragma once

#include "kernel/machine/smp.h"

struct cpu_step {
    const char *name;
    /* On the CPU that asks, thread context, before CPU `id` is started. Negative errno: it stays off, what was prepared is undone by `dead`. */
    int (*prepare)(unsigned id);
    /* On CPU `id`, on its idle thread, interrupts off, before it is online. */
    void (*online)(unsigned id);
    /* On the CPU that asks, thread context: CPU `id` is online, and stays so. Undoes `leave`, if that was done before. */
    void (*ready)(unsigned id);
    /*
     * On the CPU that asks, thread context: CPU `id`, which works as before, is to go. What belongs to it alone and sleeps comes to an end here. Negative
     * errno: it cannot go; those that were asked before get `ready`.
     */
    int (*leave)(unsigned id);
    /* On CPU `id`, on its idle thread, interrupts off, when it is not online any more and before it stops. */
    void (*offline)(unsigned id);
    /* On the CPU that asked, thread context, when CPU `id` does not run (any more, or did not come): what it kept goes to others. */
    void (*dead)(unsigned id);
};
