/*
 * Simulated physical memory and the boot of the host machine.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "hal/host/host.h"
#include "hal/host/private.h"
#include "kernel/abi/boot.h"
#include "kernel/core/param.h"
#include "kernel/core/random.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/lru.h"
#include "kernel/mm/slab.h"
#include "kernel/sync/report.h"

uint8_t *host_phys_base;
struct page *host_page_array;
vaddr_t host_arena_base, host_modules_base;

static int memory_fd = -1;

static void die(const char *what)
{
    perror(what);
    abort();
}

/* Address space that nothing else uses and that traps until something is shown there. */
static void *reserve(uint64_t len, uint64_t align)
{
    uint8_t *at =
        mmap(NULL, len + align, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED) {
        die("host: mmap");
    }
    return (void *)(((uintptr_t)at + align - 1) & ~(align - 1));
}

void host_memory_show(vaddr_t va, paddr_t pa, uint64_t len)
{
    if (mmap((void *)va, len, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory_fd,
             (off_t)pa) == MAP_FAILED) {
        die("host: mmap");
    }
}

void host_memory_hide(vaddr_t va, uint64_t len)
{
    if (mmap((void *)va, len, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED,
             -1, 0) == MAP_FAILED) {
        die("host: mmap");
    }
}

uint64_t host_memory_touched(void)
{
    struct stat stat;

    if (fstat(memory_fd, &stat) < 0) {
        die("host: fstat");
    }
    return (uint64_t)stat.st_blocks * 512 / PAGE_SIZE;
}

static void memory_create(uint64_t bytes)
{
    memory_fd = memfd_create("linnet-memory", 0);
    if (memory_fd < 0 || ftruncate(memory_fd, (off_t)bytes) < 0) {
        die("host: memfd");
    }
    host_phys_base = reserve(bytes, HUGE_PAGE_SIZE);
    host_memory_show((vaddr_t)host_phys_base, 0, bytes);
    host_page_array =
        reserve((bytes >> PAGE_SHIFT) * sizeof(struct page) + HUGE_PAGE_SIZE, HUGE_PAGE_SIZE);
    host_arena_base = (vaddr_t)reserve(ARENA_SIZE, HUGE_PAGE_SIZE);
    host_modules_base = (vaddr_t)reserve(MODULES_SIZE, HUGE_PAGE_SIZE);
}

static struct boot_handoff *handoff_create(const struct boot_mem *map, unsigned n)
{
    struct boot_handoff *handoff = phys_to_virt(0x200000);

    memset(handoff, 0, sizeof(*handoff));
    handoff->magic = BOOT_MAGIC;
    handoff->version = BOOT_VERSION;
    handoff->size_bytes = sizeof(*handoff);
    handoff->mem = 0x201000;
    handoff->nmem = n;
    memcpy(phys_to_virt(handoff->mem), map, n * sizeof(map[0]));
    return handoff;
}

void host_machine_init_map(const struct boot_mem *map, unsigned n)
{
    uint8_t seed[32] = "the same in every run of a test";

    memory_create(map[n - 1].base + map[n - 1].length_bytes);
    sync_report_hook = host_sync_report;
    param_init("");
    frames_init(handoff_create(map, n));
    slab_init();
    lru_init();
    arena_init();
    random_init(seed, sizeof(seed), true);
}

/* A PC's map in small: the hole below 1 MiB, a kernel, loader memory, and a reserved range that is not a multiple of anything. */
void host_machine_init(void)
{
    static const struct boot_mem map[] = {
        {0x0, 0x9f000, BOOT_MEM_USABLE, ~0u},
        {0x9f000, 0x61000, BOOT_MEM_RESERVED, ~0u},
        {0x100000, 0x100000, BOOT_MEM_KERNEL, ~0u},
        {0x200000, 0x10000, BOOT_MEM_LOADER, ~0u},
        {0x210000, HOST_MEMORY_BYTES - 0x210000 - 0x23000, BOOT_MEM_USABLE, ~0u},
        {HOST_MEMORY_BYTES - 0x23000, 0x23000, BOOT_MEM_ACPI_RECLAIM, ~0u},
    };

    host_machine_init_map(map, sizeof(map) / sizeof(map[0]));
}
