/*
 * Making a core dump: whether, of what, and into which file (core(5)).
 *
 * Order: is it wanted at all (limit, dumpable, a pattern that names a file)? Then the process is made to end, with `dumping` set: siblings halt
 * on their way out, in coredump_halt(); those that were past it already begin to end. When the last has done so, notes and the list of regions are
 * made, the file is opened and written, and everybody goes on ending.
 *
 * Locks: `dumping` and `dump_left` of the process: siglock.
 */
#include <linux/elf.h>
#include <linux/fcntl.h>

#include "kernel/base/string.h"
#include "kernel/core/log.h"
#include "kernel/core/time.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/coredump_impl.h"
#include "kernel/proc/uts.h"
#include "kernel/vm/iov.h"

#define NAME_BYTES 4096u

struct coredump_settings coredump_settings = {
    .lock = SPINLOCK_INIT("core pattern"),
    .pattern = "core",
};

void coredump_pattern_get(char pattern[COREDUMP_PATTERN_SIZE])
{
    spin_lock(&coredump_settings.lock);
    memcpy(pattern, coredump_settings.pattern, COREDUMP_PATTERN_SIZE);
    spin_unlock(&coredump_settings.lock);
}

void coredump_pattern_set(const char *text, size_t len)
{
    len = MIN(len, (size_t)COREDUMP_PATTERN_SIZE - 1);
    spin_lock(&coredump_settings.lock);
    memcpy(coredump_settings.pattern, text, len);
    coredump_settings.pattern[len] = '\0';
    spin_unlock(&coredump_settings.lock);
}

/* ---- halting the others ---- */

void coredump_halt(void)
{
    struct process *process = process_current();
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    bool halt = process->dumping && process->dumper != current_thread();
    bool last = halt && --process->dump_left == 0;

    spin_unlock_irqrestore(&process->siglock, flags);
    if (!halt) {
        return;
    }
    if (last) {
        wait_wake_all(&process->threads_wait, 0);
    }
    wait_event(&process->threads_wait, !atomic_load_acquire(&process->dumping));
}

/* The process ends from here on. False: it did so already, by another thread. */
static bool dump_begin(struct process *process, int signo)
{
    uint64_t flags = spin_lock_irqsave(&process->siglock);
    bool first = !process->group_exiting && process->exec_thread == NULL;

    if (first) {
        process->dumper = current_thread();
        process->dump_left = process->nlive - 1;
        atomic_store_relaxed(&process->dumping, true);
        (void)group_exit_locked(process, signo);
    }
    spin_unlock_irqrestore(&process->siglock, flags);
    if (first) {
        call_finish(process, CALL_END);
        wait_event(&process->threads_wait, atomic_load_acquire(&process->dump_left) == 0);
    }
    return first;
}

static void dump_end(struct process *process, bool made)
{
    uint64_t flags = spin_lock_irqsave(&process->siglock);

    process->exit_code |= made ? 0x80 : 0;
    process->shared.set &= ~SIGMASK(SIGKILL); /* it has ended the dump */
    atomic_store_release(&process->dumping, false);
    spin_unlock_irqrestore(&process->siglock, flags);
    wait_wake_all(&process->threads_wait, 0);
}

/* ---- memory ---- */

static uint64_t dump_bytes(const struct vm_region *region, unsigned filter)
{
    uint64_t whole = region->end - region->start;

    if ((region->flags & VM_SPECIAL) != 0) {
        return whole; /* the vDSO */
    }
    if ((region->flags & VM_DONTDUMP) != 0 ||
        (region->source != NULL && region->source->cache == NULL)) {
        return 0;
    }
    if ((region->flags & VM_SHARED) != 0) {
        unsigned bit =
            (region->flags & VM_ANON_CACHE) != 0 ? COREDUMP_ANON_SHARED : COREDUMP_MAPPED_SHARED;
        return (filter & bit) != 0 ? whole : 0;
    }
    if ((filter & COREDUMP_ANON_PRIVATE) != 0 && region->has_anon) {
        return whole;
    }
    if (region->source == NULL) {
        return 0;
    }
    if ((filter & COREDUMP_MAPPED_PRIVATE) != 0) {
        return whole;
    }
    bool head = (filter & COREDUMP_ELF_HEADERS) != 0 && region->pgoff == 0 &&
                (region->flags & VM_READ) != 0;
    return head ? PAGE_SIZE : 0;
}

static struct coredump_segment segment_of(const struct vm_region *region, unsigned filter)
{
    return (struct coredump_segment){
        .start = region->start,
        .end = region->end,
        .dump_bytes = dump_bytes(region, filter),
        .flags = ((region->flags & VM_READ) != 0 ? PF_R : 0) |
                 ((region->flags & VM_WRITE) != 0 ? PF_W : 0) |
                 ((region->flags & VM_EXEC) != 0 ? PF_X : 0),
        .empty = region->source == NULL && !region->touched,
        .backed = region->source != NULL,
    };
}

/* What a neighbour that shares the memory maps after the first look has no place in it. */
static int list_segments(struct vmspace *vm, unsigned filter, struct coredump_image *image)
{
    size_t room = atomic_load_relaxed(&vm->nregions) + 1u, n = 0;
    struct coredump_segment *segments = vmalloc(room * sizeof(*segments));

    if (segments == NULL) {
        return -ENOMEM;
    }
    rwsem_lock_read(&vm->lock);
    for (struct vm_region *region = vmspace_first(vm); region != NULL && n < room;
         region = vm_region_next(region)) {
        segments[n++] = segment_of(region, filter);
    }
    rwsem_unlock_read(&vm->lock);
    image->segments = segments;
    image->nsegments = n;
    return 0;
}

static bool is_zero(const void *page)
{
    const uint64_t *words = page;

    for (size_t i = 0; i < PAGE_SIZE / sizeof(*words); i++) {
        if (words[i] != 0) {
            return false;
        }
    }
    return true;
}

static bool read_page(void *context, const struct coredump_segment *segment, uint64_t va,
                      void *page)
{
    const struct coredump *dump = context;

    if (!segment->backed && !vmspace_page_exists(dump->vm, va)) {
        return false;
    }
    return vmspace_access(dump->vm, va, page, PAGE_SIZE, false, true) == (ssize_t)PAGE_SIZE &&
           !is_zero(page);
}

static bool is_interrupted(void *context)
{
    const struct coredump *dump = context;

    return (atomic_load_relaxed(&dump->process->shared.set) & SIGMASK(SIGKILL)) != 0;
}

/* ---- the file ---- */

struct file_sink {
    struct coredump_sink sink;
    struct file *file;
    loff_t pos;
    uint64_t written, limit;
};

static int file_sink_write(struct coredump_sink *sink, const void *data, size_t len)
{
    struct file_sink *to = container_of(sink, struct file_sink, sink);
    struct iov_iter iter;

    if (len > to->limit - to->written) {
        return -EFBIG;
    }
    while (len > 0) {
        iov_init_kernel(&iter, (void *)(uintptr_t)data, len);
        ssize_t n = vfs_write(to->file, &iter, &to->pos);
        if (n <= 0) {
            return n < 0 ? (int)n : -EIO;
        }
        data = (const uint8_t *)data + n;
        len -= (size_t)n;
        to->written += (uint64_t)n;
    }
    return 0;
}

static int file_sink_skip(struct coredump_sink *sink, uint64_t len)
{
    struct file_sink *to = container_of(sink, struct file_sink, sink);

    to->pos += (loff_t)len;
    return 0;
}

/* A core replaces one of the same name, but follows no link, and goes into no file that others have a hand in. */
static int open_core(const struct coredump *dump, const char *name, struct file **ret_file)
{
    if (dump->dumpable == 2 && name[0] != '/') {
        log_once(LOG_NOTICE, "coredump: a core of a privileged program wants a pattern with a "
                             "whole path; none is made");
        return -EPERM;
    }
    if (dump->dumpable != 2) {
        (void)vfs_unlink(AT_FDCWD, name);
    }
    int err = vfs_open(AT_FDCWD, name, O_CREAT | O_EXCL | O_RDWR | O_NOFOLLOW | O_LARGEFILE, 0600,
                       0, ret_file);
    if (err < 0) {
        return err;
    }
    const struct inode *inode = (*ret_file)->inode;
    if (!S_ISREG(inode->mode) || inode->nlink > 1 || inode->uid != cred_current()->fsuid ||
        (inode->mode & 0677) != 0600) {
        file_put(*ret_file);
        return -EPERM;
    }
    return 0;
}

/* suid_dumpable 2: the core is root's, whoever the program ran for. The process ends, so it stays that way. */
static int become_owner(const struct coredump *dump)
{
    if (dump->dumpable != 2) {
        return 0;
    }
    struct cred *cred = cred_clone(cred_current());
    if (cred == NULL) {
        return -ENOMEM;
    }
    cred->fsuid = 0;
    cred_commit(cred);
    return 0;
}

static int name_core(const struct coredump *dump, char *name)
{
    const struct vmspace *vm = dump->vm;
    char pattern[COREDUMP_PATTERN_SIZE];
    struct new_utsname uts;
    uint64_t dev, ino;
    char *exe = kzalloc(NAME_BYTES);

    if (exe == NULL) {
        return -ENOMEM;
    }
    if (vm->exe != NULL && vm->exe->ops->describe != NULL) {
        vm->exe->ops->describe(vm->exe, &dev, &ino, exe, NAME_BYTES);
    }
    uts_get(&uts);
    coredump_pattern_get(pattern);
    const struct coredump_facts facts = {
        .pid = dump->process->pid->nr,
        .tid = current_thread()->pid->nr,
        .signal = dump->info->si_signo,
        .dumpable = dump->dumpable,
        .uid = cred_current()->uid,
        .gid = cred_current()->gid,
        .limit = dump->limit,
        .time_s = ktime_realtime() / NS_PER_S,
        .cpu = current_thread()->cpu,
        .comm = current_thread()->comm,
        .host = uts.nodename,
        .exe = exe,
    };
    int err = coredump_name(pattern, atomic_load_relaxed(&coredump_settings.uses_pid), &facts, name,
                            NAME_BYTES);
    kfree(exe);
    return err;
}

static int dump_to_file(struct coredump *dump, const struct coredump_image *image)
{
    struct file_sink sink = {.sink = {file_sink_write, file_sink_skip}, .limit = dump->limit};
    char *name = kmalloc(NAME_BYTES);

    if (name == NULL) {
        return -ENOMEM;
    }
    int err = name_core(dump, name);
    if (err == 0) {
        err = become_owner(dump);
    }
    if (err == 0) {
        err = open_core(dump, name, &sink.file);
    }
    kfree(name);
    if (err < 0) {
        return err;
    }
    /* One that is cut short, by the limit, a full disk or SIGKILL, is a core all the same. */
    if (coredump_write(image, &sink.sink) == 0) {
        (void)vfs_ftruncate(sink.file, sink.pos); /* it may end with a hole */
    }
    file_put(sink.file);
    return 0;
}

/* ---- all of it ---- */

static bool is_wanted(const struct coredump *dump)
{
    char pattern[COREDUMP_PATTERN_SIZE];

    if (dump->dumpable == 0 || dump->limit < PAGE_SIZE) {
        return false;
    }
    coredump_pattern_get(pattern);
    if (pattern[0] == '|') {
        log_once(
            LOG_NOTICE,
            "coredump: core_pattern names a program (%s), which gets no cores here; none is made",
            pattern);
        return false;
    }
    return true;
}

static int dump_now(struct coredump *dump)
{
    struct coredump_image image = {
        .page = read_page, .interrupted = is_interrupted, .context = dump};
    struct coredump_notes notes = {.data = NULL};
    int err = coredump_make_notes(dump, &notes);

    if (err == 0) {
        err = list_segments(dump->vm, dump->process->coredump_filter, &image);
    }
    if (err == 0) {
        image.notes = notes.data;
        image.notes_bytes = notes.len;
        err = dump_to_file(dump, &image);
    }
    vfree((void *)(uintptr_t)image.segments);
    vfree(notes.data);
    return err;
}

bool coredump_process(const siginfo_t *info)
{
    struct process *process = process_current();
    struct vmspace *vm = current_thread()->vm;
    struct coredump dump = {.process = process,
                            .vm = vm,
                            .info = info,
                            .dumpable = atomic_load_relaxed(&vm->dumpable),
                            .limit = process->limits[RLIMIT_CORE].rlim_cur};

    if (!is_wanted(&dump) || !dump_begin(process, info->si_signo)) {
        return false;
    }
    int err = dump_now(&dump);
    dump_end(process, err == 0);
    return err == 0;
}
