/*
 * /proc/sysvipc, and the limits of System V objects and of POSIX message queues (proc(5), sysvipc(7)).
 */
#include "kernel/fs/procfs/setting.h"
#include "kernel/ipc/mqueue.h"
#include "kernel/ipc/msg.h"
#include "kernel/ipc/sem.h"
#include "kernel/ipc/shm.h"
#include "kernel/ipc/sysv.h"

static int shm_show(struct text *text)
{
    struct shmid64_ds stat;
    uint64_t rss, swap;
    int id;

    text_puts(text,
              "       key      shmid perms                  size  cpid  lpid nattch   uid   gid  "
              "cuid  cgid      atime      dtime      ctime                   rss"
              "                  swap\n");
    for (int at = shm_next(0, &stat, &id, &rss, &swap); at >= 0;
         at = shm_next((unsigned)at + 1, &stat, &id, &rss, &swap)) {
        text_printf(text, "%10d %10d  %4o %21lu %5u %5u  %5lu %5u %5u %5u %5u", stat.shm_perm.key,
                    id, stat.shm_perm.mode, stat.shm_segsz, (unsigned)stat.shm_cpid,
                    (unsigned)stat.shm_lpid, stat.shm_nattch, stat.shm_perm.uid, stat.shm_perm.gid,
                    stat.shm_perm.cuid, stat.shm_perm.cgid);
        text_printf(text, " %10ld %10ld %10ld %21llu %21llu\n", stat.shm_atime, stat.shm_dtime,
                    stat.shm_ctime, (unsigned long long)rss, (unsigned long long)swap);
    }
    return 0;
}
PROC_FILE(sysvipc_shm) = {.path = "sysvipc/shm", .show = shm_show};

static int sem_show(struct text *text)
{
    struct semid64_ds stat;
    int id;

    text_puts(text,
              "       key      semid perms      nsems   uid   gid  cuid  cgid      otime      "
              "ctime\n");
    for (int at = sem_next(0, &stat, &id); at >= 0; at = sem_next((unsigned)at + 1, &stat, &id)) {
        text_printf(text, "%10d %10d  %4o %10lu %5u %5u %5u %5u %10lu %10lu\n", stat.sem_perm.key,
                    id, stat.sem_perm.mode, stat.sem_nsems, stat.sem_perm.uid, stat.sem_perm.gid,
                    stat.sem_perm.cuid, stat.sem_perm.cgid, stat.sem_otime, stat.sem_ctime);
    }
    return 0;
}
PROC_FILE(sysvipc_sem) = {.path = "sysvipc/sem", .show = sem_show};

static int msg_show(struct text *text)
{
    struct msqid64_ds stat;
    int id;

    text_puts(text, "       key      msqid perms      cbytes       qnum lspid lrpid   uid   gid  "
                    "cuid  cgid      stime      rtime      ctime\n");
    for (int at = msg_next(0, &stat, &id); at >= 0; at = msg_next((unsigned)at + 1, &stat, &id)) {
        text_printf(text, "%10d %10d  %4o  %10lu %10lu %5u %5u %5u %5u %5u %5u", stat.msg_perm.key,
                    id, stat.msg_perm.mode, stat.msg_cbytes, stat.msg_qnum,
                    (unsigned)stat.msg_lspid, (unsigned)stat.msg_lrpid, stat.msg_perm.uid,
                    stat.msg_perm.gid, stat.msg_perm.cuid, stat.msg_perm.cgid);
        text_printf(text, " %10ld %10ld %10ld\n", stat.msg_stime, stat.msg_rtime, stat.msg_ctime);
    }
    return 0;
}
PROC_FILE(sysvipc_msg) = {.path = "sysvipc/msg", .show = msg_show};

/* ---- limits ---- */

#define LIMIT(id_, path_, member_)                                                                 \
    static int id_##_show(struct text *text)                                                       \
    {                                                                                              \
        text_printf(text, "%llu\n", (unsigned long long)atomic_load_relaxed(&shm_limits.member_)); \
        return 0;                                                                                  \
    }                                                                                              \
    static int id_##_write(char *value, size_t len)                                                \
    {                                                                                              \
        uint64_t number;                                                                           \
        (void)len;                                                                                 \
        if (str_to_u64(value, 0, &number) < 0) {                                                   \
            return -EINVAL;                                                                        \
        }                                                                                          \
        atomic_store_relaxed(&shm_limits.member_, number);                                         \
        return 0;                                                                                  \
    }                                                                                              \
    PROC_FILE(sys_##id_) = {.path = (path_), .mode = 0644, .show = id_##_show, .write = id_##_write}

LIMIT(shmmax, "sys/kernel/shmmax", max_bytes);
LIMIT(shmall, "sys/kernel/shmall", all_pages);
PROC_SETTING(shmmni, "sys/kernel/shmmni", shm_limits.max_number, 0, SYSV_NUMBER_MAX);
PROC_SETTING(msgmax, "sys/kernel/msgmax", msg_limits.max_bytes, 0, INT32_MAX);
PROC_SETTING(msgmnb, "sys/kernel/msgmnb", msg_limits.queue_bytes, 0, INT32_MAX);
PROC_SETTING(msgmni, "sys/kernel/msgmni", msg_limits.queues, 0, SYSV_NUMBER_MAX);

static int sem_limits_show(struct text *text)
{
    text_printf(text, "%u\t%u\t%u\t%u\n", atomic_load_relaxed(&sem_limits.per_set),
                atomic_load_relaxed(&sem_limits.all), atomic_load_relaxed(&sem_limits.operations),
                atomic_load_relaxed(&sem_limits.sets));
    return 0;
}

/* Up to four numbers: those that are missing stay. */
static int sem_limits_write(char *value, size_t len)
{
    static const int64_t most[] = {65535, INT32_MAX, 1000, SYSV_NUMBER_MAX};
    uint32_t *limits[] = {&sem_limits.per_set, &sem_limits.all, &sem_limits.operations,
                          &sem_limits.sets};
    int64_t numbers[ARRAY_SIZE(limits)];
    int n = proc_numbers_parse(value, len, 0, INT32_MAX, numbers, ARRAY_SIZE(limits));

    for (int i = 0; i < n; i++) {
        if (numbers[i] > most[i]) {
            return -EINVAL;
        }
    }
    for (int i = 0; i < n; i++) {
        atomic_store_relaxed(limits[i], (uint32_t)numbers[i]);
    }
    return MIN(n, 0);
}
PROC_FILE(sys_sem) = {
    .path = "sys/kernel/sem", .mode = 0644, .show = sem_limits_show, .write = sem_limits_write};

/* mq_overview(7), "/proc interfaces". */
PROC_SETTING(mq_queues, "sys/fs/mqueue/queues_max", mq_limits.queues, 0, INT32_MAX);
PROC_SETTING(mq_messages, "sys/fs/mqueue/msg_max", mq_limits.messages, 1, MQ_MESSAGES_MAX);
PROC_SETTING(mq_bytes, "sys/fs/mqueue/msgsize_max", mq_limits.message_bytes, 128,
             MQ_MESSAGE_BYTES_MAX);
PROC_SETTING(mq_default_messages, "sys/fs/mqueue/msg_default", mq_limits.default_messages, 1,
             MQ_MESSAGES_MAX);
PROC_SETTING(mq_default_bytes, "sys/fs/mqueue/msgsize_default", mq_limits.default_bytes, 128,
             MQ_MESSAGE_BYTES_MAX);
