/*
 * The steps of machine start-up that kernel/main.c calls in its boot order.
 */
#pragma once

struct boot_handoff;

/* Before any allocation: CPU 0's struct cpu and %gs, descriptor tables, traps, early serial. */
void machine_init_early(const struct boot_handoff *handoff);
/* Before mm: nodes_set_map(), when the firmware knows of several NUMA nodes. Reads what the loader has mapped. */
void machine_init_nodes(const struct boot_handoff *handoff);
/* After mm: protection bits, FPU sizes, system call entry, mmu_kernel, per-CPU areas. */
void machine_init_cpu(void);
/* After mm: firmware tables, interrupt controllers. */
void machine_init_platform(const struct boot_handoff *handoff);
/* After platform: clock source and event timer, with calibration. */
void machine_init_clocks(void);
/* After timers and sched, in a thread: what watches the clock from now on. */
void machine_init_late(void);
