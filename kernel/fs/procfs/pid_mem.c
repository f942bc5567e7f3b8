/*
 * /proc/PID/mem: a process' memory as a file, its addresses as positions (proc(5)).
 *
 * The file is of the space that the process had when it was opened: after an execve, or the end, there is nothing to read. So that a file
 * which stays open keeps no memory alive, it remembers the space's serial number, not the space. Access goes through rights, as a
 * debugger's does: it may read what is mapped without them and write private memory that is read-only.
 */
#include "kernel/fs/procfs/procfs.h"
#include "kernel/vm/iov.h"

static int mem_open(struct inode *inode, struct file *file)
{
    struct proc_target target;
    int err = proc_target_get_checked(inode, &target);

    if (err < 0) {
        return err;
    }
    struct vmspace *vm = proc_target_vm(&target);
    proc_target_put(&target);
    file->private = (void *)(vm == NULL ? 0 : (uintptr_t)vm->serial);
    vmspace_put(vm);
    return 0;
}

/* The space the file was opened for, referenced; NULL: it is gone. */
static struct vmspace *mem_vm_get(const struct file *file)
{
    struct proc_target target;

    if (proc_target_get(file->inode, &target) < 0) {
        return NULL;
    }
    struct vmspace *vm = thread_vm_get(target.thread);
    proc_target_put(&target);
    if (vm != NULL && vm->serial != (uintptr_t)file->private) {
        vmspace_put(vm);
        vm = NULL;
    }
    return vm;
}

static ssize_t mem_rw(struct file *file, struct iov_iter *iter, loff_t *pos, bool write)
{
    size_t count = iter->count;

    if (count == 0) {
        return 0;
    }
    struct vmspace *vm = mem_vm_get(file);
    if (vm == NULL) {
        return 0;
    }
    ssize_t n = vmspace_access_iter(vm, (uint64_t)*pos, count, iter, write, true);
    vmspace_put(vm);
    if (n > 0) {
        *pos += n;
    }
    return n == -EFAULT ? -EIO : n;
}

static ssize_t mem_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    return mem_rw(file, to, pos, false);
}

static ssize_t mem_write(struct file *file, struct iov_iter *from, loff_t *pos)
{
    return mem_rw(file, from, pos, true);
}

static const struct file_ops mem_fops = {
    .open = mem_open, .read = mem_read, .write = mem_write, .llseek = text_llseek};

PROC_PID_FILE(mem) = {
    .name = "mem", .mode = S_IFREG | 0600, .flags = PROC_PID_TASK, .fops = &mem_fops};
