/*
 * CPUs and threads of the host machine.
 *
 * A CPU is a host thread; CPU 0 is the main one. A kernel thread is a ucontext on a stack of the host's own, larger than KSTACK_SIZE
 * because code under the sanitizers needs more. The address sanitizer is told about each switch.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>
#include <unistd.h>

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/core/percpu.h"
#include "kernel/core/smp_call.h"
#include "kernel/core/softirq.h"
#include "kernel/core/time.h"
#include "kernel/core/timer.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/idle.h"
#include "kernel/machine/smp.h"
#include "kernel/mm/arena.h"
#include "kernel/sched/hotplug.h"
#include "kernel/sched/sched.h"
#include "kernel/sync/lockdep.h"
#include "kernel/sync/rcu.h"

#define STACK_BYTES (512u << 10)

/* A build has one sanitizer of memory or of threads; each wants to know which stack is whose. */
#if __has_feature(thread_sanitizer)
#define TSAN_ONLY(code) code
#define ASAN_ONLY(code)
#else
#define TSAN_ONLY(code)
#define ASAN_ONLY(code) code
#endif
void *__tsan_create_fiber(unsigned flags);
void __tsan_destroy_fiber(void *fiber);
void __tsan_switch_to_fiber(void *fiber, unsigned flags);
void *__tsan_get_current_fiber(void);
void __sanitizer_start_switch_fiber(void **fake_stack_save, const void *bottom, size_t size);
void __sanitizer_finish_switch_fiber(void *fake_stack_save, const void **bottom_old,
                                     size_t *size_old);

extern char __start_percpu[] __attribute__((weak));
extern char __stop_percpu[] __attribute__((weak));

struct cpu host_cpus[HOST_MAX_CPUS] = {
    [0] = {.self = &host_cpus[0],
           .current = &boot_thread,
           .idle = &boot_thread,
           .preempt_count = PREEMPT_NO_RESCHED,
           .rcu_nesting = RCU_NOT_BLOCKED},
};
_Thread_local struct cpu *host_cpu = &host_cpus[0];
_Thread_local bool host_irq_enabled = true;
_Thread_local bool *host_irq_pending = &host_pending[0];

static unsigned ncpus = 1;
bool host_pending[HOST_MAX_CPUS];                  /* [a] a message waits for the CPU */
static bool entered[HOST_MAX_CPUS] = {[0] = true}; /* [place[id]] a host thread is this CPU */
static pthread_mutex_t place[HOST_MAX_CPUS] = {[0 ... HOST_MAX_CPUS - 1] =
                                                   PTHREAD_MUTEX_INITIALIZER};
static char *percpu_copies[HOST_MAX_CPUS]; /* for the leak checker: offsets are no pointers */

bool host_context_is_clean(void)
{
    bool clean = (preempt_count() & PREEMPT_ATOMIC_MASK) == 0 && irq_enabled();

    preempt_count_sub(preempt_count() & PREEMPT_ATOMIC_MASK);
    irq_enable();
    lockdep_check_none_held("the end of a test");
    return clean;
}

/* ---- several CPUs ---- */

unsigned cpu_count(void)
{
    return ncpus;
}

struct cpu *cpu_by_id(unsigned id)
{
    return &host_cpus[id];
}

static void cpu_create(unsigned id)
{
    struct cpu *cpu = &host_cpus[id];
    size_t size = (size_t)(__stop_percpu - __start_percpu);
    struct thread *idle = calloc(1, sizeof(*idle));
    char *copy = aligned_alloc(64, (size + 63) & ~(size_t)63);

    if (idle == NULL || copy == NULL) {
        abort();
    }
    memset(copy, 0, size);
    percpu_copies[id] = copy;
    *cpu = (struct cpu){.self = cpu,
                        .id = id,
                        .current = idle,
                        .idle = idle,
                        .preempt_count = PREEMPT_NO_RESCHED,
                        .rcu_nesting = RCU_NOT_BLOCKED};
    cpu->percpu_offset = (uintptr_t)copy - (uintptr_t)__start_percpu;
    idle->state = THREAD_RUNNABLE;
    idle->cpu = id;
    idle->prio = PRIO_IDLE;
}

void host_set_cpu_count(unsigned n)
{
    for (unsigned id = ncpus; id < n && id < HOST_MAX_CPUS; id++) {
        if (host_cpus[id].self == NULL) {
            cpu_create(id);
        }
    }
    ncpus = n < HOST_MAX_CPUS ? n : HOST_MAX_CPUS;
    for (unsigned id = 0; id < HOST_MAX_CPUS; id++) {
        cpu_set_online(id, id < ncpus);
    }
}

void host_cpu_enter(unsigned id)
{
    (void)pthread_mutex_lock(&place[id]);
    entered[id] = true;
    (void)pthread_mutex_unlock(&place[id]);
    host_cpu = &host_cpus[id];
    host_irq_pending = &host_pending[id];
    host_irq_enabled = true;
}

void host_cpu_leave(void)
{
    unsigned id = host_cpu->id;

    (void)pthread_mutex_lock(&place[id]);
    host_interrupts_take();
    entered[id] = false;
    (void)pthread_mutex_unlock(&place[id]);
}

bool host_cpus_start;

/* The CPUs are threads of the test's own; for those that are nobody's, whoever starts them takes their place until they are online. */
int smp_start_cpus(const struct cpumask *mask)
{
    struct cpu *own = host_cpu;
    unsigned id;

    if (!host_cpus_start) {
        return -19; /* ENODEV */
    }
    irq_disable();
    for_each_cpu_in (id, mask) {
        host_cpu = &host_cpus[id];
        cpu_come_online();
    }
    host_cpu = own;
    irq_enable();
    return 0;
}

void smp_cpu_entered(void)
{
}

bool smp_cpus_return(void)
{
    return true;
}

void smp_cpu_leave(void)
{
}

/* No scheduler runs there, so nobody comes here. */
void smp_cpu_park(void)
{
    cpu_halt_forever();
}

bool smp_cpu_is_parked(unsigned id)
{
    return !entered[id];
}

bool smp_forget_cpu(unsigned id)
{
    (void)id;
    return true;
}

/* ---- messages ---- */

static void call_interrupt(void *arg)
{
    (void)arg;
    machine_call_interrupt();
}

void host_interrupts_take(void)
{
    while (host_irq_enabled && __atomic_exchange_n(host_irq_pending, false, __ATOMIC_SEQ_CST)) {
        (void)host_run_interrupt(call_interrupt, NULL);
    }
}

/* Nobody is CPU `id`: take its place for as long as its interrupt lasts. */
static void interrupt_for(unsigned id)
{
    struct cpu *own = host_cpu;
    bool enabled = host_irq_enabled;

    host_cpu = &host_cpus[id];
    host_irq_enabled = true;
    (void)host_run_interrupt(call_interrupt, NULL);
    host_irq_enabled = enabled;
    host_cpu = own;
}

void smp_send_call(const struct cpumask *mask)
{
    unsigned id;

    for_each_cpu_in (id, mask) {
        (void)pthread_mutex_lock(&place[id]);
        if (entered[id]) {
            __atomic_store_n(&host_pending[id], true, __ATOMIC_SEQ_CST);
        } else {
            interrupt_for(id);
        }
        (void)pthread_mutex_unlock(&place[id]);
    }
}

#define PAUSE_NS 40 /* of a CPU that is simulated */

/*
 * Whoever is waited for may be asleep behind other programs of a busy machine: yielding alone gives the CPU to these, sleeping for a moment makes
 * the host's scheduler think well of us.
 */
void host_cpu_relax(void)
{
    static __thread unsigned turns;
    const struct timespec moment = {.tv_nsec = 1000};

    host_irq_check();
    if (host_is_simulated()) {
        host_clock_move(PAUSE_NS); /* whoever is waited for runs when this CPU passes */
        return;
    }
    if (++turns % 4 == 0) {
        (void)nanosleep(&moment, NULL);
    } else {
        (void)sched_yield();
    }
}

static unsigned jobs_running; /* [a] */

struct cpu_job {
    void (*fn)(void *arg, unsigned cpu);
    void *arg;
    unsigned cpu;
};

static void *cpu_job_main(void *arg)
{
    struct cpu_job *job = arg;

    host_cpu_enter(job->cpu);
    job->fn(job->arg, job->cpu);
    host_cpu_leave();
    (void)__atomic_fetch_sub(&jobs_running, 1, __ATOMIC_RELEASE);
    return NULL;
}

void host_run_on_cpus(unsigned n, void (*fn)(void *arg, unsigned cpu), void *arg)
{
    pthread_t threads[HOST_MAX_CPUS];
    struct cpu_job jobs[HOST_MAX_CPUS];

    if (n > ncpus) {
        host_set_cpu_count(n);
    }
    for (unsigned cpu = 1; cpu < n; cpu++) {
        jobs[cpu] = (struct cpu_job){fn, arg, cpu};
        (void)__atomic_fetch_add(&jobs_running, 1, __ATOMIC_RELAXED);
        if (pthread_create(&threads[cpu], NULL, cpu_job_main, &jobs[cpu]) != 0) {
            abort();
        }
    }
    fn(arg, 0);
    while (__atomic_load_n(&jobs_running, __ATOMIC_ACQUIRE) != 0) {
        host_cpu_relax(); /* the others may call this CPU */
    }
    for (unsigned cpu = 1; cpu < n; cpu++) {
        (void)pthread_join(threads[cpu], NULL);
    }
}

/* Other CPUs than 0 run a scheduler only when they are simulated. */
void smp_send_reschedule(unsigned id)
{
    host_sim_message(id);
}

void smp_send_nmi(unsigned id)
{
    (void)id;
}

void smp_stop_others(void)
{
}

/* ---- threads ---- */

struct host_context {
    struct host_context *
        next; /* of all there are: for the leak checker, which does not look into simulated memory */
    ucontext_t context;
    void *stack; /* NULL: the main stack */
    size_t stack_size;
    void *fake_stack; /* the address sanitizer's */
    void *fiber;      /* the thread sanitizer's */
    void (*entry)(void *arg);
    void *arg;
};

static _Thread_local struct thread *switched_from;
static struct host_context main_context;
static struct host_context *contexts; /* CPU 0 alone makes and ends threads */

static struct host_context *context_of(struct thread *thread)
{
    if (thread->arch.context == NULL) { /* the boot thread, on the main stack */
        pthread_attr_t attr;
        if (pthread_getattr_np(pthread_self(), &attr) != 0 ||
            pthread_attr_getstack(&attr, &main_context.stack, &main_context.stack_size) != 0) {
            abort();
        }
        (void)pthread_attr_destroy(&attr);
        TSAN_ONLY(main_context.fiber = __tsan_get_current_fiber();)
        thread->arch.context = &main_context;
    }
    return thread->arch.context;
}

static void context_main(void)
{
    struct host_context *context = context_of(current_thread());

    ASAN_ONLY(__sanitizer_finish_switch_fiber(NULL, NULL, NULL);)
    context->entry(context->arg);
    abort(); /* entry never returns */
}

void cpu_thread_init_kernel(struct thread *thread, void (*entry)(void *arg), void *arg)
{
    struct host_context *context = calloc(1, sizeof(*context));

    if (context == NULL) {
        abort();
    }
    context->stack =
        mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (context->stack == MAP_FAILED || getcontext(&context->context) < 0 ||
        mprotect(context->stack, PAGE_SIZE, PROT_NONE) < 0) {
        abort();
    }
    context->stack_size = STACK_BYTES;
    context->entry = entry;
    context->arg = arg;
    context->context.uc_stack.ss_sp = context->stack;
    context->context.uc_stack.ss_size = STACK_BYTES;
    makecontext(&context->context, context_main, 0);
    TSAN_ONLY(context->fiber = __tsan_create_fiber(0);)
    context->next = contexts;
    contexts = context;
    thread->arch.context = context;
}

static void user_thread_main(void *arg)
{
    (void)arg;
    machine_thread_started();
    fputs("host: there is no user mode to return to\n", stderr);
    abort();
}

int cpu_thread_init_user(struct thread *thread, const struct trapframe *frame)
{
    cpu_thread_init_kernel(thread, user_thread_main, NULL);
    *thread_trapframe(thread) = *frame;
    thread_trapframe(thread)->rax = 0;
    return 0;
}

void cpu_thread_fini(struct thread *thread)
{
    struct host_context *context = thread->arch.context;

    if (context != NULL && context != &main_context) {
        struct host_context **link = &contexts;
        while (*link != context) {
            link = &(*link)->next;
        }
        *link = context->next;
        TSAN_ONLY(__tsan_destroy_fiber(context->fiber);)
        (void)munmap(context->stack, context->stack_size);
        free(context);
    }
    thread->arch.context = NULL;
}

struct trapframe *thread_trapframe(struct thread *thread)
{
    static struct trapframe boot_frame;

    if (thread->stack == NULL) {
        return &boot_frame;
    }
    return (struct trapframe *)(void *)((uint8_t *)thread->stack + KSTACK_SIZE -
                                        sizeof(struct trapframe));
}

struct thread *cpu_switch(struct thread *prev, struct thread *next)
{
    struct host_context *from = context_of(prev);
    struct host_context *to = context_of(next);

    switched_from = prev;
    host_cpu->current = next;
    void **fake_stack = prev->state == THREAD_DEAD ? NULL : &from->fake_stack;
    ASAN_ONLY(__sanitizer_start_switch_fiber(fake_stack, to->stack, to->stack_size);)
    (void)fake_stack;
    TSAN_ONLY(__tsan_switch_to_fiber(to->fiber, 0);)
    (void)swapcontext(&from->context, &to->context);
    ASAN_ONLY(__sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);)
    return switched_from;
}

static void context_swap(struct host_context *from, struct host_context *to)
{
    ASAN_ONLY(__sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_size);)
    TSAN_ONLY(__tsan_switch_to_fiber(to->fiber, 0);)
    (void)swapcontext(&from->context, &to->context);
    ASAN_ONLY(__sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);)
}

void host_context_resume(unsigned id)
{
    host_cpu = &host_cpus[id];
    host_irq_pending = &host_pending[id];
    context_swap(context_of(&boot_thread), context_of(host_cpu->current));
    host_cpu = &host_cpus[0];
    host_irq_pending = &host_pending[0];
}

void host_context_leave(void)
{
    context_swap(context_of(current_thread()), context_of(&boot_thread));
}

void cpu_thread_reset_user(void)
{
}

void cpu_enter_user(void)
{
    fputs("host: there is no user mode to enter\n", stderr);
    abort();
}

void cpu_idle(void)
{
    irq_enable();
    if (host_is_simulated()) {
        host_sim_pass();
    } else {
        (void)host_clock_poll();
    }
}

void cpu_sync_core(void)
{
}

bool cpu_idle_can_watch(void)
{
    return false;
}

void cpu_idle_watch(const uint32_t *word, uint32_t bits)
{
    (void)word, (void)bits;
    cpu_idle();
}

void cpu_halt_forever(void)
{
    fflush(NULL);
    abort();
}

void host_sched_init(void)
{
    static bool done;

    if (!done) {
        done = true;
        timers_init();
        sched_init();
        rcu_start();
    }
}

void host_sched_begin(void)
{
    host_sched_init();
    preempt_disable();
    host_clock_set_manual(ktime_now() + 10 * NS_PER_S);
    irq_disable();
    machine_timer_interrupt(); /* the event timer forgot what it was asked for */
    irq_enable();
}

void host_run_threads(void)
{
    do {
        while (sched_nr_running() > 0) {
            schedule();
            (void)host_clock_poll();
        }
    } while (host_clock_run_event());
}

/* ---- interrupts ---- */

bool host_run_interrupt(void (*fn)(void *arg), void *arg)
{
    if (!host_irq_enabled) {
        return false;
    }
    host_irq_enabled = false;
    preempt_count_add(PREEMPT_HARDIRQ_ONE);
    host_cpu->irq_count++;
    host_cpu->irq_frame = thread_trapframe(current_thread());
    rcu_irq_enter();
    fn(arg);
    preempt_count_sub(PREEMPT_HARDIRQ_ONE);
    if (host_cpu->softirq_pending != 0) {
        machine_softirqs();
    }
    if (preempt_count() == 0) {
        preempt_schedule_irq();
    }
    host_irq_enabled = true;
    return true;
}

/* There is no user mode to come from: who plays it calls machine_syscall_watched() himself. */
bool host_syscall_watched;

void cpu_watch_syscall(bool on)
{
    host_syscall_watched = on;
}
