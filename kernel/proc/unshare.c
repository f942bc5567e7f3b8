/*
 * unshare(2): a thread gets its own copy of what it shares with others.
 */
#include <linux/sched.h>

#include "kernel/ipc/sem.h"
#include "kernel/proc/internal.h"

/* Files and directories can be had alone at any time; memory and signal actions only by who shares them with no sibling. */
#define UNSHARE_ALONE (CLONE_THREAD | CLONE_SIGHAND | CLONE_VM)
#define UNSHARE_KNOWN (UNSHARE_ALONE | CLONE_FS | CLONE_FILES | CLONE_SYSVSEM)

static bool is_shared(const struct thread *thread, uint64_t unshare)
{
    const struct process *process = thread->process;
    const struct signal_actions *actions = process->actions;

    return ((unshare & UNSHARE_ALONE) != 0 && atomic_load_relaxed(&process->nthreads) > 1) ||
           ((unshare & (CLONE_SIGHAND | CLONE_VM)) != 0 && actions->together &&
            refcount_read(&actions->refs) > 1) ||
           ((unshare & CLONE_VM) != 0 && refcount_read(&thread->vm->refs) > 1);
}

int process_unshare(uint64_t unshare)
{
    struct thread *thread = current_thread();
    struct fdtable *files = NULL;
    struct fs_context *fs = NULL;

    if ((unshare & ~(uint64_t)UNSHARE_KNOWN) != 0 || is_shared(thread, unshare)) {
        return -EINVAL;
    }
    if ((unshare & CLONE_FS) != 0 && refcount_read(&thread->fs->refs) > 1) {
        fs = fs_context_clone(thread->fs);
        if (fs == NULL) {
            return -ENOMEM;
        }
    }
    if ((unshare & CLONE_FILES) != 0 && refcount_read(&thread->files->refs) > 1) {
        files = fdtable_clone(thread->files);
        if (files == NULL) {
            fs_context_put(fs);
            return -ENOMEM;
        }
    }
    struct fdtable *old_files = NULL;
    struct fs_context *old_fs = NULL;
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    if (fs != NULL) {
        old_fs = thread->fs;
        old_fs->users--;
        thread->fs = fs;
    }
    if (files != NULL) {
        old_files = thread->files;
        thread->files = files;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    fs_context_put(old_fs);
    fdtable_put(old_files);
    if ((unshare & CLONE_SYSVSEM) != 0) {
        sem_undo_exit();
    }
    return 0;
}
