/*
 * Credentials: immutable, shared, replaced as a whole (cred_clone, change, cred_commit by the thread itself).
 * Capabilities as in capabilities(7); all sets are 64-bit masks.
 */
#pragma once

#include "kernel/sched/thread.h"
#include "kernel/sync/rcu.h"

struct group_list {
    struct refcount refs;
    uint32_t count;
    uint32_t gids[]; /* sorted */
};

/* What a real user ID uses, over all its processes: RLIMIT_NPROC, RLIMIT_SIGPENDING and pipe_limits are about it. */
struct user {
    struct refcount refs;
    uint32_t uid;           /* [I] */
    struct user *next;      /* [table lock] */
    uint64_t files_sent;    /* [a] open files that sockets' messages carry */
    uint32_t nprocesses;    /* [a] */
    uint32_t nsigpending;   /* [a] */
    uint64_t epoll_watches; /* [a] files in their epoll sets */
    uint64_t pipe_pages;    /* [a] that their pipes may hold: pipe_limits */
    uint64_t mq_bytes;      /* [a] that their POSIX message queues may hold */
    uint64_t shm_locked;    /* [a] pages of segments that they locked: RLIMIT_MEMLOCK */

    uint64_t inotify_watches;   /* [a] */
    uint32_t inotify_instances; /* [a] */
};
extern struct user user_root;

/* How much memory pipes may hold (pipe(7), "/proc files"). The privileged may exceed it. */
struct pipe_limits {
    uint32_t max_bytes; /* [a] of one pipe */
    uint64_t soft_pages,
        hard_pages; /* [a] of one user: smaller pipes beyond; none beyond. 0: no limit */
};
extern struct pipe_limits pipe_limits;
/* The one of `uid`, referenced; NULL: no memory. Any context. */
struct user *user_find(uint32_t uid);
static inline struct user *user_get(struct user *user)
{
    refcount_get(&user->refs);
    return user;
}
void user_put(struct user *user);

struct cred {
    struct refcount refs;
    struct rcu_head rcu; /* other threads look at a thread's without a reference */
    uint32_t uid, euid, suid, fsuid;
    uint32_t gid, egid, sgid, fsgid;
    uint64_t cap_permitted, cap_effective, cap_inheritable, cap_bounding, cap_ambient;
    uint32_t securebits;
    struct group_list *groups; /* NULL: none */
    struct user *user;         /* of uid, referenced; cred_commit() sees to it */
};

extern struct cred cred_init_user; /* root with everything: init's */

static inline const struct cred *cred_current(void)
{
    return current_thread()->cred;
}

static inline struct cred *cred_get(struct cred *cred)
{
    refcount_get(&cred->refs);
    return cred;
}
void cred_put(struct cred *cred);
/* A private copy with one reference, or NULL. */
struct cred *cred_clone(const struct cred *cred);
/* Make `cred` (reference taken over) the current thread's. */
void cred_commit(struct cred *cred);
/* The same for one of the same real user; the former ones are for the caller to put. Any context. */
static inline struct cred *cred_replace(struct cred *cred)
{
    struct cred *former = current_thread()->cred;

    rcu_assign_pointer(current_thread()->cred, cred);
    return former;
}

/* Does who has `new` act as another user or group, or with more rights, than who has `old`? */
bool cred_acts_as_other(const struct cred *new, const struct cred *old);
bool cred_in_group(const struct cred *cred, uint32_t gid); /* fsgid or supplementary */
bool cred_has_cap(const struct cred *cred, unsigned cap);  /* CAP_* of linux/capability.h */
static inline bool current_has_cap(unsigned cap)
{
    return cred_has_cap(cred_current(), cap);
}
struct group_list *group_list_create(const uint32_t *gids,
                                     uint32_t count); /* sorts; NULL: no memory */
void group_list_put(struct group_list *groups);
