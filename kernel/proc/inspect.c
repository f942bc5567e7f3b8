/*
 * What threads use, seen from another one (/proc): address space, descriptors, directories.
 *
 * A thread lets go of them when it exits, exec replaces the address space, and unshare(2) the others, under process_tree_lock; so a pointer
 * read under it is of an object that still has the thread's reference.
 */
#include "kernel/proc/process.h"

struct vmspace *thread_vm_get(struct thread *thread)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct vmspace *vm = thread->vm;

    if (vm != NULL && !refcount_get_unless_zero(&vm->refs)) {
        vm = NULL;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return vm;
}

struct vmspace *process_vm_locked(struct process *process)
{
    struct thread *thread;

    list_for_each (thread, &process->threads, process_node) {
        if (thread->vm != NULL) {
            return thread->vm;
        }
    }
    return NULL;
}

struct vmspace *process_vm_get(struct process *process)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct vmspace *vm = process_vm_locked(process);

    if (vm != NULL) {
        vmspace_get(vm);
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return vm;
}

struct fdtable *thread_files_pin(struct thread *thread)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct fdtable *files = thread->files;

    if (files != NULL) {
        (void)fdtable_pin(files);
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return files;
}

struct fs_context *thread_fs_get(struct thread *thread)
{
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    struct fs_context *fs = thread->fs;

    if (fs != NULL && !refcount_get_unless_zero(&fs->refs)) {
        fs = NULL;
    }
    spin_unlock_irqrestore(&process_tree_lock, flags);
    return fs;
}
