/*
 * /proc/PID/{cmdline,environ,auxv,mounts,mountinfo}: what execve left in a process' memory, and what it sees mounted.
 */
#include "kernel/base/string.h"
#include "kernel/fs/procfs/procfs.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/mount.h"

/* ---- cmdline, environ, auxv ---- */

/* Copy [start, end) of the other space; a page that cannot be read ends it. Bytes copied. */
static size_t copy_memory(struct text *text, struct vmspace *vm, uint64_t start, uint64_t end)
{
    size_t done = 0;

    while (start < end) {
        size_t want = MIN((size_t)(end - start), (size_t)PAGE_SIZE);
        char *at = text_reserve(text, want);
        ssize_t n = at == NULL ? -ENOMEM : vmspace_access(vm, start, at, want, false, true);
        if (n <= 0) {
            break;
        }
        text->len += (size_t)n;
        done += (size_t)n;
        start += (uint64_t)n;
    }
    return done;
}

/*
 * The arguments with their NULs. A process that wrote a title over them, past the last NUL, has it shown up to its end, which may lie
 * in the environment (proc(5), cmdline).
 */
static int cmdline_show(struct text *text, const struct proc_target *target)
{
    struct vmspace *vm = thread_vm_get(target->thread);
    const char *end;
    size_t n;

    if (vm == NULL) {
        return 0;
    }
    n = copy_memory(text, vm, vm->arg_start, vm->arg_end);
    if (n > 0 && text->buf[n - 1] != '\0') {
        (void)copy_memory(text, vm, vm->arg_end, MIN(vm->env_end, vm->arg_end + PAGE_SIZE));
        end = memchr(text->buf, '\0', text->len);
        if (end != NULL) {
            text->len = (size_t)(end - text->buf) + 1;
        }
    }
    vmspace_put(vm);
    return 0;
}

static int environ_show(struct text *text, const struct proc_target *target)
{
    struct vmspace *vm = proc_target_vm(target);

    if (vm != NULL) {
        (void)copy_memory(text, vm, vm->env_start, vm->env_end);
        vmspace_put(vm);
    }
    return 0;
}

static int auxv_show(struct text *text, const struct proc_target *target)
{
    struct vmspace *vm = proc_target_vm(target);

    if (vm != NULL) {
        text_write(text, vm->auxv, vm->nauxv * 2 * sizeof(vm->auxv[0]));
        vmspace_put(vm);
    }
    return 0;
}

/* ---- mounts ---- */

#define MOUNT_LINE_BYTES 4096u

static int show_mounts(struct text *text, const struct proc_target *target, bool mountinfo)
{
    struct fs_context *fs = thread_fs_get(target->thread);
    struct path root, cwd;
    size_t n = 1;

    if (fs == NULL) {
        return -EINVAL;
    }
    fs_context_get_paths(fs, &root, &cwd);
    path_put(&cwd);
    for (unsigned i = 0; n > 0; i++) {
        char *line = text_reserve(text, MOUNT_LINE_BYTES);
        n = line == NULL ? 0 : mount_describe(i, &root, mountinfo, line, MOUNT_LINE_BYTES);
        text->len += n;
    }
    path_put(&root);
    fs_context_put(fs);
    return 0;
}

static int mounts_show(struct text *text, const struct proc_target *target)
{
    return show_mounts(text, target, false);
}

static int mountinfo_show(struct text *text, const struct proc_target *target)
{
    return show_mounts(text, target, true);
}

#define PID_FILE(name_, perm_, flags_)                                                             \
    PROC_PID_FILE(name_) = {                                                                       \
        .name = #name_, .mode = S_IFREG | (perm_), .flags = (flags_), .show = name_##_show}

PID_FILE(cmdline, 0444, PROC_PID_TASK);
PID_FILE(environ, 0400, PROC_PID_TASK | PROC_PID_ACCESS);
PID_FILE(auxv, 0400, PROC_PID_TASK | PROC_PID_ACCESS);
PID_FILE(mounts, 0444, PROC_PID_TASK);
PID_FILE(mountinfo, 0444, PROC_PID_TASK);
