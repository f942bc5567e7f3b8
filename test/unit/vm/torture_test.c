/*
 * Several CPUs change one space and fault in it at once. Each owns every fourth page, so all of them work in the same page tables and in
 * the same neighbourhood of the tree: regions merge with and are cut from those of others all the time. What a CPU finds in its own
 * pages must be what it left there. Faults in the pages of others may come to anything, but leave nothing behind. The second time all
 * of them send pages to swap, their own and those of others.
 */
#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include <linux/mman.h>

#include "kernel/machine/entry.h"
#include "kernel/sched/runqueue.h"
#include "kernel/vm/region_lock.h"
#include "test/unit/base/random.h"
#include "test/unit/vm/swap_space.h"

#define NCPUS  4u
#define NPAGES 64u
#define NSTEPS 2000u
#define BASE   (GIB(1) - 20 * PAGE_SIZE) /* across a table of tables */

struct page_model {
    uint8_t rights; /* VM_READ | VM_WRITE; 0xff: not mapped */
    uint8_t value;
};

static struct vmspace *space;
static struct page_model models[NPAGES]; /* each is its owner's alone */
static unsigned ready;                   /* [a] */
static uint64_t foreign_faults;          /* [a] */
static bool swapping;
static struct swap_space swap;

static uint64_t addr_of(unsigned page)
{
    return BASE + page * PAGE_SIZE;
}

/* CPUs of the host run no scheduler: a run queue with nobody in it makes a thread that has to wait look again and again. */
static void cpu_may_wait(void)
{
    struct runqueue *rq = this_cpu_ptr(runqueue);

    if (rq->idle == NULL) {
        spin_init(&rq->lock, "run queue");
        rq->idle = this_cpu->idle;
        rq->idle->class = &idle_class;
        rq->current = this_cpu->idle;
    }
}

static void expect(bool good, const char *what, unsigned page, int got)
{
    if (!good) {
        test_fail(__FILE__, __LINE__, "%s: page %u of cpu %u, got %d", what, page, cpu_id(), got);
    }
}

static void touch_own(unsigned page, uint64_t *seed)
{
    struct page_model *model = &models[page];
    uint8_t value = (uint8_t)test_random(seed);

    if (test_random(seed) % 2 == 0) {
        int got = peek(addr_of(page));
        expect(got == (model->rights == 0xff ? -EFAULT : model->value), "read", page, got);
        return;
    }
    int err = poke(addr_of(page), value);
    int wanted = model->rights == 0xff ? -EFAULT : (model->rights & VM_WRITE) == 0 ? -EACCES : 0;
    expect(err == wanted, "write", page, err);
    if (err == 0) {
        model->value = value;
    }
}

static void change_own(unsigned page, uint64_t *seed)
{
    struct page_model *model = &models[page];
    uint32_t rights = test_random(seed) % 2 == 0 ? VM_READ : TEST_RW;
    int64_t result;

    switch (test_random(seed) % 4) {
    case 0:
    case 1:
        result = map_anon(space, addr_of(page), 1, TEST_RW | VM_NOHUGE);
        expect(result == (int64_t)addr_of(page), "map", page, (int)result);
        *model = (struct page_model){.rights = TEST_RW};
        break;
    case 2:
        result = vmspace_unmap(space, addr_of(page), PAGE_SIZE);
        expect(result == 0, "unmap", page, (int)result);
        model->rights = 0xff;
        break;
    default:
        result = vmspace_protect(space, addr_of(page), PAGE_SIZE, rights);
        expect(result == (model->rights == 0xff ? -ENOMEM : 0), "protect", page, (int)result);
        model->rights = result == 0 ? (uint8_t)rights : model->rights;
        break;
    }
}

static void fault_foreign(unsigned page, uint64_t *seed)
{
    unsigned flags = FAULT_USER | (test_random(seed) % 2 == 0 ? FAULT_WRITE : 0);
    int err = vmspace_fault(space, addr_of(page), flags);

    expect(err == 0 || err == -EFAULT || err == -EACCES, "foreign fault", page, err);
    (void)atomic_fetch_add_relaxed(&foreign_faults, err == 0);
}

static void page_out(uint64_t *seed)
{
    unsigned n = 1 + (unsigned)(test_random(seed) % 8);
    unsigned page = (unsigned)(test_random(seed) % (NPAGES - n));
    int err = vmspace_advise(space, addr_of(page), n * PAGE_SIZE, MADV_PAGEOUT);

    expect(err == 0 || err == -ENOMEM, "page out", page, err);
}

static void torture(void *arg, unsigned cpu)
{
    uint64_t seed = 100 + cpu;

    (void)arg;
    cpu_may_wait();
    space_switch(space);
    (void)__atomic_fetch_add(&ready, 1, __ATOMIC_SEQ_CST);
    while (__atomic_load_n(&ready, __ATOMIC_SEQ_CST) < NCPUS) {
        cpu_relax();
    }
    for (unsigned step = 0; step < NSTEPS; step++) {
        unsigned page = (unsigned)(test_random(&seed) % (NPAGES / NCPUS)) * NCPUS + cpu;
        unsigned what = (unsigned)(test_random(&seed) % 10);
        if (what < 5) {
            touch_own(page, &seed);
        } else if (what < 6 && swapping) {
            page_out(&seed);
        } else if (what < 7) {
            change_own(page, &seed);
        } else {
            fault_foreign((unsigned)(test_random(&seed) % NPAGES), &seed);
        }
    }
    space_leave();
}

static void torture_space(void)
{
    space = space_enter();
    vmspace_get(space);
    for (unsigned i = 0; i < NPAGES; i++) {
        models[i] = (struct page_model){.rights = 0xff};
    }
    ready = 0;
    host_sched_init();
    host_mmu_dawdles = true;
    host_run_on_cpus(NCPUS, torture, NULL);
    host_mmu_dawdles = false;
    space_switch(space);
    uint64_t mapped = 0;
    for (unsigned page = 0; page < NPAGES; page++) {
        int wanted = models[page].rights == 0xff ? -EFAULT : models[page].value;
        EXPECT_EQ(peek(addr_of(page)), wanted);
        mapped += models[page].rights != 0xff;
    }
    EXPECT_EQ(space->total_pages, mapped);
    EXPECT_LE(space->rss_anon, mapped);
    EXPECT_GT(foreign_faults, 150);
    EXPECT_EQ(vmspace_unmap(space, BASE, NPAGES * PAGE_SIZE), 0);
    EXPECT_EQ(space->rss_anon, 0);
    EXPECT_EQ(space->nregions, 0);
    EXPECT_EQ(space->mmu.ntables, 0);
    vmspace_put(space);
    space_leave();
}

TEST(torture, cpus_change_and_fault_in_one_space)
{
    torture_space();
}

TEST(torture, while_pages_go_to_swap)
{
    vm_test_init();
    swap_space_add(&swap);
    swapping = true;
    torture_space();
    swapping = false;
    test_note("%u pages stored, %u loaded", swap.stores, swap.loads);
    EXPECT_GT(swap.stores, 100);
    EXPECT_GT(swap.loads, 100);
    swap_space_remove(&swap);
}
