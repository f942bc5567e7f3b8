/*
 * Benchmarks of page tables (map, query, walk, protect, unmap, flush) and of address spaces (regions, faults), without the system calls
 * and exceptions that lead to them.
 *
 * All run in a space of their own, which is the active one of this CPU, so flushes are real.
 */
#include "kernel/debug/bench.h"

#include "kernel/base/errno.h"
#include "kernel/machine/entry.h"
#include "kernel/mm/frame.h"
#include "kernel/vm/vmspace.h"

#define BASE  0x40000000ull /* of a HUGE_PAGE_SIZE block */
#define COUNT 512u          /* pages of a block */
#define TURNS 64u

#define RW        (VM_READ | VM_WRITE | VM_MAYREAD | VM_MAYWRITE)
#define MMU_RW    (MMU_READ | MMU_WRITE | MMU_USER)
#define BLOCK_END (BASE + HUGE_PAGE_SIZE)

/* ---- page tables ---- */

/* What a function under test works on: a space, and a frame that all entries show. */
struct tables {
    struct vmspace *vm;
    struct mmu_space *mmu;
    struct page *page;
    struct mmu_flush flush;
};

static int __bench tables_open(struct tables *tables)
{
    tables->page = frame_alloc(0, 0, PAGE_KERNEL);
    tables->vm = tables->page == NULL ? NULL : vmspace_create(false);
    if (tables->vm == NULL) {
        if (tables->page != NULL) {
            frame_free(tables->page);
        }
        return -ENOMEM;
    }
    vmspace_use(tables->vm);
    tables->mmu = &tables->vm->mmu;
    mmu_flush_init(&tables->flush, tables->mmu);
    return 0;
}

static void __bench tables_close(struct tables *tables)
{
    (void)mmu_unmap(tables->mmu, BASE, BLOCK_END, &tables->flush, NULL, NULL);
    mmu_flush_finish(&tables->flush);
    vmspace_use(NULL);
    frame_free(tables->page);
}

/* Show the frame at each page of the block. */
static int __bench tables_fill(const struct tables *tables)
{
    paddr_t pa = page_to_phys(tables->page);
    int err = 0;

    spin_lock(mmu_block_lock(&tables->vm->locks, BASE));
    for (vaddr_t va = BASE; va < BLOCK_END && err == 0; va += PAGE_SIZE) {
        err = mmu_map(tables->mmu, va, pa, MMU_RW | MMU_SPECIAL);
    }
    spin_unlock(mmu_block_lock(&tables->vm->locks, BASE));
    return err;
}

/* Run `body` on a filled block between the marks. */
typedef int tables_fn(struct tables *tables);
static __always_inline int tables_bench(bool fill, tables_fn *body)
{
    struct tables tables;
    int err = tables_open(&tables);

    if (err < 0) {
        return err;
    }
    err = fill ? tables_fill(&tables) : 0;
    if (err == 0) {
        bench_begin();
        err = body(&tables);
        bench_end();
    }
    tables_close(&tables);
    return err;
}

static int __bench do_query(struct tables *tables)
{
    unsigned found = 0, flags;
    paddr_t pa;

    for (vaddr_t va = BASE; va < BLOCK_END; va += PAGE_SIZE) {
        found += mmu_query(tables->mmu, va, &pa, &flags);
    }
    return found == COUNT ? 0 : -EIO;
}

static bool __bench count_leaf(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    (void)va;
    (void)pa;
    (void)flags;
    *(uint64_t *)arg += npages;
    return true;
}

static int __bench do_walk(struct tables *tables)
{
    uint64_t found = 0;

    (void)mmu_walk(tables->mmu, BASE, BLOCK_END, count_leaf, &found);
    return found == COUNT ? 0 : -EIO;
}

static int __bench do_protect(struct tables *tables)
{
    return mmu_protect(tables->mmu, BASE, BLOCK_END, 0, MMU_WRITE, &tables->flush);
}

static int __bench do_age(struct tables *tables)
{
    return mmu_clear_accessed(tables->mmu, BASE, BLOCK_END, &tables->flush) == COUNT ? 0 : -EIO;
}

static int __bench do_unmap(struct tables *tables)
{
    return mmu_unmap(tables->mmu, BASE, BLOCK_END, &tables->flush, NULL, NULL);
}

static int __bench do_huge(struct tables *tables)
{
    int err = 0;

    for (unsigned i = 0; i < TURNS && err == 0; i++) {
        spin_lock(mmu_block_lock(&tables->vm->locks, BASE));
        err = mmu_map_huge(tables->mmu, BASE, 0, MMU_RW | MMU_SPECIAL);
        spin_unlock(mmu_block_lock(&tables->vm->locks, BASE));
        if (err == 0) {
            err = mmu_unmap(tables->mmu, BASE, BLOCK_END, &tables->flush, NULL, NULL);
        }
    }
    return err;
}

static __always_inline int flush_turns(struct tables *tables, uint64_t npages)
{
    for (unsigned i = 0; i < TURNS; i++) {
        tables->flush.start = BASE;
        tables->flush.end = BASE + npages * PAGE_SIZE;
        mmu_flush_finish(&tables->flush);
    }
    return 0;
}

static int __bench do_flush_1(struct tables *tables)
{
    return flush_turns(tables, 1);
}

static int __bench do_flush_16(struct tables *tables)
{
    return flush_turns(tables, 16);
}

static int __bench do_flush_512(struct tables *tables)
{
    return flush_turns(tables, 512);
}

#define TABLES_ROW(name_, fill_, body_, amount_)                                                   \
    static int __bench bench_##name_(void)                                                         \
    {                                                                                              \
        return tables_bench(fill_, body_);                                                         \
    }                                                                                              \
    KERNEL_BENCH(name_) = {.group = "mm", .name = #name_, .amount = (amount_), .run = bench_##name_}

static int __bench do_fill(struct tables *tables)
{
    return tables_fill(tables);
}

TABLES_ROW(mmu_map, false, do_fill, COUNT);
TABLES_ROW(mmu_query, true, do_query, COUNT);
TABLES_ROW(mmu_walk_page, true, do_walk, COUNT);
TABLES_ROW(mmu_protect_page, true, do_protect, COUNT);
TABLES_ROW(mmu_age_page, true, do_age, COUNT);
TABLES_ROW(mmu_unmap_page, true, do_unmap, COUNT);
TABLES_ROW(mmu_huge_pair, false, do_huge, TURNS);
TABLES_ROW(flush_1_page, false, do_flush_1, TURNS);
TABLES_ROW(flush_16_pages, false, do_flush_16, TURNS);
TABLES_ROW(flush_512_pages, false, do_flush_512, TURNS);

/* ---- address spaces ---- */

static int64_t __bench map_anon(struct vmspace *vm, uint64_t addr, uint64_t npages)
{
    return vmspace_map(vm, addr, npages * PAGE_SIZE, RW | VM_NOHUGE, VMMAP_FIXED, NULL, 0, NULL);
}

/* First write to every page, upwards (which vm takes for a run) or downwards. */
static int __bench touch_block(struct vmspace *vm, bool upwards)
{
    int err = 0;

    for (unsigned i = 0; i < COUNT && err == 0; i++) {
        uint64_t addr = BASE + (upwards ? i : COUNT - 1 - i) * PAGE_SIZE;
        paddr_t pa;
        unsigned flags;
        if (upwards && mmu_query(&vm->mmu, addr, &pa, &flags)) {
            continue; /* it came with the one before: no exception */
        }
        err = vmspace_fault(vm, addr, FAULT_WRITE | FAULT_USER);
    }
    return err;
}

enum space_row { ROW_FAULT, ROW_FAULT_RUN, ROW_UNMAP };

static int __bench space_bench(enum space_row row)
{
    struct vmspace *vm = vmspace_create(false);
    int64_t err;

    if (vm == NULL) {
        return -ENOMEM;
    }
    vmspace_use(vm);
    err = map_anon(vm, BASE, COUNT);
    if (err > 0 && row != ROW_UNMAP) {
        bench_begin();
        err = touch_block(vm, row == ROW_FAULT_RUN);
        bench_end();
    } else if (err > 0) {
        err = touch_block(vm, false);
        bench_begin();
        err = err < 0 ? err : vmspace_unmap(vm, BASE, HUGE_PAGE_SIZE);
        bench_end();
    }
    vmspace_use(NULL);
    return (int)err;
}

static int __bench vm_fault(void)
{
    return space_bench(ROW_FAULT);
}

static int __bench vm_fault_run(void)
{
    return space_bench(ROW_FAULT_RUN);
}

static int __bench vm_unmap_page(void)
{
    return space_bench(ROW_UNMAP);
}

/* A region of 16 pages, made and gone again, between 256 others that do not join. */
static int __bench region_bench(bool find)
{
    struct vmspace *vm = vmspace_create(false);
    int64_t err = 1;

    if (vm == NULL) {
        return -ENOMEM;
    }
    vmspace_use(vm);
    for (unsigned i = 0; i < 256 && err > 0; i++) {
        err = map_anon(vm, BASE + i * MIB(1), 16);
    }
    bench_begin();
    for (unsigned i = 0; i < TURNS && err > 0; i++) {
        uint64_t addr = BASE + (i * 37 % 256) * MIB(1);
        if (find) {
            err = vmspace_find(vm, addr) != NULL ? 1 : -EIO;
            continue;
        }
        err = map_anon(vm, addr + KIB(512), 16);
        if (err > 0) {
            err = vmspace_unmap(vm, addr + KIB(512), 16 * PAGE_SIZE) == 0 ? 1 : -EIO;
        }
    }
    bench_end();
    vmspace_use(NULL);
    return err > 0 ? 0 : (int)err;
}

static int __bench vm_map_unmap(void)
{
    return region_bench(false);
}

static int __bench vm_find(void)
{
    return region_bench(true);
}

#define VM_ROW(name_, amount_)                                                                     \
    KERNEL_BENCH(name_) = {.group = "mm", .name = #name_, .amount = (amount_), .run = name_}

VM_ROW(vm_fault, COUNT);
VM_ROW(vm_fault_run, COUNT);
VM_ROW(vm_unmap_page, COUNT);
VM_ROW(vm_map_unmap, TURNS);
VM_ROW(vm_find, TURNS);
