/*
 * Large leaves in the machine's own page tables, which the unit tests, with tables in software, do not see: made, looked at, given other
 * rights, cut, copied, moved and unmapped. What they show is memory that no machine has; nobody touches it.
 */
#include "kernel/base/errno.h"
#include "kernel/core/log.h"
#include "kernel/debug/selftest.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/frame.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/mmu_locks.h"

#define AT     GIB(3)
#define TO     GIB(9)
#define PA     GIB(200)
#define RIGHTS (MMU_READ | MMU_WRITE | MMU_USER)
#define SHOWN  (RIGHTS | MMU_SPECIAL)

#define WANT(cond)                                                                                 \
    do {                                                                                           \
        if (!(cond)) {                                                                             \
            log_err("mmu: line %d: expected %s", __LINE__, #cond);                                 \
            return false;                                                                          \
        }                                                                                          \
    } while (0)

struct spaces {
    struct mmu_locks locks[2];
    struct mmu_space space, other;
    struct mmu_flush flush;
};

/* va shows pa, in a leaf of that size, with these rights. */
static bool shows(struct mmu_space *space, vaddr_t va, paddr_t pa, unsigned size, unsigned rights)
{
    paddr_t found;
    unsigned flags;

    return mmu_query(space, va, &found, &flags) && found == pa &&
           (flags & (MMU_HUGE | MMU_GIANT)) == size && (flags & (MMU_READ | MMU_WRITE)) == rights &&
           (flags & MMU_SPECIAL) != 0 && (flags & MMU_UNCACHED) != 0;
}

static bool add_leaf(void *arg, vaddr_t va, paddr_t pa, unsigned flags, uint64_t npages)
{
    uint64_t *sums = arg;

    (void)va;
    (void)pa;
    sums[(flags & MMU_GIANT) != 0 ? 2 : ((flags & MMU_HUGE) != 0 ? 1 : 0)] += npages;
    return true;
}

static bool sums_are(struct mmu_space *space, vaddr_t start, vaddr_t end, uint64_t small,
                     uint64_t huge, uint64_t giant)
{
    uint64_t sums[3] = {0};

    (void)mmu_walk(space, start, end, add_leaf, sums);
    return sums[0] == small && sums[1] == huge && sums[2] == giant;
}

static bool take_all(void *arg, vaddr_t va, const paddr_t *pas, unsigned n, unsigned flags)
{
    (void)arg, (void)va, (void)pas, (void)n, (void)flags;
    return true;
}

static bool giant_whole(struct spaces *s)
{
    struct mmu_space *space = &s->space;
    const unsigned both = MMU_HUGE | MMU_GIANT;

    WANT(shows(space, AT + 12345 * PAGE_SIZE, PA + 12345 * PAGE_SIZE, both, MMU_READ | MMU_WRITE));
    WANT(sums_are(space, AT + 5 * PAGE_SIZE, TO, 0, 0, (GIANT_PAGE_SIZE >> PAGE_SHIFT) - 5));
    WANT(mmu_map(space, AT + PAGE_SIZE, PA, SHOWN) == -EEXIST);
    WANT(mmu_map_huge(space, AT + HUGE_PAGE_SIZE, PA, SHOWN) == -EEXIST);
    WANT(mmu_map_giant(space, AT, PA, SHOWN) == -EEXIST);
    WANT(mmu_skip_hole(space, 0, TO) == AT);
    WANT(mmu_age(space, AT + PAGE_SIZE) && !mmu_age(space, AT + PAGE_SIZE));
    /* Nobody may access it, and again. */
    const unsigned all = MMU_READ | MMU_WRITE | MMU_EXEC;
    WANT(mmu_protect(space, AT, AT + GIANT_PAGE_SIZE, 0, all, &s->flush) == 0);
    WANT(shows(space, AT + PAGE_SIZE, PA + PAGE_SIZE, both, 0));
    WANT(mmu_protect(space, AT, AT + GIANT_PAGE_SIZE, MMU_READ, 0, &s->flush) == 0);
    WANT(shows(space, AT + PAGE_SIZE, PA + PAGE_SIZE, both, MMU_READ));
    mmu_replace_huge(space, AT + PAGE_SIZE, PA, SHOWN | MMU_UNCACHED, &s->flush);
    WANT(shows(space, AT, PA, both, MMU_READ | MMU_WRITE));
    WANT(mmu_cut(space, AT) == 0 && mmu_cut(space, AT + GIANT_PAGE_SIZE) == 0);
    WANT(shows(space, AT, PA, both, MMU_READ | MMU_WRITE));
    /* Whole to another space, and to another place. */
    WANT(mmu_copy(&s->other, space, AT, AT + GIANT_PAGE_SIZE, true, &s->flush, take_all, NULL) ==
         0);
    WANT(shows(&s->other, AT, PA, both, MMU_READ) && shows(space, AT, PA, both, MMU_READ));
    write_lock(&s->locks[1].shape);
    WANT(mmu_move(&s->other, AT, TO, GIANT_PAGE_SIZE, &s->flush) == 0);
    write_unlock(&s->locks[1].shape);
    WANT(shows(&s->other, TO + PAGE_SIZE, PA + PAGE_SIZE, both, MMU_READ));
    WANT(mmu_skip_hole(&s->other, 0, UINT64_MAX >> 20) == TO);
    return true;
}

static bool giant_parts(struct spaces *s)
{
    const uint64_t pages = GIANT_PAGE_SIZE >> PAGE_SHIFT, block = HUGE_PAGE_SIZE >> PAGE_SHIFT;
    struct mmu_space *space = &s->space;

    /* Other rights for a page cut out 2 MiB, and of these the page. */
    vaddr_t at = AT + 3 * HUGE_PAGE_SIZE + 7 * PAGE_SIZE;
    WANT(mmu_protect(space, at, at + PAGE_SIZE, MMU_WRITE, 0, &s->flush) == 0);
    WANT(sums_are(space, 0, TO, block, pages - block, 0));
    WANT(shows(space, at, PA + (at - AT), 0, MMU_READ | MMU_WRITE));
    WANT(shows(space, at + PAGE_SIZE, PA + (at - AT) + PAGE_SIZE, 0, MMU_READ));
    WANT(shows(space, at + HUGE_PAGE_SIZE, PA + (at - AT) + HUGE_PAGE_SIZE, MMU_HUGE, MMU_READ));
    /* What lies over both ends goes, the rest stays. */
    vaddr_t end = AT + GIANT_PAGE_SIZE;
    WANT(mmu_unmap(space, AT + HUGE_PAGE_SIZE, end - PAGE_SIZE, &s->flush, NULL, NULL) == 0);
    WANT(sums_are(space, 0, TO, 1, block, 0));
    WANT(shows(space, end - PAGE_SIZE, PA + GIANT_PAGE_SIZE - PAGE_SIZE, 0, MMU_READ));
    /* The other space's is cut at 2 MiB only. */
    WANT(mmu_cut(&s->other, TO + HUGE_PAGE_SIZE) == 0);
    WANT(sums_are(&s->other, 0, UINT64_MAX >> 20, 0, pages, 0));
    return true;
}

/* 2 MiB: the address survives that nobody may access it. */
static bool huge_hidden(struct spaces *s)
{
    const unsigned all = MMU_READ | MMU_WRITE | MMU_EXEC;
    struct mmu_space *space = &s->space;
    vaddr_t at = TO, end = TO + HUGE_PAGE_SIZE;

    WANT(mmu_map_huge(space, at, PA, SHOWN | MMU_UNCACHED) == 0);
    WANT(mmu_protect(space, at, end, 0, all, &s->flush) == 0);
    WANT(shows(space, at + PAGE_SIZE, PA + PAGE_SIZE, MMU_HUGE, 0));
    WANT(mmu_split_huge(space, at) == 0);
    WANT(shows(space, at + PAGE_SIZE, PA + PAGE_SIZE, 0, 0));
    WANT(mmu_protect(space, at, end, MMU_READ, 0, &s->flush) == 0);
    WANT(shows(space, at + PAGE_SIZE, PA + PAGE_SIZE, 0, MMU_READ));
    return true;
}

/* Leaves to execute are flushed when they are cut, others are not; and none is lost. */
static bool huge_executable(struct spaces *s)
{
    struct mmu_space *space = &s->space;
    const vaddr_t at = TO + GIANT_PAGE_SIZE;
    struct mmu_flush flush;
    paddr_t pa;
    unsigned flags;

    mmu_flush_init(&flush, space);
    flush.floor = at;
    flush.ceiling = at + HUGE_PAGE_SIZE;
    for (unsigned exec = 0; exec <= MMU_EXEC; exec += MMU_EXEC) {
        WANT(mmu_map_huge(space, at, PA, SHOWN | exec) == 0);
        uint64_t generation = space->generation;
        WANT(mmu_cut(space, at + 5 * PAGE_SIZE) == 0);
        WANT(space->generation == generation + (exec != 0));
        WANT(mmu_query(space, at + 7 * PAGE_SIZE, &pa, &flags) && pa == PA + 7 * PAGE_SIZE);
        WANT((flags & (MMU_HUGE | MMU_READ | MMU_WRITE | MMU_EXEC)) ==
             (MMU_READ | MMU_WRITE | exec));
        WANT(mmu_unmap(space, at, at + HUGE_PAGE_SIZE, &flush, NULL, NULL) == 0);
        mmu_flush_finish(&flush);
    }
    return true;
}

static bool run(struct spaces *s)
{
    int err = mmu_map_giant(&s->space, AT, PA, SHOWN | MMU_UNCACHED);
    bool ok = err == -EOPNOTSUPP || (err == 0 && giant_whole(s) && giant_parts(s));

    return huge_hidden(s) && huge_executable(s) && ok;
}

static bool large_leaves(void)
{
    struct spaces *s = kzalloc(ALIGN_UP(sizeof(*s), PAGE_SIZE)); /* pages: for its alignment */
    bool ok = false;

    if (s == NULL) {
        return false;
    }
    mmu_locks_init(&s->locks[0]);
    mmu_locks_init(&s->locks[1]);
    if (mmu_space_init(&s->space, &s->locks[0]) == 0) {
        if (mmu_space_init(&s->other, &s->locks[1]) == 0) {
            mmu_flush_init(&s->flush, &s->space);
            ok = run(s);
            (void)mmu_unmap(&s->other, 0, UINT64_MAX >> 20, &s->flush, NULL, NULL);
            (void)mmu_unmap(&s->space, 0, UINT64_MAX >> 20, &s->flush, NULL, NULL);
            mmu_flush_finish(&s->flush);
            mmu_space_fini(&s->other);
        }
        mmu_space_fini(&s->space);
    }
    kfree(s);
    return ok;
}

SELFTEST(mmu_large) = {
    .group = "mmu",
    .name = "large leaves are made, looked at, cut, copied, moved and unmapped",
    .run = large_leaves,
};
