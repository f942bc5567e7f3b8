/*
 * Processors other than the boot CPU: their per-CPU areas, their way into the kernel and out of it.
 *
 * The platform lists the processors at boot (machine_add_cpu), boot CPU first, which gives each its id and its area: struct x86_cpu and
 * a copy of the per-CPU variables, zeros but for what is set here, in memory of the processor's own node. To start one, its slot is
 * filled in and the platform wakes it up at the trampoline, a page below 1 MiB. It finds its slot by its APIC id, so any number may be
 * on their way at once.
 *
 * The page tables of the way hold the kernel's half and the trampoline's page mapped to itself, executable and not writable. They lie below
 * 4 GiB, since they are loaded in 32-bit code, and stay for CPUs that come later.
 *
 * Locks: a slot belongs to who starts or stops the CPU (kernel/sched/hotplug.c, one at a time) but for `state` [a].
 */
#include "hal/x86_64/ap.h"

#include "hal/x86_64/desc.h"
#include "hal/x86_64/features.h"
#include "hal/x86_64/fpu.h"
#include "hal/x86_64/ipi.h"
#include "hal/x86_64/pte.h"
#include "hal/x86_64/regs.h"
#include "hal/x86_64/start.h"
#include "hal/x86_64/tlb.h"
#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/percpu.h"
#include "kernel/core/random.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/smp.h"
#include "kernel/machine/vector.h"
#include "kernel/mm/arena.h"
#include "kernel/sched/thread.h"

struct ap_slot {
    uint32_t apic_id;    /* [I] */
    uint32_t state;      /* [a] AP_* */
    uintptr_t stack_top; /* of the CPU's idle thread */
    struct x86_cpu *cpu; /* [I] */
};
_Static_assert(offsetof(struct ap_slot, apic_id) == AP_SLOT_APIC_ID, "ap.h");
_Static_assert(offsetof(struct ap_slot, state) == AP_SLOT_STATE, "ap.h");
_Static_assert(offsetof(struct ap_slot, stack_top) == AP_SLOT_STACK, "ap.h");
_Static_assert(offsetof(struct ap_slot, cpu) == AP_SLOT_CPU, "ap.h");
_Static_assert(sizeof(struct ap_slot) == AP_SLOT_BYTES, "ap.h");

struct ap_slot ap_slots[MAX_CPUS] = {{.state = AP_ARRIVED, .cpu = &boot_cpu}};
uint32_t ap_nslots = 1;

extern uint8_t __percpu_start[], __percpu_end[];
extern uint8_t trampoline[], trampoline_end[], trampoline_mailbox[], trampoline_gdt_register[],
    trampoline_far32[], trampoline_far64[], trampoline_far_off[], trampoline_cr3[],
    trampoline_cr4[], trampoline_efer[], trampoline_entry[];
void ap_entry(void);

static paddr_t trampoline_page; /* 0: not set up yet */

/* ---- the CPUs ---- */

unsigned cpu_count(void)
{
    return ap_nslots;
}

struct cpu *cpu_by_id(unsigned id)
{
    return &ap_slots[id].cpu->cpu;
}

uint32_t machine_apic_id(unsigned id)
{
    return ap_slots[id].apic_id;
}

/* Room for struct x86_cpu and the per-CPU variables behind it. NULL: no memory. */
static struct x86_cpu *area_create(unsigned node)
{
    size_t vars = (size_t)(__percpu_end - __percpu_start);
    size_t size = ALIGN_UP(sizeof(struct x86_cpu), 64) + vars;
    unsigned order = 0;

    while ((PAGE_SIZE << order) < size) {
        order++;
    }
    struct page *page =
        frame_alloc_node(order, FRAME_ZERO, PAGE_KERNEL, (int)node, nodes_with_memory());
    return page == NULL ? NULL : page_to_virt(page);
}

int machine_add_cpu(uint32_t apic_id, unsigned node)
{
    static bool boot_known;
    unsigned id = boot_known ? ap_nslots : 0;

    if (id == MAX_CPUS) {
        return -ENOSPC;
    }
    if (!boot_known) {
        smp_install_messages();
    } else {
        struct x86_cpu *cpu = area_create(node);
        if (cpu == NULL) {
            return -ENOMEM;
        }
        uintptr_t vars = (uintptr_t)cpu + ALIGN_UP(sizeof(*cpu), 64);
        cpu->cpu.self = &cpu->cpu;
        cpu->cpu.id = id;
        cpu->cpu.percpu_offset = vars - (uintptr_t)__percpu_start;
        random_bytes(&cpu->cpu.stack_canary, sizeof(cpu->cpu.stack_canary));
        cpu->cpu.stack_canary &= ~0xffull;
        ap_slots[id].cpu = cpu;
    }
    ap_slots[id].apic_id = apic_id;
    ap_nslots = id + 1;
    boot_known = true;
    node_add_cpu(node, id);
    if (id == 0) {
        desc_tell_node(&boot_cpu, node);
    }
    return (int)id;
}

/* ---- the trampoline ---- */

static void *in_page(const void *symbol)
{
    return (uint8_t *)phys_to_virt(trampoline_page) + ((const uint8_t *)symbol - trampoline);
}

static void add_page(const void *symbol)
{
    uint32_t value;

    memcpy(&value, in_page(symbol), sizeof(value));
    value += (uint32_t)trampoline_page;
    memcpy(in_page(symbol), &value, sizeof(value));
}

static pte_t *low_table(paddr_t *ret_pa)
{
    struct page *page = frame_alloc(0, FRAME_DMA32 | FRAME_ZERO, PAGE_TABLE);

    if (page == NULL) {
        return NULL;
    }
    *ret_pa = page_to_phys(page);
    return page_to_virt(page);
}

/* Tables that show the kernel's half and `pa` at its own address. 0: no memory below 4 GiB, which is the end of the attempt: nothing is freed. */
static paddr_t way_tables_create(paddr_t pa)
{
    const pte_t *kernel = phys_to_virt(mmu_kernel.root);
    unsigned shift = mmu_format.la57 ? PML5E_SHIFT : PML4E_SHIFT;
    paddr_t root, below;
    pte_t *table = low_table(&root);

    if (table == NULL) {
        return 0;
    }
    memcpy(table + PTES_PER_TABLE / 2, kernel + PTES_PER_TABLE / 2, PAGE_SIZE / 2);
    for (; shift > PAGE_SHIFT; shift -= 9) {
        pte_t *next = low_table(&below);
        if (next == NULL) {
            return 0;
        }
        table[pte_index(pa, shift)] = below | PTE_TABLE_KERNEL;
        table = next;
    }
    table[pte_index(pa, PAGE_SHIFT)] = pa | PTE_PRESENT | PTE_ACCESSED;
    return root;
}

/* Once. -ENOMEM: no page below 1 MiB, or no memory. */
static int trampoline_setup(void)
{
    paddr_t page = boot_low_page();

    if (trampoline_page != 0) {
        return 0;
    }
    paddr_t root = page == 0 ? 0 : way_tables_create(page);
    if (root == 0) {
        return -ENOMEM;
    }
    uint32_t cr3 = (uint32_t)root,
             cr4 = (uint32_t)CR4_PAE | (mmu_format.la57 ? (uint32_t)CR4_LA57 : 0);
    uint64_t efer = EFER_LME | (cpu_features.nx ? EFER_NXE : 0);
    uintptr_t entry = (uintptr_t)ap_entry;

    trampoline_page = page;
    memcpy(in_page(trampoline), trampoline, (size_t)(trampoline_end - trampoline));
    add_page(trampoline_gdt_register + 2);
    add_page(trampoline_far32);
    add_page(trampoline_far64);
    add_page(trampoline_far_off);
    memcpy(in_page(trampoline_cr3), &cr3, sizeof(cr3));
    memcpy(in_page(trampoline_cr4), &cr4, sizeof(cr4));
    memcpy(in_page(trampoline_efer), &efer, sizeof(efer));
    memcpy(in_page(trampoline_entry), &entry, sizeof(entry));
    return 0;
}

/* ---- coming and going ---- */

int smp_start_cpus(const struct cpumask *mask)
{
    unsigned id;
    int err = trampoline_setup();

    if (err < 0) {
        return err;
    }
    for_each_cpu_in (id, mask) {
        struct x86_cpu *cpu = ap_slots[id].cpu;
        struct thread *idle = cpu->cpu.idle;

        cpu->cpu.current = idle;
        cpu->cpu.preempt_count = PREEMPT_NO_RESCHED | PREEMPT_ONE;
        cpu->cpu.kernel_stack_top = (uintptr_t)idle->stack + KSTACK_SIZE;
        cpu->cpu.fpu_owner = NULL;
        cpu->tss.rsp0 = cpu->cpu.kernel_stack_top;
        cpu->active_space = NULL;
        cpu->debug_serial = 0; /* INIT clears the debug registers (SDM volume 3, table 9-1) */
        ap_slots[id].stack_top = (uintptr_t)thread_trapframe(idle) & ~15ull;
        atomic_store_release(&ap_slots[id].state, AP_CALLED);
    }
    return platform_wake_cpus(mask, trampoline_page,
                              trampoline_page + (paddr_t)(trampoline_mailbox - trampoline));
}

bool smp_forget_cpu(unsigned id)
{
    uint32_t called = AP_CALLED;

    return atomic_cas(&ap_slots[id].state, &called, AP_OFF);
}

void x86_start_cpu(struct x86_cpu *cpu)
{
    features_enable();
    cr3_write(mmu_kernel.root);
    tlb_enable_pcid();
    tlb_idle_begin(); /* nobody tells it of the kernel's half until it is online */
    desc_init_cpu(cpu);
    desc_tell_node(cpu, cpu_node(cpu->cpu.id));
    fpu_init_cpu();
    topology_init_cpu();
    platform_start_cpu();
    kernel_main_cpu();
}

void smp_cpu_entered(void)
{
    tlb_idle_end();
}

bool smp_cpus_return(void)
{
    return platform_cpus_return();
}

void smp_cpu_leave(void)
{
    tlb_leave();
    tables_drain_local();
}

void smp_cpu_park(void)
{
    unsigned id = cpu_id();

    platform_stop_cpu();
    /* From the store on, the stack is no longer ours. */
    __asm__ volatile("wbinvd\n\t"
                     "movl %1, %0\n"
                     "1:\n\t"
                     "cli\n\t"
                     "hlt\n\t"
                     "jmp 1b"
                     : "=m"(ap_slots[id].state)
                     : "i"(AP_OFF)
                     : "memory");
    __builtin_unreachable();
}

bool smp_cpu_is_parked(unsigned id)
{
    return atomic_load_acquire(&ap_slots[id].state) == AP_OFF;
}
