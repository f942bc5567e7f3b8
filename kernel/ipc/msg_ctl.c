/*
 * System V message queues: msgctl(2), and what /proc/sysvipc/msg shows.
 */
#include <linux/capability.h>

#include "kernel/core/time.h"
#include "kernel/ipc/msg_impl.h"

#define READABLE 0444u

static void fill(struct msg_queue *queue, struct msqid64_ds *stat)
{
    spin_lock(&queue->lock);
    stat->msg_stime = queue->stime / NS_PER_S;
    stat->msg_rtime = queue->rtime / NS_PER_S;
    stat->msg_ctime = queue->ctime / NS_PER_S;
    stat->msg_cbytes = queue->bytes;
    stat->msg_qnum = queue->number;
    stat->msg_qbytes = queue->max_bytes;
    stat->msg_lspid = queue->last_sender;
    stat->msg_lrpid = queue->last_receiver;
    spin_unlock(&queue->lock);
}

int msg_stat(int id, int cmd, struct msqid64_ds *ret_stat)
{
    struct msg_queue *queue = NULL;
    struct msqid64_ds stat = {0};
    int result = -EINVAL;

    spin_lock(&msg_table.lock);
    struct sysv_object *object = sysv_select_locked(&msg_table, id, cmd != IPC_STAT);
    if (object != NULL) {
        result = cmd == MSG_STAT_ANY ? 0 : sysv_permitted_locked(object, READABLE);
    }
    if (result == 0) {
        queue = msg_queue_of(object);
        refcount_get(&queue->refs);
        stat.msg_perm = sysv_perm_locked(object);
        result = cmd == IPC_STAT ? 0 : object->id;
    }
    spin_unlock(&msg_table.lock);
    if (result >= 0) {
        fill(queue, &stat);
        msg_queue_put(queue);
        *ret_stat = stat;
    }
    return result;
}

/* The queue with this identifier, referenced, if the current thread may change it: its new owner and permissions, or out of the table. */
static int control(int id, const struct msqid64_ds *stat, struct msg_queue **ret_queue)
{
    int err = -EINVAL;

    spin_lock(&msg_table.lock);
    struct sysv_object *object = sysv_find_locked(&msg_table, id);
    if (object != NULL) {
        err = sysv_controlled_locked(object, CAP_SYS_ADMIN);
    }
    if (err == 0 && stat != NULL &&
        stat->msg_qbytes > atomic_load_relaxed(&msg_limits.queue_bytes) &&
        !current_has_cap(CAP_SYS_RESOURCE)) {
        err = -EPERM;
    }
    if (err == 0 && stat != NULL) {
        err = sysv_set_locked(object, &stat->msg_perm);
    } else if (err == 0) {
        sysv_erase_locked(&msg_table, object);
    }
    if (err == 0) {
        *ret_queue = msg_queue_of(object);
        if (stat != NULL) {
            refcount_get(&(*ret_queue)->refs);
        }
    }
    spin_unlock(&msg_table.lock);
    return err;
}

int msg_set(int id, const struct msqid64_ds *stat)
{
    struct msg_queue *queue;
    int err = control(id, stat, &queue);

    if (err < 0) {
        return err;
    }
    spin_lock(&queue->lock);
    queue->max_bytes = stat->msg_qbytes;
    queue->ctime = ktime_realtime_coarse();
    spin_unlock(&queue->lock);
    msg_wake_all(queue, &queue->senders, 0); /* there may be room now */
    msg_queue_put(queue);
    return 0;
}

int msg_remove(int id)
{
    struct msg_queue *queue;
    int err = control(id, NULL, &queue);

    if (err < 0) {
        return err;
    }
    spin_lock(&queue->lock);
    queue->removed = true;
    spin_unlock(&queue->lock);
    msg_wake_all(queue, &queue->receivers, -EIDRM);
    msg_wake_all(queue, &queue->senders, -EIDRM);
    msg_queue_put(queue); /* the table's */
    return 0;
}

/* ---- the whole ---- */

/* Bytes and messages in all queues. The table is locked for one at a time: there may be many. */
static void count_all(uint64_t *ret_bytes, uint64_t *ret_number)
{
    struct sysv_object *object;

    *ret_bytes = *ret_number = 0;
    for (uint64_t index = 0;; index++) {
        spin_lock(&msg_table.lock);
        object = sysv_next_locked(&msg_table, &index);
        if (object != NULL) {
            *ret_bytes += READ_ONCE(msg_queue_of(object)->bytes);
            *ret_number += READ_ONCE(msg_queue_of(object)->number);
        }
        spin_unlock(&msg_table.lock);
        if (object == NULL) {
            return;
        }
    }
}

int msg_info(bool usage, struct msginfo *ret_info)
{
    uint32_t max_bytes = atomic_load_relaxed(&msg_limits.max_bytes);
    uint32_t queue_bytes = atomic_load_relaxed(&msg_limits.queue_bytes);
    uint32_t queues = atomic_load_relaxed(&msg_limits.queues);
    uint64_t bytes, number;

    *ret_info = (struct msginfo){
        .msgmni = (int)queues,
        .msgmax = (int)max_bytes,
        .msgmnb = (int)queue_bytes,
        .msgssz = 16, /* what msgctl(2) calls unused, as Linux gives it */
        .msgseg = 0xffff,
        .msgmap = (int)queue_bytes,
        .msgpool = (int)((uint64_t)queues * queue_bytes / 1024),
        .msgtql = (int)queue_bytes,
    };
    if (usage) {
        count_all(&bytes, &number);
        ret_info->msgpool = (int)READ_ONCE(msg_table.number);
        ret_info->msgmap = (int)number;
        ret_info->msgtql = (int)bytes;
    }
    spin_lock(&msg_table.lock);
    int highest = sysv_highest_index_locked(&msg_table);
    spin_unlock(&msg_table.lock);
    return highest;
}

int msg_next(unsigned index, struct msqid64_ds *ret_stat, int *ret_id)
{
    for (uint64_t at = index;; at++) {
        spin_lock(&msg_table.lock);
        struct sysv_object *object = sysv_next_locked(&msg_table, &at);
        spin_unlock(&msg_table.lock);
        if (object == NULL) {
            return -ENOENT;
        }
        int id = msg_stat((int)at, MSG_STAT_ANY, ret_stat);
        if (id >= 0) { /* else it went meanwhile */
            *ret_id = id;
            return (int)at;
        }
    }
}
