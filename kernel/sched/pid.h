/*
 * struct pid: a process, process-group or session number with its own life, so that a stale number never names a newcomer. It lives
 * here, low, because terminals and files refer to groups and sessions without knowing processes.
 *
 * Locks: the table's spinlock; refs atomic. What hangs on it (processes of the group ...) belongs to kernel/proc, which
 * keeps it under its own tree lock.
 */
#pragma once

#include <asm/siginfo.h>

#include "kernel/base/list.h"
#include "kernel/sched/wait.h"
#include "kernel/sync/refcount.h"

#define PID_MAX_DEFAULT 32768

struct thread;
struct process;

struct pid {
    int nr; /* [I] */
    struct refcount refs;
    struct process *process; /* [proc tree lock] the process with this pid, NULL once reaped */
    struct thread *thread;   /* [proc tree lock] the thread with this tid */
    struct list_node group_members;   /* [proc tree lock] struct process.group_node */
    struct list_node session_members; /* [proc tree lock] struct process.session_node */
    struct wait_queue ended;          /* pidfd: the process has ended */
};

/*
 * A number with one reference: `wanted` (1 .. PID_MAX_DEFAULT - 1), or (0) the next one that is free. NULL: *ret_err is -ENOMEM, -EAGAIN
 * when all are in use, -EEXIST when the wanted one is.
 */
struct pid *pid_alloc(int wanted, int *ret_err);
/* The pid with this number, referenced, or NULL. */
struct pid *pid_find(int nr);
void pid_put(struct pid *pid); /* NULL is fine; the number is free again with the last reference */
static inline struct pid *pid_get(struct pid *pid)
{
    if (pid != NULL) {
        refcount_get(&pid->refs);
    }
    return pid;
}
static inline int pid_nr(const struct pid *pid)
{
    return pid == NULL ? 0 : pid->nr;
}
/* Walk in ascending order: the first with number >= nr, referenced; NULL at the end. For /proc. */
struct pid *pid_next(int nr);
int pid_last_allocated(void);
void pid_table_init(void); /* by sched_init() */

/*
 * The upward contract of job control: implemented by kernel/proc, used by terminals and by files' F_SETOWN. Registered once at boot.
 */
struct jobctl_owner {
    struct pid *pid;
    int type;           /* F_OWNER_* of <linux/fcntl.h>: a thread, a process or a group */
    uint32_t uid, euid; /* of who made it the owner: he must be allowed to signal it (fcntl(2)) */
};

struct jobctl_ops {
    /* Send to every member of the group; sender checks are the caller's. -ESRCH: empty group. Any context. */
    int (*signal_group)(struct pid *group, int signo);
    int (*signal_process)(struct pid *process, int signo);
    int (*signal_info)(struct pid *process, const siginfo_t *info);
    /* A file's owner. A signal that cannot be queued becomes a plain SIGIO. Any context. */
    void (*signal_owner)(const struct jobctl_owner *owner, const siginfo_t *info);
    void (*signal_current)(int signo); /* the current thread, as from itself: SIGPIPE, SIGXFSZ */
    /* Of the current process: a borrowed pointer, valid while the process lives. */
    struct pid *(*current_process)(void);
    /* Its group now, referenced; NULL: none. */
    struct pid *(*current_group)(void);
    /* Its session, borrowed: valid while it leads it, else only to be compared. */
    struct pid *(*current_session)(void);
    bool (*current_is_session_leader)(void);
    /* Would the current process be stopped by, or does it ignore or block, this signal? */
    bool (*current_ignores)(int signo);
    /* Is the group orphaned (POSIX.1-2017, 3.264)? */
    bool (*group_is_orphaned)(struct pid *group);
    /* 0; -EPERM: the group is of another session, -ESRCH: there is none. A process that leads no group counts as one, as on Linux. */
    int (*group_in_session)(struct pid *group, struct pid *session);
    /* The controlling terminal of the current process, which its children inherit; opaque here, not referenced, or NULL. */
    void *(*current_tty)(void);
    void (*current_set_tty)(void *tty);
    void (*session_clear_tty)(struct pid *session); /* of each process of the session */
    /* Ctrl-Alt-Del: true when process 1 was told, false: the caller resets the machine. Any context. */
    bool (*ctrl_alt_del)(void);
};
extern const struct jobctl_ops *jobctl;
/* The way back: set by terminals, called by kernel/proc when the current process, a session leader, exits. Thread context. */
extern void (*jobctl_session_exit_hook)(void);
