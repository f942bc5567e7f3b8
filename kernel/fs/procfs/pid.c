/*
 * /proc/PID and /proc/PID/task/TID: directories made of the PROC_PID_FILE entries.
 *
 * An inode keeps the struct pid, not the process: when the process has been reaped, look-ups fail revalidation, and reads of files
 * that are still open give -ESRCH. Owner and group are the process' effective ones, or root's when it is not dumpable (proc(5)).
 */
#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/fs/procfs/procfs.h"

LINKSET_DECLARE(proc_pid_files, struct proc_pid_file);

static const struct inode_ops pid_dir_ops, pid_file_ops, pid_link_ops;

int64_t proc_parse_number(const char *name, unsigned len)
{
    int64_t value = 0;

    if (len == 0 || len > 10 || (len > 1 && name[0] == '0')) {
        return -1;
    }
    for (unsigned i = 0; i < len; i++) {
        if (name[i] < '0' || name[i] > '9') {
            return -1;
        }
        value = value * 10 + (name[i] - '0');
    }
    return value;
}

/* ---- targets ---- */

int proc_target_get(const struct inode *inode, struct proc_target *ret_target)
{
    const struct proc_inode *proc = proc_inode_of(inode);
    struct thread *thread;
    struct process *process = process_of_thread_pid(proc->pid, &thread);

    if (process == NULL) {
        return -ESRCH;
    }
    *ret_target = (struct proc_target){
        .process = process, .thread = thread, .task = proc->task, .execs = process_execs(process)};
    return 0;
}

void proc_target_put(const struct proc_target *target)
{
    thread_put(target->thread);
    process_put(target->process);
}

int proc_target_get_checked(const struct inode *inode, struct proc_target *ret_target)
{
    int err = proc_target_get(inode, ret_target);

    if (err == 0 && !process_may_access(ret_target->process)) {
        proc_target_put(ret_target);
        err = -EACCES;
    }
    return err;
}

bool proc_target_is_same(const struct proc_target *target)
{
    return process_execs(target->process) == target->execs;
}

struct vmspace *proc_target_vm(const struct proc_target *target)
{
    struct vmspace *vm = thread_vm_get(target->thread);

    if (vm != NULL && !proc_target_is_same(target)) {
        vmspace_put(vm);
        vm = NULL;
    }
    return vm;
}

/* ---- inodes ---- */

static void set_owner(struct inode *inode, struct process *process)
{
    uint32_t uid, gid;

    process_owner(process, (inode->mode & (S_IFMT | 0777)) != (S_IFDIR | 0555), &uid, &gid);
    spin_lock(&inode->attr_lock);
    inode->uid = uid;
    inode->gid = gid;
    spin_unlock(&inode->attr_lock);
}

bool proc_pid_revalidate(struct inode *inode)
{
    struct proc_target target;

    if (proc_target_get(inode, &target) < 0) {
        return false;
    }
    set_owner(inode, target.process);
    proc_target_put(&target);
    return true;
}

struct inode *proc_inode_create(struct super *super, struct pid *pid, bool task, uint64_t ino,
                                uint32_t mode)
{
    struct inode *inode = text_inode_alloc(super, sizeof(struct proc_inode), ino, mode);

    if (inode != NULL) {
        struct proc_inode *proc = proc_inode_of(inode);
        proc->pid = pid_get(pid);
        proc->task = task;
        inode->private = proc; /* what proc_inode_has_pid() looks at */
        inode->ops = &pid_file_ops;
        (void)proc_pid_revalidate(inode);
    }
    return inode;
}

bool proc_inode_has_pid(const struct inode *inode)
{
    return inode->private == inode;
}

static int refuse_setattr(struct inode *inode, const struct inode_attr *attr)
{
    (void)inode;
    return (attr->valid & (ATTR_MODE | ATTR_UID | ATTR_GID)) != 0 ? -EPERM : 0;
}

/* ---- files ---- */

static int entry_target(const struct file *file, struct proc_target *ret_target)
{
    const struct proc_pid_file *entry = proc_inode_of(file->inode)->file;

    return (entry->flags & PROC_PID_ACCESS) != 0 ? proc_target_get_checked(file->inode, ret_target)
                                                 : proc_target_get(file->inode, ret_target);
}

static int pid_generate(struct text *text, struct file *file)
{
    struct proc_target target;
    int err = entry_target(file, &target);

    if (err == 0) {
        err = proc_inode_of(file->inode)->file->show(text, &target);
        proc_target_put(&target);
    }
    return err;
}

static int pid_text_next(struct text *text, struct file *file, uint64_t *cursor)
{
    struct proc_target target;
    int err = entry_target(file, &target);

    if (err == 0) {
        err = proc_inode_of(file->inode)->file->next(text, &target, cursor);
        proc_target_put(&target);
    }
    return err;
}

static int pid_file_open(struct inode *inode, struct file *file)
{
    const struct proc_pid_file *entry = proc_inode_of(inode)->file;
    struct proc_target target;
    int err;

    if ((entry->flags & PROC_PID_ACCESS) != 0) {
        err = proc_target_get_checked(inode, &target);
        if (err < 0) {
            return err;
        }
        proc_target_put(&target);
    }
    if (entry->next != NULL) {
        return text_open_stream(file, pid_text_next);
    }
    return text_open(file, entry->show != NULL ? pid_generate : NULL);
}

static int pid_take(struct file *file, char *value, size_t len)
{
    struct proc_target target;
    int err = proc_target_get(file->inode, &target);

    if (err == 0) {
        err = proc_inode_of(file->inode)->file->write(&target, value, len);
        proc_target_put(&target);
    }
    return err;
}

static ssize_t pid_file_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    (void)pos;
    if (proc_inode_of(file->inode)->file->write == NULL) {
        return -EINVAL;
    }
    return text_write_value(from, file, pid_take);
}

static const struct file_ops pid_file_fops = {
    .open = pid_file_open,
    .release = text_release,
    .read = text_read,
    .write = pid_file_write,
    .llseek = text_llseek,
};

static const struct inode_ops pid_file_ops = {
    .revalidate = proc_pid_revalidate,
    .setattr = refuse_setattr,
};

/* ---- links ---- */

static int link_follow(struct inode *inode, struct path *ret_path)
{
    struct proc_target target;
    struct path path;
    int err = proc_target_get_checked(inode, &target);

    if (err < 0) {
        return err;
    }
    err = proc_inode_of(inode)->file->link(&target, &path);
    if (err == 0 && !proc_target_is_same(&target)) {
        path_put(&path);
        err = -ENOENT;
    }
    proc_target_put(&target);
    if (err == 0) {
        *ret_path = path;
    }
    return err;
}

ssize_t proc_path_text(struct path *path, char *buf, size_t size)
{
    struct path root, cwd;
    char *text;
    size_t len;

    fs_context_get_paths(current_thread()->fs, &root, &cwd);
    text = path_to_string(path, &root, buf, size);
    path_put(&root);
    path_put(&cwd);
    path_put(path);
    if (text == NULL) {
        return -ENAMETOOLONG;
    }
    len = strlen(text);
    memmove(buf, text, len + 1);
    return (ssize_t)len;
}

static ssize_t link_readlink(struct inode *inode, char *buf, size_t size)
{
    struct path path;
    int err = inode->ops->follow(inode, &path);

    return err < 0 ? err : proc_path_text(&path, buf, size);
}

static const struct inode_ops pid_link_ops = {
    .readlink = link_readlink,
    .follow = link_follow,
    .revalidate = proc_pid_revalidate,
    .setattr = refuse_setattr,
};

/* ---- the directory of a process or task ---- */

static bool entry_applies(const struct proc_pid_file *entry, bool task)
{
    return !task || (entry->flags & PROC_PID_TASK) != 0;
}

/* Inode numbers of a process: 0 the directory, 1.. its entries, and the same above 1 << 16 for its task. */
static uint64_t entry_ino(int nr, bool task, size_t index)
{
    return PROC_PID_INO(nr) + (task ? 1u << 16 : 0) + index + 1;
}

static struct inode *entry_create(struct inode *dir, const struct proc_pid_file *entry)
{
    struct proc_inode *parent = proc_inode_of(dir);
    size_t index = (size_t)(entry - __start_linkset_proc_pid_files);
    struct inode *inode =
        proc_inode_create(dir->super, parent->pid, parent->task,
                          entry_ino(parent->pid->nr, parent->task, index), entry->mode);

    if (inode == NULL) {
        return NULL;
    }
    proc_inode_of(inode)->file = entry;
    switch (entry->mode & S_IFMT) {
    case S_IFDIR:
        inode->ops = entry->dir_ops;
        inode->fops = entry->dir_fops;
        break;
    case S_IFLNK:
        inode->ops = &pid_link_ops;
        break;
    default:
        inode->fops = entry->fops != NULL ? entry->fops : &pid_file_fops;
        break;
    }
    return inode;
}

static int pid_lookup(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode)
{
    bool task = proc_inode_of(dir)->task;

    linkset_foreach (proc_pid_files, struct proc_pid_file, entry) {
        if (entry_applies(entry, task) && strlen(entry->name) == len &&
            memcmp(entry->name, name, len) == 0) {
            *ret_inode = entry_create(dir, entry);
            return *ret_inode == NULL ? -ENOMEM : 0;
        }
    }
    return -ENOENT;
}

/* The entry whose name follows `after` in alphabetical order (NULL: the first), so that the order is not the link's. */
static const struct proc_pid_file *entry_next(const char *after, bool task)
{
    const struct proc_pid_file *best = NULL;

    linkset_foreach (proc_pid_files, struct proc_pid_file, entry) {
        if (entry_applies(entry, task) && (after == NULL || strcmp(entry->name, after) > 0) &&
            (best == NULL || strcmp(entry->name, best->name) < 0)) {
            best = entry;
        }
    }
    return best;
}

static int pid_iterate(struct file *file, struct dir_context *ctx)
{
    const struct proc_inode *dir = proc_inode_of(file->inode);
    const struct proc_pid_file *entry = NULL;
    loff_t at = 2;

    if (!text_emit_dots(ctx, file->inode->ino, 3)) {
        return 0;
    }
    for (entry = entry_next(NULL, dir->task); entry != NULL;
         entry = entry_next(entry->name, dir->task), at++) {
        size_t index = (size_t)(entry - __start_linkset_proc_pid_files);
        if (at < ctx->pos) {
            continue;
        }
        if (!ctx->emit(ctx, entry->name, (unsigned)strlen(entry->name),
                       entry_ino(dir->pid->nr, dir->task, index), entry->mode >> 12, at + 1)) {
            return 0;
        }
        ctx->pos = at + 1;
    }
    return 0;
}

static const struct inode_ops pid_dir_ops = {
    .lookup = pid_lookup,
    .revalidate = proc_pid_revalidate,
    .setattr = refuse_setattr,
};
static const struct file_ops pid_dir_fops = {.iterate = pid_iterate, .llseek = generic_file_llseek};

struct pid *proc_directory_pid(const struct file *file)
{
    const struct proc_inode *proc = proc_inode_of(file->inode);

    return file->fops == &pid_dir_fops && !proc->task ? proc->pid : NULL;
}

struct inode *proc_pid_inode_create(struct super *super, struct pid *pid, bool task)
{
    struct inode *inode = proc_inode_create(
        super, pid, task, PROC_PID_INO(pid->nr) + (task ? 1u << 16 : 0), S_IFDIR | 0555);

    if (inode != NULL) {
        inode->ops = &pid_dir_ops;
        inode->fops = &pid_dir_fops;
    }
    return inode;
}

/* ---- task ---- */

/* A thread's number, if it is one of the directory's process. */
static int task_lookup(struct inode *dir, const char *name, unsigned len, struct inode **ret_inode)
{
    int64_t nr = proc_parse_number(name, len);
    struct proc_target target;
    struct thread *thread;
    int err = nr <= 0 || nr > INT32_MAX ? -ENOENT : proc_target_get(dir, &target);

    if (err < 0) {
        return err;
    }
    struct process *process = process_find_thread((int)nr, &thread);
    err = -ENOENT;
    if (process != NULL) {
        struct pid *pid = process == target.process ? pid_find((int)nr) : NULL;
        if (pid != NULL) {
            *ret_inode = proc_pid_inode_create(dir->super, pid, true);
            err = *ret_inode == NULL ? -ENOMEM : 0;
        }
        pid_put(pid);
        thread_put(thread);
        process_put(process);
    }
    proc_target_put(&target);
    return err;
}

static int task_iterate(struct file *file, struct dir_context *ctx)
{
    const struct proc_inode *dir = proc_inode_of(file->inode);
    struct proc_target target;
    struct thread *thread;

    if (!text_emit_dots(ctx, file->inode->ino, PROC_PID_INO(dir->pid->nr))) {
        return 0;
    }
    if (proc_target_get(file->inode, &target) < 0) {
        return -ENOENT;
    }
    while ((thread = process_next_thread(target.process, (int)ctx->pos - 2)) != NULL) {
        char name[12];
        int nr = pid_nr(thread->pid), len = kscnprintf(name, sizeof(name), "%d", nr);
        thread_put(thread);
        if (!ctx->emit(ctx, name, (unsigned)len, PROC_PID_INO(nr) + (1u << 16), S_IFDIR >> 12,
                       (loff_t)nr + 3)) {
            break;
        }
        ctx->pos = (loff_t)nr + 3;
    }
    proc_target_put(&target);
    return 0;
}

/* The link count tells the number of threads, as proc(5)'s readers know it. */
static int task_getattr(struct inode *inode, struct inode_stat *ret_stat)
{
    struct proc_target target;
    unsigned nthreads = 0;

    if (proc_target_get(inode, &target) == 0) {
        nthreads = atomic_load_relaxed(&target.process->nthreads);
        proc_target_put(&target);
    }
    *ret_stat = (struct inode_stat){.dev = inode->super->dev,
                                    .ino = inode->ino,
                                    .mode = inode->mode,
                                    .nlink = 2 + nthreads,
                                    .uid = inode->uid,
                                    .gid = inode->gid,
                                    .block_size = 1024,
                                    .atime = inode->atime,
                                    .mtime = inode->mtime,
                                    .ctime = inode->ctime,
                                    .btime = inode->btime};
    return 0;
}

static const struct inode_ops task_ops = {
    .lookup = task_lookup,
    .getattr = task_getattr,
    .revalidate = proc_pid_revalidate,
    .setattr = refuse_setattr,
};
static const struct file_ops task_fops = {.iterate = task_iterate, .llseek = generic_file_llseek};

PROC_PID_FILE(task) = {
    .name = "task", .mode = S_IFDIR | 0555, .dir_ops = &task_ops, .dir_fops = &task_fops};

/* ---- cwd, root, exe ---- */

static int cwd_link(const struct proc_target *target, struct path *ret_path)
{
    struct fs_context *fs = thread_fs_get(target->thread);
    struct path root;

    if (fs == NULL) {
        return -ENOENT;
    }
    fs_context_get_paths(fs, &root, ret_path);
    path_put(&root);
    fs_context_put(fs);
    return 0;
}

static int root_link(const struct proc_target *target, struct path *ret_path)
{
    struct fs_context *fs = thread_fs_get(target->thread);
    struct path cwd;

    if (fs == NULL) {
        return -ENOENT;
    }
    fs_context_get_paths(fs, ret_path, &cwd);
    path_put(&cwd);
    fs_context_put(fs);
    return 0;
}

static int exe_link(const struct proc_target *target, struct path *ret_path)
{
    struct vmspace *vm = thread_vm_get(target->thread);
    int err = -ENOENT;

    if (vm == NULL) {
        return -ENOENT;
    }
    if (vm->exe != NULL) {
        /* Executables are mapped from files: the source is part of one. */
        *ret_path = container_of(vm->exe, struct file, source)->path;
        path_get(ret_path);
        err = 0;
    }
    vmspace_put(vm);
    return err;
}

PROC_PID_FILE(cwd) = {
    .name = "cwd", .mode = S_IFLNK | 0777, .flags = PROC_PID_TASK, .link = cwd_link};
PROC_PID_FILE(root) = {
    .name = "root", .mode = S_IFLNK | 0777, .flags = PROC_PID_TASK, .link = root_link};
PROC_PID_FILE(exe) = {
    .name = "exe", .mode = S_IFLNK | 0777, .flags = PROC_PID_TASK, .link = exe_link};
