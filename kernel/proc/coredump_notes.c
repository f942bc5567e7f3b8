/*
 * The notes of a core dump (core(5); Linux's order, which debuggers rely on): the state of each thread, the one that dumps first, and
 * behind its status what concerns the process.
 *
 * Layouts: struct elf_prstatus and elf_prpsinfo as C libraries have them in sys/procfs.h; NT_FILE as a count, the page size, that many
 * triples of start, end and offset in pages, and their names.
 */
#include <linux/elf.h>

#include "kernel/base/string.h"
#include "kernel/machine/debug.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/proc/coredump_impl.h"

#define PATH_BYTES    4096u
#define FILE_NOTE_MAX (4u << 20)
#define PSARGS_BYTES  80
#define CORE          "CORE"

struct note_status {
    int32_t si_signo, si_code, si_errno;
    int16_t cursig;
    uint64_t sigpend, sighold;
    int32_t pid, ppid, pgrp, sid;
    struct __kernel_old_timeval utime, stime, cutime, cstime;
    uint64_t regs[27];
    int32_t fpvalid;
};
_Static_assert(sizeof(struct note_status) == 336, "sys/procfs.h, struct elf_prstatus");

struct note_psinfo {
    char state, sname, zomb, nice;
    uint64_t flag;
    uint32_t uid, gid;
    int32_t pid, ppid, pgrp, sid;
    char fname[16];
    char psargs[PSARGS_BYTES];
};
_Static_assert(sizeof(struct note_psinfo) == 136, "sys/procfs.h, struct elf_prpsinfo");

static struct __kernel_old_timeval timeval_of(ktime_t ns)
{
    return (struct __kernel_old_timeval){.tv_sec = ns / NS_PER_S,
                                         .tv_usec = ns % NS_PER_S / NS_PER_US};
}

/* A note's words: notes are aligned to 4 bytes only. */
typedef uint64_t note_word __attribute__((aligned(4)));

/* A note with this content. */
static void note_copy(struct coredump_notes *notes, const char *name, unsigned type,
                      const void *content, size_t size)
{
    void *desc = coredump_note(notes, name, type, size);

    if (desc != NULL) {
        memcpy(desc, content, size);
    }
}

/* ---- a thread ---- */

static void note_status(struct coredump_notes *notes, const struct coredump *dump,
                        struct thread *thread)
{
    struct process *process = dump->process;
    struct note_status status;
    struct usage usage;

    memset(&status, 0, sizeof(status)); /* what lies between its members is written out too */
    status.fpvalid = 1;
    if (thread == process->leader) {
        process_usage(process, &usage);
    } else {
        thread_usage(thread, &usage);
    }
    status.si_signo = status.cursig = (int16_t)dump->info->si_signo;
    status.sigpend = thread->sig_pending.set;
    status.sighold = thread->sig_blocked;
    status.pid = thread->pid->nr;
    status.ppid = process_parent_nr(process);
    status.pgrp = process->group->nr;
    status.sid = process->session->nr;
    status.utime = timeval_of(usage.user_ns);
    status.stime = timeval_of(usage.system_ns);
    status.cutime = timeval_of(process->reaped.user_ns);
    status.cstime = timeval_of(process->reaped.system_ns);
    if (cpu_regset_size(NT_PRSTATUS) == sizeof(status.regs)) {
        cpu_regset_get(thread, NT_PRSTATUS, status.regs);
    }
    note_copy(notes, CORE, NT_PRSTATUS, &status, sizeof(status));
}

static void note_registers(struct coredump_notes *notes, struct thread *thread, const char *name,
                           unsigned type)
{
    size_t size = cpu_regset_size(type);
    void *set = size == 0 ? NULL : kzalloc(size); /* aligned, as a note is not */

    if (size != 0 && set == NULL) {
        notes->err = -ENOMEM;
    } else if (size != 0) {
        cpu_regset_get(thread, type, set);
        note_copy(notes, name, type, set, size);
        kfree(set);
    }
}

/* ---- the process ---- */

/* The arguments, with blanks between them, as far as there is room. */
static void read_arguments(struct vmspace *vm, char args[PSARGS_BYTES])
{
    size_t len = MIN(vm->arg_end - vm->arg_start, (uint64_t)PSARGS_BYTES - 1);
    ssize_t n = vmspace_access(vm, vm->arg_start, args, len, false, true);

    for (ssize_t i = 0; i < n; i++) {
        if (args[i] == '\0') {
            args[i] = ' ';
        }
    }
    args[MAX(n, 0)] = '\0';
}

static void note_psinfo(struct coredump_notes *notes, const struct coredump *dump)
{
    const struct process *process = dump->process;
    const struct cred *cred = cred_current();
    struct note_psinfo info;

    memset(&info, 0, sizeof(info));
    info.sname = 'R';
    info.nice = (char)current_thread()->nice;
    info.uid = cred->uid;
    info.gid = cred->gid;
    info.pid = process->pid->nr;
    info.ppid = process_parent_nr(dump->process);
    info.pgrp = process->group->nr;
    info.sid = process->session->nr;
    memcpy(info.fname, process->leader->comm, sizeof(info.fname));
    read_arguments(dump->vm, info.psargs);
    note_copy(notes, CORE, NT_PRPSINFO, &info, sizeof(info));
}

/* ---- mapped files ---- */

struct file_note {
    note_word *words; /* NULL: count only */
    char *names, *names_end;
    uint64_t count;
    size_t name_bytes;
};

/* One pass over the files: without a buffer they are counted, with one written, as far as they were counted. vm->lock held. */
static void files_pass(struct vmspace *vm, struct file_note *note, char *path)
{
    uint64_t limit = note->words != NULL ? note->count : UINT64_MAX, i = 0, dev, ino;

    for (struct vm_region *region = vmspace_first(vm); region != NULL && i < limit;
         region = vm_region_next(region)) {
        if (region->source == NULL || region->source->ops->describe == NULL) {
            continue;
        }
        path[0] = '\0';
        region->source->ops->describe(region->source, &dev, &ino, path, PATH_BYTES);
        size_t len = strlen(path) + 1;
        if (len == 1) {
            continue;
        }
        if (note->words != NULL) {
            if ((size_t)(note->names_end - note->names) < len) {
                break;
            }
            note->words[3 * i] = region->start;
            note->words[3 * i + 1] = region->end;
            note->words[3 * i + 2] = region->pgoff;
            memcpy(note->names, path, len);
            note->names += len;
        } else {
            note->name_bytes += len;
        }
        i++;
    }
    note->count = i;
}

static void note_files(struct coredump_notes *notes, struct vmspace *vm)
{
    struct file_note note = {.words = NULL};
    char *path = kmalloc(PATH_BYTES);

    if (path == NULL) {
        notes->err = -ENOMEM;
        return;
    }
    rwsem_lock_read(&vm->lock);
    files_pass(vm, &note, path);
    rwsem_unlock_read(&vm->lock);
    size_t size = 16 + note.count * 24 + note.name_bytes;
    note_word *desc = size > FILE_NOTE_MAX ? NULL : coredump_note(notes, CORE, NT_FILE, size);
    if (desc != NULL) {
        uint64_t counted = note.count;
        note.words = desc + 2;
        note.names = (char *)(note.words + 3 * note.count);
        note.names_end = note.names + note.name_bytes;
        rwsem_lock_read(&vm->lock);
        files_pass(vm, &note, path);
        rwsem_unlock_read(&vm->lock);
        /* A process that shares the space may have unmapped some meanwhile: the names follow the last one that is there. */
        if (note.count < counted) {
            memmove(note.words + 3 * note.count, note.words + 3 * counted, note.name_bytes);
        }
        desc[0] = note.count;
        desc[1] = PAGE_SIZE;
    }
    kfree(path);
}

/* ---- all of them ---- */

static void notes_of_thread(struct coredump_notes *notes, const struct coredump *dump,
                            struct thread *thread)
{
    struct vmspace *vm = dump->vm;

    note_status(notes, dump, thread);
    if (thread == current_thread()) {
        note_psinfo(notes, dump);
        note_copy(notes, CORE, NT_SIGINFO, dump->info, sizeof(siginfo_t));
        note_copy(notes, CORE, NT_AUXV, vm->auxv, vm->nauxv * 2 * sizeof(vm->auxv[0]));
        note_files(notes, vm);
    }
    note_registers(notes, thread, CORE, NT_PRFPREG);
    note_registers(notes, thread, "LINUX", NT_X86_XSTATE);
}

int coredump_make_notes(const struct coredump *dump, struct coredump_notes *notes)
{
    struct thread *thread;

    notes_of_thread(notes, dump, current_thread());
    for (int tid = 0; (thread = process_next_thread(dump->process, tid)) != NULL;) {
        tid = thread->pid->nr + 1;
        if (thread != current_thread() && !thread->exiting) {
            /* It lies in coredump_halt(); one that is just going to sleep there is met a moment later. */
            while (!thread_wait_switched_out(thread, THREAD_UNINTERRUPTIBLE)) {
                thread_sleep_ns(50 * NS_PER_US);
            }
            notes_of_thread(notes, dump, thread);
        }
        thread_put(thread);
    }
    return notes->err;
}
