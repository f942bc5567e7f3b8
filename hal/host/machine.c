/*
 * The rest of the machine: console, power, randomness, and what a CPU says about itself.
 */
#include <execinfo.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/base/errno.h"
#include "kernel/machine/clock.h"
#include "kernel/machine/console.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/entry.h"
#include "kernel/machine/init.h"
#include "kernel/machine/io.h"
#include "kernel/machine/power.h"
#include "kernel/machine/user.h"

void __sanitizer_print_stack_trace(void);

unsigned host_sync_reports;
uint32_t host_pkru = HOST_PKRU_INITIAL;

void host_sync_report(const char *text, bool backtrace)
{
    (void)__atomic_fetch_add(&host_sync_reports, 1, __ATOMIC_RELAXED);
    fprintf(stderr, "# %s\n", text);
    if (backtrace) {
        __sanitizer_print_stack_trace();
    }
}

/* Only what tests want to see: with LINNET_TEST_LOG set, the kernel's log. */
void console_early_write(const char *text, size_t len_bytes)
{
    static int wanted = -1;

    if (wanted < 0) {
        wanted = getenv("LINNET_TEST_LOG") != NULL;
    }
    if (wanted) {
        (void)!write(STDERR_FILENO, text, len_bytes);
    }
}

void machine_power_off(void)
{
    exit(0);
}

void machine_reset(void)
{
    exit(0);
}

void machine_halt(void)
{
    abort();
}

/* host_machine_init() and host_sched_init() do what these do elsewhere. */
void machine_init_early(const struct boot_handoff *handoff)
{
    (void)handoff;
}

void machine_init_cpu(void)
{
}

void machine_init_nodes(const struct boot_handoff *handoff)
{
    (void)handoff;
}

void machine_init_platform(const struct boot_handoff *handoff)
{
    (void)handoff;
}

void machine_init_clocks(void)
{
    machine_clock_changed();
}

void machine_init_late(void)
{
}

void machine_dump_frame(const struct trapframe *frame)
{
    fprintf(stderr, "pc %#lx sp %#lx\n", (unsigned long)frame->rip, (unsigned long)frame->rsp);
}

bool cpu_random_u64(uint64_t *ret)
{
    return getrandom(ret, sizeof(*ret), 0) == (ssize_t)sizeof(*ret);
}

int cpu_describe(unsigned id, char *buf, size_t size)
{
    int n = snprintf(buf, size, "processor\t: %u\nmodel name\t: host thread\n\n", id);

    return n < (int)size ? n : (int)size - 1;
}

uint64_t cpu_hwcap(void)
{
    return 0;
}

uint64_t cpu_hwcap2(void)
{
    return 0;
}

uint64_t cpu_min_signal_stack(void)
{
    return 2048;
}

unsigned cpu_pkeys(void)
{
    return 16;
}

void cpu_pkey_restrict(unsigned key, unsigned rights)
{
    host_pkru = (host_pkru & ~(3u << 2 * key)) | rights << 2 * key;
}

bool cpu_pkey_allows(unsigned key, bool write)
{
    return (host_pkru >> 2 * key & (write ? 3u : 1u)) == 0;
}

size_t cpu_backtrace(uintptr_t *addrs, size_t max, const struct trapframe *from)
{
    (void)from;
    int n = backtrace((void **)addrs, (int)max);
    return n > 0 ? (size_t)n : 0;
}

size_t cpu_backtrace_thread(struct thread *thread, uintptr_t *addrs, size_t max)
{
    (void)thread, (void)addrs, (void)max;
    return 0;
}

int cpu_set_user_tls(vaddr_t fs_base)
{
    return fs_base < USER_TOP ? 0 : -EPERM;
}

int cpu_thread_set_tls(struct thread *thread, vaddr_t fs_base)
{
    (void)thread;
    return cpu_set_user_tls(fs_base);
}

int cpu_arch_prctl(int code, vaddr_t addr)
{
    (void)code, (void)addr;
    return -EINVAL;
}

int cpu_signal_setup(struct trapframe *frame, const struct signal_delivery *delivery)
{
    (void)frame, (void)delivery;
    return -EFAULT;
}

int cpu_signal_return(struct trapframe *frame, struct signal_return *ret)
{
    (void)frame, (void)ret;
    return -EFAULT;
}

/* Two pages in the simulated memory that say what they are: what vm maps is what tests compare. */
const void *vdso_image(size_t *ret_size_bytes)
{
    static uint8_t *image;

    if (image == NULL) {
        image = aligned_alloc(PAGE_SIZE, 2 * PAGE_SIZE);
        if (image == NULL) {
            abort();
        }
        memset(image, 'v', 2 * PAGE_SIZE);
    }
    *ret_size_bytes = 2 * PAGE_SIZE;
    return image;
}

void *mmio_map(paddr_t pa, uint64_t len_bytes, bool write_combining)
{
    (void)write_combining;
    return pa + len_bytes <= HOST_MEMORY_BYTES ? phys_to_virt(pa) : NULL;
}

void mmio_unmap(void *va, uint64_t len_bytes)
{
    (void)va, (void)len_bytes;
}
