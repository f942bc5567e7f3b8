/*
 * procfs (proc(5)): how its files register.
 *
 *     PROC_FILE(uptime) = {.path = "uptime", .show = uptime_show};
 *     PROC_PID_FILE(comm) = {.name = "comm", .mode = S_IFREG | 0644, .show = comm_show, .write = comm_write};
 */
#pragma once

#include "kernel/fs/textfs/text.h"
#include "kernel/proc/process.h"

#define PROC_FILE(name_) LINKSET_ENTRY(proc_files, struct text_file, name_)

/* Whom a file below /proc/PID is about. Both referenced while a function runs; thread is the process' main thread in /proc/PID itself. */
struct proc_target {
    struct process *process;
    struct thread *thread;
    bool task;      /* below task/TID: about the thread alone */
    uint32_t execs; /* process_execs() before anything was asked about it */
};

#define PROC_PID_TASK   0x1u /* also below task/TID */
#define PROC_PID_ACCESS 0x2u /* only for who may inspect the process (ptrace(2)); else -EACCES */
struct proc_pid_file {
    const char *name;
    uint32_t mode;  /* type and permission; S_IFLNK: link; S_IFDIR: ops */
    unsigned flags; /* PROC_PID_* */
    int (*show)(struct text *text, const struct proc_target *target);
    /* A long one, instead of show: see text_next_fn. */
    int (*next)(struct text *text, const struct proc_target *target, uint64_t *cursor);
    int (*write)(const struct proc_target *target, char *value, size_t len_bytes);
    const struct file_ops *fops; /* S_IFREG: operations of its own instead of all these */
    int (*link)(const struct proc_target *target,
                struct path *ret_path); /* S_IFLNK: where it leads */
    const struct inode_ops *dir_ops;    /* S_IFDIR */
    const struct file_ops *dir_fops;
};
#define PROC_PID_FILE(name_) LINKSET_ENTRY(proc_pid_files, struct proc_pid_file, name_)

/* An inode below /proc/PID. The struct inode is first: kfree() of the inode frees it. */
struct proc_inode {
    struct inode inode;
    struct pid *pid;                  /* [I] referenced */
    const struct proc_pid_file *file; /* [I] NULL: the directory itself */
    bool task;                        /* [I] pid names a thread (below task) */
    int fd;                           /* [I] below fd and fdinfo */
    uint64_t start, end;              /* [I] below map_files */
};

static inline struct proc_inode *proc_inode_of(const struct inode *inode)
{
    return container_of((struct inode *)(uintptr_t)inode, struct proc_inode, inode);
}

/* The process and thread an inode is about. -ESRCH when it is gone. */
int proc_target_get(const struct inode *inode, struct proc_target *ret_target);
void proc_target_put(const struct proc_target *target);
/* The same, after checking that the current thread may inspect it: -EACCES. */
int proc_target_get_checked(const struct inode *inode, struct proc_target *ret_target);
/* Does it still run the program that the check was about? What has been taken from it is another one's, if not. */
bool proc_target_is_same(const struct proc_target *target);
/* thread_vm_get() of that program; NULL: it is gone. */
struct vmspace *proc_target_vm(const struct proc_target *target);

/* /proc/PID or task/TID: NULL: no memory. */
struct inode *proc_pid_inode_create(struct super *super, struct pid *pid, bool task);
/* For pidfd_directory_pid. */
struct pid *proc_directory_pid(const struct file *file);
/* Any inode below it. pid's reference is the callee's own. */
struct inode *proc_inode_create(struct super *super, struct pid *pid, bool task, uint64_t ino,
                                uint32_t mode);
/* Is this inode one of ours with a pid? (destroy_inode) */
bool proc_inode_has_pid(const struct inode *inode);
/* Its process lives, and owner and group are right; for inode_ops.revalidate. */
bool proc_pid_revalidate(struct inode *inode);
/* For readlink operations of links that lead to a place: its path from the reader's root. Puts `path`. */
ssize_t proc_path_text(struct path *path, char *buf, size_t size);
/* A decimal number without leading zeros; -1: not one. */
int64_t proc_parse_number(const char *name, unsigned len);

/* Inode numbers: low ones are the static tree's; a process' start at PROC_PID_INO. */
#define PROC_PID_INO(nr) (((uint64_t)(nr) + 1) << 32)
