/*
 * execve(2): replace the image of the current process.
 *
 * In order: find the file; follow "#!" lines to the program at their end; read the ELF headers of it and its interpreter; collect the
 * arguments; build the whole new address space beside the old one. All that may fail, and then nothing has happened. The point of no
 * return is commit(), or before it the end of the other threads: from there on nothing can fail but the closing of descriptors of a shared table, and a process to
 * which that happens is killed.
 */
#include <linux/fcntl.h>
#include <linux/limits.h>
#include <linux/personality.h>
#include <linux/sched.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/machine/cpu.h"
#include "kernel/machine/mmu.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/coredump.h"
#include "kernel/proc/exec.h"
#include "kernel/proc/ptrace_impl.h"
#include "kernel/vfs/inode.h"
#include "kernel/vm/huge.h"
#include "kernel/vm/tunables.h"

#define SCRIPT_DEPTH_MAX 5    /* execve(2), ELOOP */
#define HEAD_BYTES       1024 /* of the file: ELF header and nearly always the program headers */
#define FD_NAME_BYTES    (sizeof("/dev/fd/-2147483648/") + PATH_MAX)
/* What a caller with fewer rights can give a program of stack, and so move of its other memory. */
#define SECURE_STACK_MAX MIB(8)

struct exec {
    struct file
        *file; /* the program: at first what was named, then what its "#!" line names, and so on */
    struct file *interp_file; /* PT_INTERP; NULL: none */
    const char *filename;     /* what was named: AT_EXECFN and comm */
    char *fd_name;            /* that, where it was made up from a descriptor; else NULL */
    struct exec_args args;
    struct exec_image image;
    struct exec_identity identity;
    bool hidden; /* what the program is made of is not for its caller to read */
    bool randomize;
    bool nameless;        /* its name is of a descriptor that the program will not have */
    uint32_t personality; /* personality(2), afterwards */
    uint64_t sp;
    size_t head_bytes;
    union {
        Elf64_Ehdr header;
        uint8_t head[HEAD_BYTES];
    };
    struct elf_program program, interp;
    char line[2]
             [SCRIPT_LINE_MAX + 1]; /* first lines of this script and the one before, taken apart */
};

static int read_head(struct exec *exec, struct file *file)
{
    ssize_t n = file_read_kernel(file, exec->head, HEAD_BYTES, 0);

    if (n < 0) {
        return (int)n;
    }
    exec->head_bytes = (size_t)n;
    return 0;
}

/* ---- scripts ---- */

/* exec->file is a script: open its interpreter in its place. -ENOEXEC: it is none. */
static int follow_script(struct exec *exec, char *line, const char **name)
{
    const char *interpreter, *arg;
    struct file *file;

    int err = script_parse(exec->head, exec->head_bytes, line, &interpreter, &arg);
    if (err < 0) {
        return err;
    }
    if (exec->nameless) {
        return -ENOENT; /* the interpreter could not open it (execveat(2), "Errors") */
    }
    err = exec_args_prepend_script(&exec->args, interpreter, arg, *name);
    if (err < 0) {
        return err;
    }
    err = vfs_open_exec(AT_FDCWD, interpreter, LOOKUP_FOLLOW, &file);
    if (err < 0) {
        return err;
    }
    file_put(exec->file);
    exec->file = file;
    *name = interpreter;
    return read_head(exec, file);
}

static int follow_scripts(struct exec *exec)
{
    const char *name = exec->filename;
    int err = read_head(exec, exec->file);

    for (unsigned depth = 0;
         err == 0 && exec->head_bytes >= 2 && exec->head[0] == '#' && exec->head[1] == '!';
         depth++) {
        if (depth == SCRIPT_DEPTH_MAX) {
            return -ELOOP;
        }
        err = follow_script(exec, exec->line[depth % 2], &name);
    }
    return err;
}

/* ---- ELF ---- */

/* Parse the file whose first bytes are in exec->head. */
static int parse_elf(struct exec *exec, struct file *file, struct elf_program *ret_program)
{
    uint64_t offset;
    size_t size;
    int err = elf_check_header(exec->head, exec->head_bytes, &offset, &size);

    if (err < 0) {
        return err;
    }
    if (offset % 8 == 0 && offset <= exec->head_bytes && size <= exec->head_bytes - offset) {
        return elf_parse(&exec->header, exec->head + offset, size, USER_TOP, ret_program);
    }
    void *phdrs = kmalloc(size);
    if (phdrs == NULL) {
        return -ENOMEM;
    }
    ssize_t n = file_read_kernel(file, phdrs, size, (loff_t)offset);
    err = n < 0 ? (int)n : (size_t)n < size ? -ENOEXEC : 0;
    if (err == 0) {
        err = elf_parse(&exec->header, phdrs, size, USER_TOP, ret_program);
    }
    kfree(phdrs);
    return err;
}

/* Open and parse what PT_INTERP names. */
static int open_interpreter(struct exec *exec)
{
    const struct elf_program *program = &exec->program;
    size_t len = program->interp_bytes;
    struct file *file;
    int err;

    if (len == 0) {
        return 0;
    }
    char *path = kmalloc(len);
    if (path == NULL) {
        return -ENOMEM;
    }
    ssize_t n = file_read_kernel(exec->file, path, len, (loff_t)program->interp_offset);
    if (n != (ssize_t)len || path[len - 1] != '\0') {
        err = n < 0 ? (int)n : -ENOEXEC;
        goto free_path;
    }
    err = vfs_open_exec(AT_FDCWD, path, LOOKUP_FOLLOW, &file);
    if (err < 0) {
        goto free_path;
    }
    exec->interp_file = file;
    err = read_head(exec, file);
    if (err == 0) {
        err = parse_elf(exec, file, &exec->interp);
    }
    if (err == -ENOEXEC) {
        err = -ELIBBAD;
    }

free_path:
    kfree(path);
    return err;
}

/* ---- the new image ---- */

static bool is_readable(const struct file *file)
{
    return file == NULL || inode_permission(file->inode, MAY_READ) == 0;
}

static int build_image(struct exec *exec)
{
    struct process *process = process_current();
    struct vmspace *vm;
    int err = exec_identity_make(exec->file, &exec->identity);

    if (err < 0) {
        return err;
    }
    exec->hidden = !is_readable(exec->file) || !is_readable(exec->interp_file);
    exec->personality = process->personality;
    if (exec->identity.other) { /* its caller does not say how a privileged program is laid out */
        exec->personality &= ~(uint32_t)PER_CLEAR_ON_SETID;
    }
    exec->randomize = (exec->personality & ADDR_NO_RANDOMIZE) == 0 &&
                      atomic_load_relaxed(&vm_tunables.randomize_va_space) != 0;
    exec->image.vm = vm = vmspace_create(exec->randomize);
    if (vm == NULL) {
        err = -ENOMEM;
        goto drop_identity;
    }
    vmspace_disable_huge(vm, vmspace_huge_is_disabled(current_thread()->vm));
    uint64_t stack = process_limit(RLIMIT_STACK);
    if (exec->identity.secure) {
        stack = MIN(stack, SECURE_STACK_MAX);
    }
    vmspace_set_stack_limit(vm, stack);
    limits_apply_to_vm(process, vm);
    atomic_store_relaxed(&vm->limit_stack, stack);
    err = exec_load(&exec->image, exec->file, &exec->program, exec->interp_file, &exec->interp,
                    exec->randomize);
    if (err == 0) {
        err = exec_stack_build(&exec->image, &exec->program, &exec->args, exec->filename,
                               &exec->identity, exec->randomize, &exec->sp);
    }
    if (err < 0) {
        goto put_vm;
    }
    vm->exe = &exec->file->source;
    vm->exe->ops->get(vm->exe);
    return 0;

put_vm:
    vmspace_put(vm);
drop_identity:
    exec_identity_drop(&exec->identity);
    return err;
}

/* The new memory, and the rights that go with it: others see all of that change at once. */
static void replace_image(struct exec *exec)
{
    struct thread *thread = current_thread();
    struct process *process = thread->process;
    struct vmspace *vm = exec->image.vm, *old = thread->vm;
    uint8_t dumpable = exec->identity.secure || exec->identity.other || exec->hidden
                           ? (uint8_t)atomic_load_relaxed(&coredump_settings.suid_dumpable)
                           : 1;

    atomic_store_relaxed(&vm->dumpable, dumpable);
    uint64_t flags = spin_lock_irqsave(&process_tree_lock);
    thread->vm = vm;
    thread->mmu = &vm->mmu;
    thread->fault_runs = (struct thread_fault_runs){0}; /* its addresses mean nothing here */
    mmu_switch(thread->mmu);
    struct cred *former = cred_replace(exec->identity.cred);
    exec_raise_end_locked();
    process->did_exec = true;
    process->exit_signal = SIGCHLD;
    atomic_store_release(&process->execs, process->execs + 1);
    spin_unlock_irqrestore(&process_tree_lock, flags);
    cred_put(former);
    if (old != NULL) {
        vm_note_peak(old);
        process->maxrss = MAX(process->maxrss, vmspace_rss_peak(old));
        vmspace_put(old);
    }
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* The point of no return. */
static void commit(struct exec *exec, struct signal_actions *actions)
{
    struct thread *thread = current_thread();
    struct process *process = thread->process;

    if (process_unshare(CLONE_FILES) < 0) {
        signal_force_fatal(SIGKILL);
    } else {
        fdtable_exec(thread->files);
    }
    (void)str_copy(thread->comm, base_name(exec->filename), sizeof(thread->comm));
    if (exec->identity.secure || exec->identity.other) {
        process->pdeath_signal = 0;
    }
    process->personality = exec->personality;
    if (exec->identity.secure) {
        limits_cap(process, RLIMIT_STACK, SECURE_STACK_MAX);
    }
    if (actions != NULL) {
        uint64_t flags = spin_lock_irqsave(&process->siglock);
        struct signal_actions *old = process->actions;
        process->actions = actions;
        spin_unlock_irqrestore(&process->siglock, flags);
        signal_actions_put(old);
    }
    posix_timers_end(process);
    thread->altstack_base = thread->altstack_size = 0;
    thread->altstack_flags = 0;
    thread_leave_memory(thread);
    thread->restart.fn = NULL;
    replace_image(exec);
    process_vfork_finish(process);
    cpu_thread_reset_user();
    trapframe_init_user(thread_trapframe(thread), exec->image.entry, exec->sp);
}

static int exec_run(struct exec *exec)
{
    struct signal_actions *actions;
    int err = follow_scripts(exec);

    exec->interp_file = NULL;
    if (err == 0) {
        err = parse_elf(exec, exec->file, &exec->program);
    }
    if (err < 0) {
        return err;
    }
    err = open_interpreter(exec);
    if (err == 0) {
        err = build_image(exec);
    }
    if (err < 0) {
        goto close_interp;
    }
    bool alone = process_current()->nthreads == 1;
    err = threads_end_others();
    if (err == 0) {
        err = signal_prepare_exec(process_current(), &actions);
        if (err < 0 && !alone) {
            signal_force_fatal(SIGKILL); /* without its threads the old image cannot go on */
        }
    }
    if (err < 0) {
        vmspace_put(exec->image.vm);
        exec_identity_drop(&exec->identity);
        goto close_interp;
    }
    commit(exec, actions);

close_interp:
    file_put(exec->interp_file);
    return err;
}

/* ---- entry points ---- */

/* execveat(2), "Description": what the program is told it is called, when that is relative to a descriptor. */
static int name_by_descriptor(struct exec *exec, int dirfd, const char *path)
{
    exec->filename = path;
    if (dirfd == AT_FDCWD || path[0] == '/') {
        return 0;
    }
    exec->fd_name = kmalloc(FD_NAME_BYTES);
    if (exec->fd_name == NULL) {
        return -ENOMEM;
    }
    (void)ksnprintf(exec->fd_name, FD_NAME_BYTES, path[0] == '\0' ? "/dev/fd/%d" : "/dev/fd/%d/%s",
                    dirfd, path);
    exec->filename = exec->fd_name;
    exec->nameless = fd_get_cloexec(dirfd) == 1;
    return 0;
}

/* exec_close() undoes it. */
static int exec_open(struct exec *exec, int dirfd, const char *path, int flags)
{
    unsigned lookup = ((flags & AT_SYMLINK_NOFOLLOW) != 0 ? 0 : LOOKUP_FOLLOW) |
                      ((flags & AT_EMPTY_PATH) != 0 ? LOOKUP_EMPTY : 0);

    exec->fd_name = NULL;
    exec->nameless = false;
    int err = vfs_open_exec(dirfd, path, lookup, &exec->file);
    if (err < 0) {
        return err;
    }
    err = name_by_descriptor(exec, dirfd, path);
    if (err == 0) {
        err = exec_args_init(&exec->args);
    }
    if (err < 0) {
        kfree(exec->fd_name);
        file_put(exec->file);
    }
    return err;
}

static void exec_close(struct exec *exec)
{
    exec_args_fini(&exec->args);
    kfree(exec->fd_name);
    file_put(exec->file);
}

int process_exec(int dirfd, const char *path, const char __user *const __user *argv,
                 const char __user *const __user *envp, int flags)
{
    static const char *const no_name[] = {"", NULL};
    struct exec *exec = kmalloc(sizeof(*exec));
    int old_tid = current_thread()->pid->nr;

    if (exec == NULL) {
        return -ENOMEM;
    }
    int err = limits_refuse_exec() ? -EAGAIN : exec_open(exec, dirfd, path, flags);
    if (err < 0) {
        goto free_exec;
    }
    err = exec_args_add_user(&exec->args, argv, false);
    if (err == 0 && exec->args.argc == 0) {
        err =
            exec_args_add_kernel(&exec->args, no_name, false); /* as Linux: never without argv[0] */
    }
    if (err == 0) {
        err = exec_args_add_user(&exec->args, envp, true);
    }
    if (err == 0) {
        err = exec_run(exec);
    }
    exec_close(exec);
free_exec:
    kfree(exec);
    if (err == 0) {
        ptrace_exec_done(old_tid);
    }
    return err;
}

int process_exec_kernel(const char *path, const char *const *argv, const char *const *envp)
{
    struct exec *exec = kmalloc(sizeof(*exec));

    if (exec == NULL) {
        return -ENOMEM;
    }
    int err = exec_open(exec, AT_FDCWD, path, 0);
    if (err < 0) {
        goto free_exec;
    }
    err = exec_args_add_kernel(&exec->args, argv, false);
    if (err == 0) {
        err = exec_args_add_kernel(&exec->args, envp, true);
    }
    if (err == 0) {
        err = exec_run(exec);
    }
    exec_close(exec);
free_exec:
    kfree(exec);
    return err;
}
