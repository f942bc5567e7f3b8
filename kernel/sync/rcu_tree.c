/*
 * The bookkeeping of grace periods: see rcu_tree.h.
 *
 * Why a late reader is not waited for: it was switched out on a CPU that had reported before, so its read section began after that report,
 * which is after the grace period began. A reader already left behind stays where it is when it is switched out again
 * elsewhere: what it is in the way of was decided when its section met the scheduler first.
 */
#include "kernel/sync/rcu_tree.h"

void rcu_tree_init(struct rcu_tree *tree)
{
    for (unsigned i = 0; i < RCU_LEAVES; i++) {
        struct rcu_leaf *leaf = &tree->leaves[i];
        spin_init(&leaf->lock, "rcu leaf");
        leaf->online = leaf->waiting = leaf->wanted = 0;
        leaf->complete = true;
        leaf->gp = 0;
        list_init(&leaf->readers);
        list_init(&leaf->latecomers);
    }
    atomic_store_relaxed(&tree->waiting, 0);
}

static struct rcu_leaf *leaf_of(struct rcu_tree *tree, unsigned cpu)
{
    return &tree->leaves[cpu / RCU_LEAF_CPUS];
}

static uint32_t bit_of(unsigned cpu)
{
    return 1u << (cpu % RCU_LEAF_CPUS);
}

/* True the first time that nobody of the leaf is in the way: the caller reports it to the root, without the lock. */
static bool leaf_completes_locked(struct rcu_leaf *leaf)
{
    if (leaf->complete || leaf->waiting != 0 || !list_empty(&leaf->readers)) {
        return false;
    }
    leaf->complete = true;
    return true;
}

/* The acquire and release of all who report chain their read sections before what the last one does next. */
static bool root_report(struct rcu_tree *tree, const struct rcu_leaf *leaf)
{
    uint32_t bit = 1u << (leaf - tree->leaves);

    return (atomic_fetch_and(&tree->waiting, ~bit) & ~bit) == 0;
}

void rcu_tree_cpu_online(struct rcu_tree *tree, unsigned cpu)
{
    struct rcu_leaf *leaf = leaf_of(tree, cpu);
    uint64_t flags = spin_lock_irqsave(&leaf->lock);

    leaf->online |= bit_of(cpu);
    spin_unlock_irqrestore(&leaf->lock, flags);
}

bool rcu_tree_cpu_offline(struct rcu_tree *tree, unsigned cpu)
{
    struct rcu_leaf *leaf = leaf_of(tree, cpu);
    uint64_t flags = spin_lock_irqsave(&leaf->lock);

    leaf->online &= ~bit_of(cpu);
    leaf->waiting &= ~bit_of(cpu);
    leaf->wanted &= ~bit_of(cpu);
    bool completes = leaf_completes_locked(leaf);
    spin_unlock_irqrestore(&leaf->lock, flags);
    return completes && root_report(tree, leaf);
}

/* Strike out those of leaf->waiting that are quiet. */
static void leaf_scan_locked(struct rcu_leaf *leaf, unsigned first_cpu, rcu_quiet_fn *is_quiet)
{
    for (uint32_t left = leaf->waiting; left != 0; left &= left - 1) {
        unsigned n = (unsigned)__builtin_ctz(left);
        if (is_quiet(first_cpu + n)) {
            leaf->waiting &= ~(1u << n);
        }
    }
}

bool rcu_tree_start(struct rcu_tree *tree, uint64_t gp, rcu_quiet_fn *is_quiet)
{
    bool done = false;

    /* All leaves at first, so that none completes the grace period before the others know of it. */
    atomic_store_relaxed(&tree->waiting, (1u << RCU_LEAVES) - 1);
    for (unsigned i = 0; i < RCU_LEAVES; i++) {
        struct rcu_leaf *leaf = &tree->leaves[i];
        uint64_t flags = spin_lock_irqsave(&leaf->lock);
        leaf->gp = gp;
        leaf->complete = false;
        leaf->waiting = leaf->online;
        list_splice_back(&leaf->readers, &leaf->latecomers);
        leaf_scan_locked(leaf, i * RCU_LEAF_CPUS, is_quiet);
        bool completes = leaf_completes_locked(leaf);
        spin_unlock_irqrestore(&leaf->lock, flags);
        done |= completes && root_report(tree, leaf);
    }
    return done;
}

bool rcu_tree_scan(struct rcu_tree *tree, rcu_quiet_fn *is_quiet)
{
    bool done = false;

    for (unsigned i = 0; i < RCU_LEAVES; i++) {
        struct rcu_leaf *leaf = &tree->leaves[i];
        if ((atomic_load_relaxed(&tree->waiting) & (1u << i)) == 0) {
            continue;
        }
        uint64_t flags = spin_lock_irqsave(&leaf->lock);
        leaf_scan_locked(leaf, i * RCU_LEAF_CPUS, is_quiet);
        bool completes = leaf_completes_locked(leaf);
        spin_unlock_irqrestore(&leaf->lock, flags);
        done |= completes && root_report(tree, leaf);
    }
    return done;
}

bool rcu_tree_pass(struct rcu_tree *tree, unsigned cpu, struct rcu_reader *reader, uint64_t *ret_gp)
{
    struct rcu_leaf *leaf = leaf_of(tree, cpu);
    uint32_t bit = bit_of(cpu);
    uint64_t flags = spin_lock_irqsave(&leaf->lock);

    if (reader != NULL && reader->leaf == NULL) {
        reader->leaf = leaf;
        list_push_back((leaf->waiting & bit) != 0 ? &leaf->readers : &leaf->latecomers,
                       &reader->node);
    }
    leaf->waiting &= ~bit;
    *ret_gp = leaf->gp;
    bool completes = leaf_completes_locked(leaf);
    spin_unlock_irqrestore(&leaf->lock, flags);
    return completes && root_report(tree, leaf);
}

bool rcu_tree_reader_done(struct rcu_tree *tree, struct rcu_reader *reader)
{
    struct rcu_leaf *leaf = reader->leaf;
    uint64_t flags = spin_lock_irqsave(&leaf->lock);

    list_remove(&reader->node);
    reader->leaf = NULL;
    bool completes = leaf_completes_locked(leaf);
    spin_unlock_irqrestore(&leaf->lock, flags);
    return completes && root_report(tree, leaf);
}

void rcu_tree_want(struct rcu_tree *tree, unsigned cpu)
{
    struct rcu_leaf *leaf = leaf_of(tree, cpu);
    uint64_t flags = spin_lock_irqsave(&leaf->lock);

    leaf->wanted |= bit_of(cpu);
    spin_unlock_irqrestore(&leaf->lock, flags);
}

uint32_t rcu_tree_take_wanted(struct rcu_tree *tree, unsigned index, bool (*ready)(unsigned cpu))
{
    struct rcu_leaf *leaf = &tree->leaves[index];
    uint64_t flags = spin_lock_irqsave(&leaf->lock);
    uint32_t taken = 0;

    for (uint32_t left = leaf->wanted; left != 0; left &= left - 1) {
        unsigned n = (unsigned)__builtin_ctz(left);
        if (ready(index * RCU_LEAF_CPUS + n)) {
            taken |= 1u << n;
        }
    }
    leaf->wanted &= ~taken;
    spin_unlock_irqrestore(&leaf->lock, flags);
    return taken;
}
