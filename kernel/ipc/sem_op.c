/*
 * Semaphore operations, all of a call or none, and who waits for them to be possible.
 *
 * A call with one operation waits at its semaphore, one with several at the set. Whoever changes values performs what has become
 * possible in the name of those who wait, and wakes them with the result; so a value that was enough for somebody cannot be taken away
 * before that thread runs.
 *
 * A call may have hundreds of operations, a set thousands of semaphores: so the set's lock is one that sleeps.
 */
#include "kernel/core/time.h"
#include "kernel/ipc/sem_impl.h"

#define BRIEF_OPS 16u /* of a call: more take long */
#define WAITING   1   /* sem_waiter.status: not done yet */

struct sem_waiter {
    struct list_node node;    /* [s] */
    struct thread *thread;    /* [I] */
    const struct sembuf *ops; /* [I] */
    unsigned nops;            /* [I] */
    int pid;                  /* [I] */
    struct sem_undo *undo;    /* [I] NULL: nothing is to be undone */
    unsigned blocking;        /* [s] the operation that is not possible */
    int status;               /* [s] the result, once it is out of its list */
};

/* Take back the first n operations. */
static void revert_locked(struct sem_set *set, struct sem_waiter *call, unsigned n)
{
    while (n-- > 0) {
        const struct sembuf *op = &call->ops[n];
        set->sems[op->sem_num].value -= op->sem_op;
        if ((op->sem_flg & SEM_UNDO) != 0) {
            call->undo->adjust[op->sem_num] += op->sem_op;
        }
    }
}

/* One operation. WAITING: it is not possible now. -ERANGE: never. */
static int operate_locked(struct sem_set *set, struct sem_waiter *call, const struct sembuf *op)
{
    struct sem *sem = &set->sems[op->sem_num];
    int value = sem->value + op->sem_op;

    if (value < 0 || (op->sem_op == 0 && value != 0)) {
        return WAITING;
    }
    if (value > SEM_VALUE_MAX) {
        return -ERANGE;
    }
    if ((op->sem_flg & SEM_UNDO) != 0) {
        int adjust = call->undo->adjust[op->sem_num] - op->sem_op;
        if (adjust < -SEM_VALUE_MAX - 1 || adjust > SEM_VALUE_MAX) {
            return -ERANGE;
        }
        call->undo->adjust[op->sem_num] = (int16_t)adjust;
    }
    sem->value = value;
    return 0;
}

/* All operations of a call, or none. 0, WAITING, -EAGAIN (it must not wait), -ERANGE. */
static int perform_locked(struct sem_set *set, struct sem_waiter *call)
{
    for (unsigned i = 0; i < call->nops; i++) {
        int result = operate_locked(set, call, &call->ops[i]);
        if (result != 0) {
            revert_locked(set, call, i);
            call->blocking = i;
            return result == WAITING && (call->ops[i].sem_flg & IPC_NOWAIT) != 0 ? -EAGAIN : result;
        }
    }
    for (unsigned i = 0; i < call->nops; i++) {
        set->sems[call->ops[i].sem_num].pid = call->pid;
    }
    set->otime = ktime_realtime_coarse();
    return 0;
}

/* ---- waking ---- */

static void finish_locked(struct sem_waiter *waiter, int status)
{
    list_remove(&waiter->node);
    waiter->status = status;
    (void)thread_wake(waiter->thread);
}

static bool call_alters(const struct sem_waiter *call)
{
    for (unsigned i = 0; i < call->nops; i++) {
        if (call->ops[i].sem_op != 0) {
            return true;
        }
    }
    return false;
}

/* Look once at all who wait in a list. True: somebody changed values. */
static bool scan_locked(struct sem_set *set, struct list_node *waiters)
{
    struct sem_waiter *waiter, *next;
    bool changed = false;

    list_for_each_safe (waiter, next, waiters, node) {
        int result = perform_locked(set, waiter);
        if (result != WAITING) {
            changed |= result == 0 && call_alters(waiter);
            finish_locked(waiter, result);
        }
    }
    return changed;
}

/* Those with one operation on this semaphore. Of what they do, only that the value becomes zero can help others of them. */
static bool scan_sem_locked(struct sem_set *set, unsigned num)
{
    struct sem *sem = &set->sems[num];
    bool changed = false;

    while (!list_empty(&sem->waiters) && scan_locked(set, &sem->waiters)) {
        changed = true;
        if (sem->value != 0) {
            break;
        }
    }
    return changed;
}

/* Several operations of one call may have become possible by any change, and make any other possible. */
static void scan_several_locked(struct sem_set *set)
{
    struct sem_waiter *waiter, *next;
    bool changed;

    do {
        changed = false;
        list_for_each_safe (waiter, next, &set->waiters, node) {
            int result = perform_locked(set, waiter);
            if (result == WAITING) {
                continue;
            }
            for (unsigned i = 0; result == 0 && i < waiter->nops; i++) {
                changed |= waiter->ops[i].sem_op != 0;
                (void)scan_sem_locked(set, waiter->ops[i].sem_num);
            }
            finish_locked(waiter, result);
        }
    } while (changed);
}

/* After these operations. */
static void wake_after_locked(struct sem_set *set, const struct sembuf *ops, unsigned nops)
{
    bool changed = false;

    for (unsigned i = 0; i < nops; i++) {
        if (ops[i].sem_op != 0) {
            changed = true;
            (void)scan_sem_locked(set, ops[i].sem_num);
        }
    }
    if (changed) {
        scan_several_locked(set);
    }
}

void sem_wake_locked(struct sem_set *set)
{
    for (unsigned i = 0; i < set->nsems; i++) {
        (void)scan_sem_locked(set, i);
    }
    scan_several_locked(set);
}

static void remove_all_locked(struct list_node *waiters)
{
    struct sem_waiter *waiter, *next;

    list_for_each_safe (waiter, next, waiters, node) {
        finish_locked(waiter, -EIDRM);
    }
}

void sem_wake_removed_locked(struct sem_set *set)
{
    for (unsigned i = 0; i < set->nsems; i++) {
        remove_all_locked(&set->sems[i].waiters);
    }
    remove_all_locked(&set->waiters);
}

static unsigned count_locked(struct list_node *waiters, unsigned num, bool for_zero)
{
    struct sem_waiter *waiter;
    unsigned n = 0;

    list_for_each (waiter, waiters, node) {
        const struct sembuf *op = &waiter->ops[waiter->blocking];
        n += op->sem_num == num && (op->sem_op == 0) == for_zero;
    }
    return n;
}

unsigned sem_count_waiters_locked(struct sem_set *set, unsigned num, bool for_zero)
{
    return count_locked(&set->sems[num].waiters, num, for_zero) +
           count_locked(&set->waiters, num, for_zero);
}

/* ---- semtimedop ---- */

static void wait_begin_locked(struct sem_set *set, struct sem_waiter *call)
{
    call->status = WAITING;
    list_push_back(call->nops == 1 ? &set->sems[call->ops[0].sem_num].waiters : &set->waiters,
                   &call->node);
}

/* Sleep until the call is done, its set removed, a signal pending, or the time over. */
static int wait_end(struct sem_set *set, struct sem_waiter *call, ktime_t deadline)
{
    int err = thread_sleep_for(atomic_load_relaxed(&call->status) != WAITING, deadline);

    mutex_lock(&set->lock);
    if (call->status == WAITING) {
        list_remove(&call->node);
        call->status = err == -ETIMEDOUT ? -EAGAIN : err;
    }
    mutex_unlock(&set->lock);
    return call->status;
}

/* What of its set the call needs: permissions, the largest number. Which of its operations are to be undone? */
static bool look_over(const struct sembuf *ops, unsigned nops, uint32_t *ret_rights,
                      unsigned *ret_largest)
{
    bool undo = false, alters = false;

    *ret_largest = 0;
    for (unsigned i = 0; i < nops; i++) {
        *ret_largest = MAX(*ret_largest, ops[i].sem_num);
        undo |= (ops[i].sem_flg & SEM_UNDO) != 0;
        alters |= ops[i].sem_op != 0;
    }
    *ret_rights = alters ? 0222 : 0444;
    return undo;
}

int sem_operate(int id, const struct sembuf *ops, unsigned nops, ktime_t deadline)
{
    struct sem_waiter call = {
        .thread = current_thread(), .ops = ops, .nops = nops, .pid = sysv_current_nr()};
    struct sem_set *set;
    uint32_t rights;
    unsigned largest;
    bool undo = look_over(ops, nops, &rights, &largest);
    int result = sem_set_get(id, rights, &set);

    if (result < 0) {
        return result;
    }
    if (largest >= set->nsems) {
        result = -EFBIG;
    } else if (undo) {
        result = sem_undo_get(set, &call.undo);
    }
    if (result < 0) {
        sem_set_put(set);
        return result;
    }
    mutex_lock(&set->lock);
    /* Who is woken wants the lock: it is not to take the CPU before that is free, unless the call takes long. */
    const bool brief = nops <= BRIEF_OPS;
    if (likely(brief)) {
        preempt_disable();
    }
    result = set->removed ? -EIDRM : perform_locked(set, &call);
    const bool waits = result == WAITING;
    if (waits) {
        wait_begin_locked(set, &call);
    } else if (result == 0) {
        wake_after_locked(set, ops, nops);
    }
    mutex_unlock(&set->lock);
    if (likely(brief)) {
        preempt_enable();
    }
    if (waits) {
        result = wait_end(set, &call, deadline);
    }
    sem_set_put(set);
    return result;
}
