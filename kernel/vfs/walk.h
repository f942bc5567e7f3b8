/*
 * The walk from a name to a dentry, as the rest of vfs drives it. Private to kernel/vfs.
 *
 *     walk_begin()              where to start
 *     walk_to_parent()          all components but the last; w->last is that one
 *     walk_last()               the last one; WALK_AGAIN: it was a link, go back to walk_to_parent()
 *     walk_end()                drop what is left
 *
 * The place where the walk stands (w->at) is borrowed as long as it is the start: the root or working directory of a context that
 * nobody shares, or a file that the caller holds. walk_take_path() turns it into references of the caller's own.
 */
#pragma once

#include "kernel/vfs/fdtable.h"
#include "kernel/vfs/mount.h"

#define WALK_AGAIN 1

/* Text that the walk still needs: what follows a symbolic link in the middle of a name. */
struct walk_frame {
    const char *rest;
    struct dentry *link; /* keeps link_target alive, referenced; NULL: the caller's own text */
    char *buffer;        /* kmalloc'd text of a readlink op, or NULL */
};

struct walk {
    struct path at;   /* here; see owned_* */
    struct path root; /* what "/" and the topmost ".." mean; see owned_root */
    bool owned_dentry, owned_mount, owned_root, owned_start;
    bool has_root;          /* root is filled in */
    bool borrowing;         /* counted in fs->walks */
    bool want_dir;          /* slashes followed the last component */
    uint8_t last_type;      /* enum last_type */
    uint8_t depth;          /* frames in use */
    uint8_t links;          /* symbolic links followed so far */
    unsigned flags;         /* LOOKUP_* */
    struct name last;       /* walk_to_parent: the last component */
    struct walk_frame text; /* current text; rest: what comes next */
    struct path start;      /* LOOKUP_BENEATH, LOOKUP_IN_ROOT: not above this */
    struct fd_ref fd;       /* dirfd */
    struct fs_context *fs;
    struct walk_frame frames[MAX_SYMLINKS];
};

/* base: a start of the caller's (must outlive the walk), or NULL for dirfd. -EBADF, -ENOTDIR, -ENOENT. */
int walk_begin(struct walk *w, int dirfd, const struct path *base, const char *name,
               unsigned flags);
int walk_to_parent(struct walk *w);
/* Resolve w->last: w->at moves there, unless it is a link to be followed: WALK_AGAIN. 0, or an error: -ENOENT. */
int walk_last(struct walk *w, bool follow);
/* Both in a loop, honouring LOOKUP_FOLLOW and LOOKUP_DIRECTORY. */
int walk_all(struct walk *w);
/* Follow the symbolic link `dentry` (reference taken over) found at w->at. WALK_AGAIN, 0 (a magic link: w->at is there) or error. */
int walk_follow(struct walk *w, struct dentry *dentry);
/* Move to `dentry` (reference taken over), a child of w->at, and on top of whatever is mounted on it. */
void walk_enter(struct walk *w, struct dentry *dentry);
int walk_enter_mounts(struct walk *w);
/* The result, referenced; the walk keeps nothing of it and must not go on. */
void walk_take_path(struct walk *w, struct path *ret_path);
void walk_end(struct walk *w);
