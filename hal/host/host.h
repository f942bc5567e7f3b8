/*
 * The host machine: what tests call to set it up and to play its part. Implements kernel/machine on Linux.
 *
 * Simulated physical memory is one memory file, mapped whole at host_phys_base (the "direct map") and again, page by page, wherever
 * mmu_kernel_map() says: so guard pages trap, and aliases alias. User spaces are page tables in software, walked by the
 * functions of machine/user.h, which call machine_page_fault() as a CPU would.
 *
 * Time is the host's, or a clock of the test's own that stands still until it is told (host_clock_set_manual).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HOST_MEMORY_BYTES (256ull << 20)

/* Simulated physical memory (256 MiB), page array, frame allocator, slab, boot thread: everything below sched. Once. */
void host_machine_init(void);
/*
 * The same with any memory map; the last range ends where memory ends. 1 to 2 MiB is the kernel, 2 MiB to 2 MiB + 1024 KiB the loader's. Memory costs the
 * host only what is touched of it.
 */
struct boot_mem;
void host_machine_init_map(const struct boot_mem *map, unsigned n);
/* Frames of simulated memory that were ever written to. */
uint64_t host_memory_touched(void);

/*
 * How many misused locks and reference counts kernel/sync has reported so far; the text goes to stderr. The runner fails a test that
 * adds to it. A test that misuses one on purpose sets sync_report_hook for itself.
 */
extern unsigned host_sync_reports;
/*
 * After a test: whether this CPU came back with preemption and interrupts on, no lock held. If not, both are set right for the next
 * test.
 */
bool host_context_is_clean(void);

/* ---- several CPUs ---- */

/* This host thread is CPU `id` from now on (0 is the main thread already); per-CPU data are its own. It leaves before it ends. */
void host_cpu_enter(unsigned id);
void host_cpu_leave(void);
/*
 * Let cpu_count() answer n (1 .. 16), all of them online. The new CPUs' per-CPU data are zero. What is called on a CPU that no host thread has
 * entered is run by the caller in its place.
 */
void host_set_cpu_count(unsigned n);
/* cpu_up() finds that the CPUs, which are offline until then, come; else they cannot be started. */
extern bool host_cpus_start;
/* clock_cycles_hz(). */
extern uint64_t host_cycles_hz;
/* What cpu_watch_syscall() asked for last. */
extern bool host_syscall_watched;
/* Where the CPUs from `first` on stand, by their numbers: threads of a core, cores behind one cache, such clusters in a package. */
struct host_topology {
    unsigned threads, cores, clusters, first;
};
void host_set_topology(const struct host_topology *topology);
/* Run fn(arg, cpu) on `n` CPUs at once, each a host thread, and wait for all. */
void host_run_on_cpus(unsigned n, void (*fn)(void *arg, unsigned cpu), void *arg);

/*
 * Let other CPUs in before each look at page tables, so that a test of several CPUs meets them in the middle of things far more often than
 * chance would have it.
 */
extern bool host_mmu_dawdles;
/* The CPU has no 1 GiB leaves. */
extern bool host_mmu_no_giants;
/* Called when a flush of something begins: whatever the page tables say, a CPU may still use what they said before. NULL: nothing. */
struct mmu_flush;
extern void (*host_flush_hook)(const struct mmu_flush *flush);

/* ---- threads ---- */

/*
 * Timers and scheduler, once; the caller becomes CPU 0's idle thread. host_run_threads() then lets kernel threads run until none
 * is runnable; with a manual clock, time moves on to the next timer whenever nothing else can be done, until no timer is armed.
 */
void host_sched_init(void);
void host_run_threads(void);
/*
 * A test of threads begins: the same, and the clock is the test's own and stands some seconds after whatever was before. The caller, the idle
 * thread, gives way as soon as it may: preemption is off until all threads are there.
 */
void host_sched_begin(void);

/* ---- simulated CPUs ---- */

/*
 * CPUs 1 to `n` as the scheduler's own: each with its idle thread, its interrupts and its event timer, on a clock that the test moves. They run by turns on the
 * calling host thread, which stays CPU 0 and is not online meanwhile: so all that happens is the same each time. For a process that does nothing else.
 */
void host_sim_begin(unsigned n, const struct host_topology *topology);
/* Each of them runs until it has used the step up, or has nothing to do; then the clock moves on. It does a little at each cpu_relax() too. */
void host_sim_step(int64_t ns);
/* A simulated thread has used the CPU up to the end of this step. */
void host_sim_pass(void);
/* Messages that CPUs have sent each other to choose anew. */
uint64_t host_sim_messages(void);

/* ---- time ---- */

/* Take the clock over: it stands at now_ns until host_clock_advance(), which fires the event timer on its way. */
void host_clock_set_manual(int64_t now_ns);
void host_clock_advance(int64_t ns);
/* Manual clock: go to the programmed event and fire it. False: none is programmed. */
bool host_clock_run_event(void);
/* Fire the event timer if its time has come. */
bool host_clock_poll(void);

/* ---- interrupts and user memory ---- */

/* Raise a line: its handlers run in interrupt context. False: interrupts are off, or the line is masked. */
bool host_irq_raise(unsigned line);
/* What the chip of the lines has been told. */
struct host_irq {
    bool masked;
    unsigned cpu, moves, settles;
};
extern struct host_irq host_irqs[32];
/* A CPU that the chip does not reach; ~0u: none. */
extern unsigned host_irq_unreachable;
/* Faults that user-copy functions took, and TLB flushes asked for, since start. */
uint64_t host_user_faults(void);
/* PKRU, the rights that everybody has by protection key (cpu_pkey_restrict()). A test gives HOST_PKRU_INITIAL back. */
#define HOST_PKRU_INITIAL 0x55555554u
extern uint32_t host_pkru;
/* One access as a user program would make it, at most 8 bytes inside a page. 0, or the error of machine_page_fault. */
int host_user_access(uint64_t addr, void *buf, size_t len, bool write);
