/*
 * /proc/sysvipc and the limits in /proc/sys/kernel (proc(5), sysvipc(7)).
 */
#include "kernel/fs/procfs/setting.h"
#include "kernel/ipc/shm.h"

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
PROC_SETTING(shmmni, "sys/kernel/shmmni", shm_limits.max_number, 0, SHM_NUMBER_MAX);
