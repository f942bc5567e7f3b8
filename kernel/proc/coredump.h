/*
 * Core dumps (core(5)): what a process leaves behind when a signal ends it.
 *
 * The thread that takes the signal ends its siblings; each of them comes to a halt before it lets go of anything, and lies there for
 * the dump. The dump is an ELF file written from front to back, page by page, with holes for what was never touched; SIGKILL ends it early.
 */
#pragma once

#include "kernel/proc/signal.h"

/* /proc/PID/coredump_filter: bits of core(5). */
#define COREDUMP_ANON_PRIVATE   0x01u
#define COREDUMP_ANON_SHARED    0x02u
#define COREDUMP_MAPPED_PRIVATE 0x04u
#define COREDUMP_MAPPED_SHARED  0x08u
#define COREDUMP_ELF_HEADERS    0x10u
#define COREDUMP_FILTER_MASK    0x1ffu
#define COREDUMP_FILTER_DEFAULT 0x33u

#define COREDUMP_PATTERN_SIZE 128

/* /proc/sys/kernel/core_pattern, core_uses_pid, /proc/sys/fs/suid_dumpable. */
extern struct coredump_settings {
    struct spinlock lock;
    char pattern[COREDUMP_PATTERN_SIZE]; /* [lock] */
    bool uses_pid;                       /* [a] */
    int suid_dumpable;                   /* [a] 0, 1, 2 */
} coredump_settings;
void coredump_pattern_get(char pattern[COREDUMP_PATTERN_SIZE]);
void coredump_pattern_set(const char *text, size_t len_bytes); /* the rest is cut off */

/*
 * The current process dies of this signal: dump it if that is wanted and possible. True: there is a core. In any case the process is ending
 * when this returns: the caller ends the thread with it.
 */
bool coredump_process(const siginfo_t *info);
/* A thread of an ending process is still whole: halt for as long as a sibling dumps. */
void coredump_halt(void);
static inline bool coredump_is_running(const struct process *process)
{
    return unlikely(atomic_load_relaxed(&process->dumping));
}

/* ---- the name (coredump_name.c); pure ---- */

struct coredump_facts {
    int pid, tid, signal, dumpable;
    uint32_t uid, gid;
    uint64_t limit; /* RLIMIT_CORE */
    int64_t time_s;
    unsigned cpu;
    const char *comm, *host, *exe; /* exe: path, or "" */
};
/*
 * The file's name as a pattern wants it (core(5), "Naming of core dump files"). What is put in holds no slash, and is no "." or "..".
 * -ENAMETOOLONG.
 */
int coredump_name(const char *pattern, bool uses_pid, const struct coredump_facts *facts,
                  char *name, size_t size);

/* ---- the file (coredump_elf.c) ---- */

/* Where the bytes go. */
struct coredump_sink {
    /* 0, or an error, after which nothing more is asked for. */
    int (*write)(struct coredump_sink *sink, const void *data, size_t len_bytes);
    int (*skip)(struct coredump_sink *sink, uint64_t len_bytes); /* a hole */
};

/* A piece of the address space. */
struct coredump_segment {
    uint64_t start, end;
    uint64_t dump_bytes; /* of it, from the start */
    uint32_t flags;      /* PF_R PF_W PF_X */
    bool empty;          /* nothing of it was ever touched */
    bool backed;         /* untouched pages have content: a file's */
};

/* One page of a segment's memory into `page`: true; false: it is a hole. */
typedef bool coredump_page_fn(void *context, const struct coredump_segment *segment, uint64_t va,
                              void *page);

struct coredump_image {
    const struct coredump_segment *segments;
    size_t nsegments;
    const void *notes; /* the whole of PT_NOTE */
    size_t notes_bytes;
    coredump_page_fn *page;
    bool (*interrupted)(void *context);
    void *context;
};
/* Write the core. 0, -EINTR, -ENOMEM, or the sink's error. May sleep. */
int coredump_write(const struct coredump_image *image, struct coredump_sink *sink);

/* Notes, one after the other into a buffer that grows; vfree(data) when done. */
struct coredump_notes {
    uint8_t *data;
    size_t len, size;
    int err; /* the first one */
};
/* Room for a note's description of that many bytes, zeroed; NULL: no memory, and `err` says so. */
void *coredump_note(struct coredump_notes *notes, const char *name, uint32_t type,
                    size_t desc_bytes);
