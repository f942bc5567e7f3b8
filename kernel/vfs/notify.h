/*
 * Telling what happens to files: who wants to know hangs a mark on an inode, and what does things to files says so here.
 *
 * When nobody anywhere wants an event of the kind, saying so is one test of a global word.
 *
 * Events are IN_* of linux/inotify.h, seldom more than one at a time. An event of a file that is reached by a path is told to the marks of its
 * inode and, with its name, to those of the directory that the path names it in. Thread context, no spin lock held; may sleep.
 */
#pragma once

#include <linux/inotify.h>

#include "kernel/vfs/file.h"

/* ---- what happens ---- */

extern uint32_t notify_wanted; /* [a] union of what is wanted now, at least */

static inline bool notify_is_wanted(uint32_t event)
{
    return unlikely((atomic_load_relaxed(&notify_wanted) & event) != 0);
}

void notify_path_slow(const struct path *path, uint32_t event);
void notify_name_slow(struct inode *dir, const char *name, unsigned len, struct inode *inode,
                      uint32_t event);
void notify_inode_slow(struct inode *inode, uint32_t event);
void notify_inode_removed_slow(struct inode *inode);

/* Something that is found by a path: IN_OPEN, IN_ACCESS, IN_MODIFY, IN_ATTRIB, IN_CLOSE_*. */
static inline void notify_path(const struct path *path, uint32_t event)
{
    if (notify_is_wanted(event)) {
        notify_path_slow(path, event);
    }
}

static inline void notify_file(const struct file *file, uint32_t event)
{
    if (notify_is_wanted(event) && (file->mode & (FMODE_PATH | FMODE_NONOTIFY)) == 0) {
        notify_path_slow(&file->path, event);
    }
}

/* A name in a directory: IN_CREATE, IN_DELETE. `inode` is what it names; for its kind alone. */
static inline void notify_name(struct inode *dir, const char *name, unsigned len,
                               struct inode *inode, uint32_t event)
{
    if (notify_is_wanted(event)) {
        notify_name_slow(dir, name, len, inode, event);
    }
}

/* An inode whatever its names are: IN_ATTRIB when their number changed. */
static inline void notify_inode(struct inode *inode, uint32_t event)
{
    if (notify_is_wanted(event)) {
        notify_inode_slow(inode, event);
    }
}

/* A name of the inode goes with all its users: if it was the last, that is the end of the file: IN_DELETE_SELF, and its marks go. */
static inline void notify_inode_removed(struct inode *inode)
{
    if (unlikely(atomic_load_relaxed(&inode->marks) != NULL) && inode->nlink == 0) {
        notify_inode_removed_slow(inode);
    }
}

/* A rename has been done: IN_MOVED_FROM and IN_MOVED_TO with a cookie of their own, IN_MOVE_SELF. */
struct notify_rename {
    struct inode *from_dir, *to_dir, *inode;
    const char *from_name, *to_name;
    unsigned from_len, to_len;
};
#define NOTIFY_RENAME ((uint32_t)(IN_MOVED_FROM | IN_MOVED_TO | IN_MOVE_SELF))
void notify_rename_slow(const struct notify_rename *rename);

/* setattr has done what ATTR_* say (inode.h): the event that this is; 0: none. */
uint32_t notify_event_of_attr(unsigned valid);

/* The file system goes: IN_UNMOUNT, and all marks of its inodes. */
void notify_super_gone(struct super *super);

/* The inode goes, and has no marks any more. */
struct notify_marks;
void notify_marks_free(struct notify_marks *marks);

/* ---- who wants to know ---- */

struct notify_event {
    uint32_t mask;    /* IN_* of what happened, and IN_ISDIR */
    uint32_t cookie;  /* of the two halves of a rename; else 0 */
    const char *name; /* terminated; NULL: the marked inode itself */
    unsigned name_len;
    bool unlinked; /* the name is no name any more */
};

struct notify_mark;
struct notify_ops {
    /* An event that mark->mask has. True: the mark has served, and goes. May sleep. */
    bool (*event)(struct notify_mark *mark, const struct notify_event *event);
    /* The mark is on no inode any more, and will not be. Called once, by whoever took it off; then its reference goes. */
    void (*detached)(struct notify_mark *mark);
    void (*free)(struct notify_mark *mark);
};

struct notify_mark {
    const struct notify_ops *ops; /* [I] */
    void *owner;                  /* [I] whoever wants to know: one mark on an inode at most */
    struct refcount refs;         /* one while it is on an inode */
    uint32_t mask;                /* [marks->lock] IN_* */
    bool spent;                   /* [a] has served */
    struct inode *inode;          /* [a] referenced; NULL: detached; written with notify_lock */
    struct list_node node;        /* [marks->lock] */
    struct list_node all_node;    /* [notify_lock] */
};

/* A fresh mark with one reference: the inode's, from notify_mark_attach() on. */
void notify_mark_init(struct notify_mark *mark, const struct notify_ops *ops, void *owner);
void notify_mark_put(struct notify_mark *mark);
static inline void notify_mark_get(struct notify_mark *mark)
{
    refcount_get(&mark->refs);
}
/* Hang it on an inode, which the caller has a reference to. The caller sees to it that the owner has no other there. -ENOMEM. */
int notify_mark_attach(struct notify_mark *mark, struct inode *inode, uint32_t mask);
/* The owner's mark on an inode that the caller has a reference to, referenced, or NULL. */
struct notify_mark *notify_mark_find(struct inode *inode, const void *owner);
/* What it wants from now on. It may have been detached meanwhile. The inode as above. */
void notify_mark_set(struct notify_mark *mark, struct inode *inode, uint32_t mask);
/* Take it off, if nobody else did. The caller has a reference of its own. */
void notify_mark_detach(struct notify_mark *mark);
