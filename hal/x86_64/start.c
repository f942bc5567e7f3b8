/*
 * From the loader's jump to kernel_main(), and the CPU's steps of machine start-up.
 */
#include "hal/x86_64/start.h"

#include "hal/x86_64/desc.h"
#include "hal/x86_64/features.h"
#include "hal/x86_64/fpu.h"
#include "hal/x86_64/regs.h"
#include "kernel/abi/boot.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/init.h"
#include "kernel/machine/shadow.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/poison.h"
#include "kernel/sched/thread.h"

struct x86_cpu boot_cpu;

NO_SANITIZE_ADDRESS void __init x86_start(const struct boot_handoff *handoff)
{
    shadow_init_early(handoff);
    /* Not preemptible, and no reschedule wanted, until the scheduler runs. */
    boot_cpu.cpu.preempt_count = PREEMPT_NO_RESCHED | PREEMPT_ONE;
    boot_cpu.cpu.rcu_nesting = RCU_NOT_BLOCKED;
    boot_cpu.cpu.current = &boot_thread;
    boot_cpu.cpu.idle = &boot_thread;
    memcpy(&boot_cpu.cpu.stack_canary, handoff->seed, sizeof(boot_cpu.cpu.stack_canary));
    boot_cpu.cpu.stack_canary &= ~0xffull; /* a NUL byte stops string overruns */
    boot_cpu.cpu.kernel_stack_top = (uintptr_t)boot_stack + KSTACK_SIZE;
    boot_cpu.tss.rsp0 = boot_cpu.cpu.kernel_stack_top;
    desc_init();
    desc_init_cpu(&boot_cpu);
    kernel_main(handoff);
}

void __init machine_init_early(const struct boot_handoff *handoff)
{
    console_early_init();
    features_init();
    features_enable();
    user_init_early(handoff);
    boot_thread.stack = boot_stack;
    mmu_init_early(handoff);
}

void __init machine_init_cpu(void)
{
    fpu_init();
    fpu_init_cpu();
    topology_init_cpu();
    mmu_init();
    log_info("cpu: %s, family %u model %u stepping %u, %u/%u address bits", cpu_features.brand,
             cpu_features.family, cpu_features.model, cpu_features.stepping,
             cpu_features.physical_bits, cpu_features.virtual_bits);
    log_info("cpu:%s%s%s%s%s%s%s%s%s", cpu_features.nx ? " NX" : "",
             cpu_features.smep ? " SMEP" : "", cpu_features.smap ? " SMAP" : "",
             cpu_features.umip ? " UMIP" : "", cpu_features.fsgsbase ? " FSGSBASE" : "",
             cpu_features.xsave ? " XSAVE" : "", cpu_features.gigabyte_pages ? " 1-GiB-pages" : "",
             cpu_features.pcid ? " PCID" : "", (cr4_read() & CR4_LA57) ? " LA57" : "");
}
