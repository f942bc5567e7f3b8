/*
 * How many slots pipes may have: F_SETPIPE_SZ, and what the pipes of a user hold together (pipe(7), /proc/sys/fs/pipe-user-pages-*).
 */
#include <linux/capability.h>

#include "kernel/base/bitmap.h"
#include "kernel/ipc/pipe.h"
#include "kernel/ipc/pipe_private.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/security/cred.h"

#define PIPE_SLOTS_LEAST 2u /* of a pipe beyond the soft limit of its user */

/* ---- accounts ---- */

/* The user's pipes may hold `more` slots than before. True: and this is more than `limit`. */
static inline bool account(struct user *user, int64_t more, uint64_t limit)
{
    uint64_t pages = atomic_fetch_add_relaxed(&user->pipe_pages, (uint64_t)more) + (uint64_t)more;

    return unlikely(pages > limit && limit != 0);
}

static bool is_privileged(void)
{
    return current_has_cap(CAP_SYS_RESOURCE) || current_has_cap(CAP_SYS_ADMIN);
}

uint32_t pipe_account_new(struct user *user)
{
    uint64_t hard = atomic_load_relaxed(&pipe_limits.hard_pages);
    uint32_t slots = PIPE_SLOTS;

    if (account(user, slots, atomic_load_relaxed(&pipe_limits.soft_pages)) && !is_privileged()) {
        (void)account(user, (int64_t)PIPE_SLOTS_LEAST - slots, 0);
        slots = PIPE_SLOTS_LEAST;
    }
    if (unlikely(hard != 0) && atomic_load_relaxed(&user->pipe_pages) > hard && !is_privileged()) {
        (void)account(user, -(int64_t)slots, 0);
        slots = 0;
    }
    return slots;
}

void pipe_account_drop(struct user *user, uint32_t slots)
{
    (void)account(user, -(int64_t)slots, 0);
}

/* ---- sizes ---- */

/* May a pipe of the user grow by so many slots? They are counted then. */
static bool may_grow(struct user *user, int64_t more)
{
    bool soft = account(user, more, atomic_load_relaxed(&pipe_limits.soft_pages));
    uint64_t hard = atomic_load_relaxed(&pipe_limits.hard_pages);
    bool over = soft || (hard != 0 && atomic_load_relaxed(&user->pipe_pages) > hard);

    if (more > 0 && unlikely(over) && !is_privileged()) {
        (void)account(user, -more, 0);
        return false;
    }
    return true;
}

static int64_t pipe_resize(struct pipe *pipe, uint32_t slots)
{
    struct pipe_slot *fresh = kcalloc(slots, sizeof(*fresh));
    int err = 0;

    if (fresh == NULL) {
        return -ENOMEM;
    }
    mutex_lock(&pipe->lock);
    uint32_t used = pipe->head - pipe->tail;
    if (used > slots) {
        err = -EBUSY;
    } else if (!may_grow(pipe->user, (int64_t)slots - pipe->naccounted)) {
        err = -EPERM;
    }
    if (err < 0) {
        mutex_unlock(&pipe->lock);
        kfree(fresh);
        return err;
    }
    pipe->naccounted = slots;
    for (uint32_t i = 0; i < used; i++) {
        fresh[i] = *pipe_slot(pipe, pipe->tail + i);
    }
    struct pipe_slot *old = pipe->slots == pipe->inline_slots ? NULL : pipe->slots;
    pipe->slots = fresh;
    pipe->mask = slots - 1;
    pipe->tail = 0;
    pipe->head = used;
    mutex_unlock(&pipe->lock);
    kfree(old);
    pipe_wake_writers(pipe);
    return (int64_t)slots * (int64_t)PAGE_SIZE;
}

int64_t pipe_get_size(struct file *file)
{
    if (!file_is_pipe(file)) {
        return -EBADF;
    }
    const struct pipe *pipe = file->private;
    return ((int64_t)READ_ONCE(pipe->mask) + 1) * (int64_t)PAGE_SIZE;
}

int64_t pipe_set_size(struct file *file, uint64_t size_bytes)
{
    if (!file_is_pipe(file)) {
        return -EBADF;
    }
    if (size_bytes > BIT(31)) {
        return -EINVAL;
    }
    uint64_t slots = BIT(log2_ceil(MAX(DIV_ROUND_UP(size_bytes, PAGE_SIZE), 1ull)));
    if (slots * PAGE_SIZE > atomic_load_relaxed(&pipe_limits.max_bytes) &&
        slots > READ_ONCE(((struct pipe *)file->private)->mask) + 1 &&
        !current_has_cap(CAP_SYS_RESOURCE)) {
        return -EPERM;
    }
    return pipe_resize(file->private, (uint32_t)slots);
}

int64_t pipe_fcntl(struct file *file, unsigned cmd, uint64_t arg)
{
    switch (cmd) {
    case F_GETPIPE_SZ:
        return pipe_get_size(file);
    case F_SETPIPE_SZ:
        return pipe_set_size(file, (uint32_t)arg);
    default:
        return -EINVAL;
    }
}
