/*
 * Files whose owner is told by a signal that something can be done with them (fcntl(2): O_ASYNC, F_SETOWN, F_SETSIG).
 *
 * What can become ready has a struct async_list for each kind of reader or writer. A file that can be asked for this has a fasync operation,
 * which puts the file on the lists or takes it off; whoever makes the thing ready calls async_tell(), beside waking who sleeps.
 *
 * Locks:  l list->lock (spin, irqsave) -> the owner lock of fcntl.c -> what sending a signal takes
 */
#pragma once

#include <asm/siginfo.h>

#include "kernel/base/list.h"
#include "kernel/sync/spinlock.h"

struct file;

struct async_list {
    struct spinlock lock;
    struct list_node files; /* [l] */
};

void async_list_init(struct async_list *list);
/*
 * For fasync operations: `fd` is the number that the signal tells, renewed if the file is on the list already; off: -1 is fine. 0, -ENOMEM.
 * Thread context.
 */
int async_set(struct async_list *list, int fd, struct file *file, bool on);

/* Tell the owners of all files on the list; `code` is POLL_IN, POLL_OUT, POLL_HUP ... of <asm/siginfo.h>. Any context. */
void async_tell_all(struct async_list *list, int code);
static inline bool async_is_wanted(const struct async_list *list)
{
    return unlikely(READ_ONCE(list->files.next) != &list->files);
}
static inline void async_tell(struct async_list *list, int code)
{
    if (async_is_wanted(list)) {
        async_tell_all(list, code);
    }
}

/* The owner gets SIGURG, whether O_ASYNC is set or not (socket(7)). The caller has a hold on the file. Any context. */
void file_tell_urgent(struct file *file);
