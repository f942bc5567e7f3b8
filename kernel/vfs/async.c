/*
 * Lists of files whose owners are told by signals.
 *
 * An entry belongs to its file: it goes when O_ASYNC is taken away, at the latest with the file (file->async says that there may be one).
 */
#include "kernel/vfs/async.h"

#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/private.h"

struct async_entry {
    struct list_node node; /* [l] */
    struct file *file;     /* [I] not referenced */
    int fd;                /* [l] */
};

void async_list_init(struct async_list *list)
{
    spin_init(&list->lock, "async list");
    list_init(&list->files);
}

static struct async_entry *entry_find_locked(struct async_list *list, const struct file *file)
{
    struct async_entry *entry;

    list_for_each (entry, &list->files, node) {
        if (entry->file == file) {
            return entry;
        }
    }
    return NULL;
}

static void entry_remove(struct async_list *list, const struct file *file)
{
    uint64_t flags = spin_lock_irqsave(&list->lock);
    struct async_entry *entry = entry_find_locked(list, file);

    if (entry != NULL) {
        list_remove(&entry->node);
    }
    spin_unlock_irqrestore(&list->lock, flags);
    kfree(entry);
}

int async_set(struct async_list *list, int fd, struct file *file, bool on)
{
    if (!on) {
        entry_remove(list, file);
        return 0;
    }
    struct async_entry *fresh = kmalloc(sizeof(*fresh));
    if (fresh == NULL) {
        return -ENOMEM;
    }
    *fresh = (struct async_entry){.file = file, .fd = fd};
    atomic_store_relaxed(&file->async, true);
    uint64_t flags = spin_lock_irqsave(&list->lock);
    struct async_entry *entry = entry_find_locked(list, file);
    if (entry != NULL) {
        entry->fd = fd;
    } else {
        list_push_back(&list->files, &fresh->node);
        fresh = NULL;
    }
    spin_unlock_irqrestore(&list->lock, flags);
    kfree(fresh);
    return 0;
}

void async_tell_all(struct async_list *list, int code)
{
    struct async_entry *entry;
    uint64_t flags = spin_lock_irqsave(&list->lock);

    list_for_each (entry, &list->files, node) {
        file_tell_owner(entry->file, entry->fd, code);
    }
    spin_unlock_irqrestore(&list->lock, flags);
}
