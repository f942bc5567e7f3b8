/*
 * The boot order, in plain sight. The machine enters kernel_main() on the boot CPU with interrupts off.
 */
#include "kernel/abi/boot.h"
#include "kernel/core/handoff.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"
#include "kernel/core/random.h"
#include "kernel/core/symbols.h"
#include "kernel/core/time.h"
#include "kernel/core/timer.h"
#include "kernel/debug/bench.h"
#include "kernel/debug/crash.h"
#include "kernel/debug/kasan/kasan.h"
#include "kernel/debug/leak.h"
#include "kernel/debug/selftest.h"
#include "kernel/dev/driver.h"
#include "kernel/dev/input.h"
#include "kernel/dev/tty.h"
#include "kernel/fs/initramfs.h"
#include "kernel/ipc/pipe.h"
#include "kernel/irq/irq.h"
#include "kernel/linux/syscall.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/init.h"
#include "kernel/machine/mmu.h"
#include "kernel/machine/preempt.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/mm/resource.h"
#include "kernel/mm/slab.h"
#include "kernel/net/socket.h"
#include "kernel/proc/hung_task.h"
#include "kernel/proc/process.h"
#include "kernel/sched/hotplug.h"
#include "kernel/sched/psi.h"
#include "kernel/sched/random_wait.h"
#include "kernel/sched/sched.h"
#include "kernel/sched/softirqd.h"
#include "kernel/sched/work.h"
#include "kernel/sync/rcu.h"
#include "kernel/vfs/mount.h"
#include "kernel/vm/huge.h"
#include "kernel/vm/reclaim.h"
#include "kernel/vm/swap.h"
#include "kernel/vm/vmspace.h"

static const struct boot_handoff *boot;

/* What is done when a CPU comes, from the first to the last, and when it goes, the other way round. */
static const struct cpu_step cpu_steps[] = {
    {.name = "timers", .offline = timers_cpu_offline},
    {.name = "interrupts", .online = irq_cpu_online, .offline = irq_cpu_offline},
    {
        .name = "read-copy-update",
        .prepare = rcu_cpu_prepare,
        .online = rcu_cpu_online,
        .offline = rcu_cpu_offline,
        .dead = rcu_cpu_dead,
    },
    {.name = "memory", .offline = slab_cpu_offline, .dead = kstacks_cpu_dead},
    {.name = "swap", .dead = swap_cpu_dead},
    {
        .name = "scheduler",
        .prepare = sched_cpu_prepare,
        .online = sched_cpu_online,
        .ready = sched_cpu_ready,
        .leave = sched_cpu_leave,
        .offline = sched_cpu_offline,
    },
    {
        .name = "softirqs",
        .prepare = softirqd_prepare,
        .ready = softirqd_ready,
        .dead = softirqd_dead,
    },
    {.name = NULL},
};

void kernel_main_cpu(void)
{
    cpu_come_online();           /* the table's steps */
    preempt_enable_no_resched(); /* the machine entered with preemption off */
    sched_idle_loop();
}

/* The rest of boot runs as a thread of its own and becomes process 1. */
static void boot_thread_main(void *arg)
{
    (void)arg;
    rcu_start();                      /* grace periods and their callbacks */
    softirqd_start();                 /* what interrupts leave to be done, when it is much */
    work_threads_start();             /* deferred work */
    random_seeder_start();            /* a seed for the random generator, where there is none */
    psi_init();                       /* pressure: averages of time lost */
    machine_init_late();              /* the watch over the clock */
    cpus_start(cpu_steps);            /* the other CPUs */
    resources_init(boot);             /* what lies where in physical memory */
    vfs_init();                       /* dentry and inode caches, the anonymous superblock */
    mounts_init();                    /* the mount table */
    pipes_init();                     /* pipes and FIFOs */
    sockets_init();                   /* protocol families */
    sockets_start();                  /* their threads */
    vm_init();                        /* region caches, zero page, vDSO */
    huge_start();                     /* the thread that gathers huge pages */
    reclaim_init();                   /* threads that keep some memory free */
    process_init();                   /* process and signal caches, job control, pid 1's identity */
    hung_task_start();                /* a watch over threads that hang */
    input_sysrq_init();               /* requests to the kernel by keys */
    tty_init();                       /* terminals, the console device, virtual terminals */
    drivers_probe(boot);              /* serial, keyboard, framebuffer */
    initramfs_mount_root(boot);       /* rootfs, unpacked from the initramfs */
    benches_run();                    /* linnet.bench= */
    frames_release_boot_memory(boot); /* loader memory, initramfs, .init sections */
    mmu_kernel_seal();                /* what boot alone may write is read-only from here on */
    crash_on_purpose();               /* linnet.crash= */
    selftests_run();                  /* linnet.selftest= */
    process_start_init(param_string("init"), param_string("rdinit"));
}

void kernel_main(const struct boot_handoff *handoff)
{
    boot = handoff;
    machine_init_early(handoff); /* descriptor tables, traps, early serial */
    handoff_check(handoff);      /* nothing in it is believed before */
    param_init(handoff->cmdline == 0 ? "" : phys_to_virt(handoff->cmdline));
    syscall_trace_init(); /* linnet.trace= */
    symbols_init();       /* names in backtraces */
    panic_init();         /* reports of misused locks */
    log_info("linnet: %s", kernel_banner());
    handoff_log(handoff);        /* how we came here, memory map */
    machine_init_nodes(handoff); /* which memory belongs to which NUMA node */
    frames_init(handoff);        /* page array, zones */
    kasan_init(handoff);         /* from here on accesses are checked, in builds that do */
    slab_init();                 /* object caches, kmalloc */
    lru_init();                  /* lists of what may be reclaimed, for each node */
    arena_init();                /* kernel virtual space, stacks */
    machine_init_cpu();          /* protections, FPU, system call entry, per-CPU areas */
    random_init((uint8_t *)(uintptr_t)handoff->seed, sizeof(handoff->seed),
                (handoff->flags & BOOT_FLAG_SEED_GOOD) != 0);
    machine_init_platform(handoff); /* ACPI tables, interrupt controllers */
    machine_init_clocks();          /* clock source, event timer */
    time_init(handoff->unix_time_s);
    log_clock_hook = ktime_now; /* times in the log from here on */
    timers_init();
    leak_init();  /* heap objects remember their owners, in builds that watch them */
    sched_init(); /* run queue; this context becomes the idle thread */
    thread_start(thread_create_kernel("init", boot_thread_main, NULL));
    preempt_enable_no_resched(); /* the machine entered with preemption off */
    sched_idle_loop();
}
