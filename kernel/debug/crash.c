/*
 * The crimes are plain C: that the compiler cannot see through them is what the volatile pointers are for.
 */
#include "kernel/debug/crash.h"

#include <arch/page.h>

#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/panic.h"
#include "kernel/core/param.h"
#include "kernel/core/smp_call.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/mutex.h"
#include "kernel/sched/thread.h"
#include "kernel/sched/watchdog.h"
#include "kernel/vm/vmspace.h"

#define USER_PAGE 0x10000000ull

static const uint64_t constant = 0x636f6e7374616e74;
static const void *const constant_after_boot __ro_after_init = &constant;
static uint8_t data[64] = {0xc3}; /* returns at once, should it ever run */

static void store_to(const volatile void *at)
{
    *(volatile uint8_t *)(uintptr_t)at = 1;
}

static void call(const volatile void *at)
{
    void (*volatile function)(void) = (void (*)(void))(uintptr_t)at;

    function();
}

/* A page of user memory with all rights, present, in a space of its own. */
static volatile uint8_t *user_page(void)
{
    const uint32_t rights = VM_READ | VM_WRITE | VM_EXEC | VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC;
    struct vmspace *vm = vmspace_create(false);

    if (vm == NULL ||
        vmspace_map(vm, USER_PAGE, PAGE_SIZE, rights, VMMAP_FIXED, NULL, 0, NULL) < 0 ||
        vmspace_access(vm, USER_PAGE, data, sizeof(data), true, false) < 0) {
        panic("crash: no memory for a user page");
    }
    vmspace_use(vm);
    return (volatile uint8_t *)USER_PAGE;
}

static void panic_plainly(void)
{
    panic("asked for by the parameter linnet.crash");
}

static void __noinline spin_for_ever(void *arg)
{
    (void)atomic_fetch_add((uint32_t *)arg, 1);
    for (;;) {
        cpu_relax();
    }
}

/* The other CPUs are busy with interrupts off: only an NMI reaches them. */
static void panic_beside_others(void)
{
    static uint32_t spinning; /* [a] */

    smp_call_others(spin_for_ever, &spinning, false);
    while (atomic_load_relaxed(&spinning) + 1 < cpu_count_online()) {
        cpu_relax();
    }
    panic("asked for by the parameter linnet.crash");
}

/* Another CPU takes no interrupts any more, and this one has somebody who looks after it. */
static void lock_up_another(void)
{
    static uint32_t spinning; /* [a] */

    watchdog_thresh = 1;
    watchdog_hard_panics = 1;
    preempt_disable(); /* the other one, wherever this thread is */
    (void)smp_call_one(cpu_id() == 0 ? 1 : 0, spin_for_ever, &spinning, false);
    preempt_enable();
    for (;;) {
        cpu_relax();
    }
}

static void write_constant(void)
{
    store_to(&constant);
}

static void write_sealed(void)
{
    store_to(&constant_after_boot);
}

static void write_code(void)
{
    store_to((const void *)(uintptr_t)crash_on_purpose);
}

static void run_data(void)
{
    call(data);
}

static void run_heap(void)
{
    uint8_t *heap = kmalloc(sizeof(data));

    if (heap != NULL) {
        memcpy(heap, data, sizeof(data));
        call(heap);
        kfree(heap);
    }
}

static void run_user(void)
{
    call(user_page());
}

static void read_user(void)
{
    (void)*user_page();
}

static void write_user(void)
{
    store_to(user_page());
}

static void read_null(void)
{
    volatile uint8_t *volatile null = NULL;

    (void)*null;
}

/* Not a tail call, and not to be computed in advance. */
static __noinline uint64_t recurse(volatile uint64_t *depth)
{
    volatile uint64_t local[32] = {0};

    *depth += 1;
    local[*depth % ARRAY_SIZE(local)] = *depth;
    return *depth == UINT64_MAX ? 0 : recurse(depth) + local[*depth % ARRAY_SIZE(local)];
}

static void overflow_stack(void)
{
    volatile uint64_t depth = 0;

    (void)recurse(&depth);
}

static uint8_t *mapped_block(size_t size)
{
    uint8_t *block = vmalloc(size);

    if (block == NULL) {
        panic("crash: no memory to run out of");
    }
    return block;
}

static void overrun_vmalloc(void)
{
    store_to(mapped_block(2 * PAGE_SIZE) + 2 * PAGE_SIZE);
}

static void underrun_vmalloc(void)
{
    store_to(mapped_block(2 * PAGE_SIZE) - 1);
}

/* A page for code, sealed if wanted. */
static uint8_t *module_page(bool seal)
{
    uint8_t *page = module_alloc(PAGE_SIZE);

    if (page == NULL) {
        panic("crash: no memory for a module");
    }
    memcpy(page, data, sizeof(data));
    if (seal && module_seal(page, PAGE_SIZE, 0) < 0) {
        panic("crash: a module cannot be sealed");
    }
    return page;
}

static void run_module(void)
{
    call(module_page(false));
}

static void write_module(void)
{
    store_to(module_page(true));
}

static void write_module_alias(void)
{
    paddr_t pa = 0;
    unsigned flags;

    (void)mmu_query(&mmu_kernel, (vaddr_t)module_page(true), &pa, &flags);
    store_to(phys_to_virt(pa));
}

/* Whoever waits for himself waits for ever, and nobody would know why. */
static void lock_mutex_twice(void)
{
    struct mutex mutex;

    mutex_init(&mutex, "crash");
    mutex_lock(&mutex);
    mutex_lock(&mutex);
}

static void lock_rwsem_twice(void)
{
    struct rwsem sem;

    rwsem_init(&sem, "crash");
    rwsem_lock_write(&sem);
    rwsem_lock_read(&sem);
}

static const struct crime {
    const char *name;
    void (*commit)(void);
} crimes[] = {
    {"panic", panic_plainly},
    {"panic-beside-others", panic_beside_others},
    {"hard-lockup", lock_up_another},
    {"write-constant", write_constant},
    {"write-sealed", write_sealed},
    {"write-code", write_code},
    {"run-data", run_data},
    {"run-heap", run_heap},
    {"run-user", run_user},
    {"read-user", read_user},
    {"write-user", write_user},
    {"read-null", read_null},
    {"stack-overflow", overflow_stack},
    {"run-module", run_module},
    {"write-module", write_module},
    {"write-module-alias", write_module_alias},
    {"vmalloc-overrun", overrun_vmalloc},
    {"vmalloc-underrun", underrun_vmalloc},
    {"mutex-twice", lock_mutex_twice},
    {"rwsem-twice", lock_rwsem_twice},
};

void crash_on_purpose(void)
{
    const char *name = param_string("linnet.crash");

    if (name == NULL) {
        return;
    }
    for (unsigned i = 0; i < ARRAY_SIZE(crimes); i++) {
        if (strcmp(name, crimes[i].name) == 0) {
            crimes[i].commit();
            log_err("crash: %s went through", name);
            return;
        }
    }
    log_err("crash: there is no %s", name);
}
