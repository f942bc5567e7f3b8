/*
 * What a process uses, seen from another one (/proc): address space, descriptors, directories.
 *
 * The main thread lets go of them when it exits, and exec replaces the address space, under process_tree_lock; so a pointer read under it
 * is of an object that still has the thread's reference.
 */
#include "kernel/proc/process.h"

struct vmspace *process_vm_get(struct process *process)
{
    struct vmspace *vm;

    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    vm = process->leader->vm;
    if (vm != NULL && !refcount_get_unless_zero(&vm->refs)) {
        vm = NULL;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return vm;
}

struct fdtable *process_files_get(struct process *process)
{
    struct fdtable *files;

    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    files = process->leader->files;
    if (files != NULL && !refcount_get_unless_zero(&files->refs)) {
        files = NULL;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return files;
}

struct fs_context *process_fs_get(struct process *process)
{
    struct fs_context *fs;

    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    fs = process->leader->fs;
    if (fs != NULL && !refcount_get_unless_zero(&fs->refs)) {
        fs = NULL;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return fs;
}
