/*
 * Collecting the arguments of execve from the old image, before it goes.
 *
 * The pointer arrays are read several words at a time; what a read gets beyond the NULL is not looked at, and what it could not get
 * matters only when it is reached.
 */
#include <linux/binfmts.h>

#include "kernel/base/string.h"
#include "kernel/machine/user.h"
#include "kernel/mm/arena.h"
#include "kernel/proc/exec.h"

#define ARGS_FIRST_SIZE 4096u
#define ARGS_BATCH      16u
/* Whatever the limit says, so much is allowed and no more (execve(2)). */
#define ARGS_LIMIT_MIN KIB(128)
#define ARGS_LIMIT_MAX MIB(6)

int exec_args_init(struct exec_args *args)
{
    uint64_t limit = process_limit(RLIMIT_STACK) / 4;

    *args = (struct exec_args){.size = ARGS_FIRST_SIZE,
                               .limit = CLAMP(limit, ARGS_LIMIT_MIN, ARGS_LIMIT_MAX)};
    args->buf = kvmalloc(args->size);
    return args->buf == NULL ? -ENOMEM : 0;
}

void exec_args_fini(struct exec_args *args)
{
    kvfree(args->buf);
    args->buf = NULL;
}

/* Room for `more` bytes. */
static int args_reserve(struct exec_args *args, size_t more)
{
    size_t size = args->size;

    if (more <= args->size - args->used) {
        return 0;
    }
    if (more > args->limit - MIN(args->limit, args->used)) {
        return -E2BIG;
    }
    while (size - args->used < more) {
        size *= 2;
    }
    char *buf = kvrealloc(args->buf, size);
    if (buf == NULL) {
        return -ENOMEM;
    }
    args->buf = buf;
    args->size = size;
    return 0;
}

/* A string of `len` bytes has been put at the end: count it. */
static int args_took(struct exec_args *args, size_t len_bytes, bool env)
{
    args->used += len_bytes + 1;
    if (env) {
        args->envc++;
    } else {
        args->argc++;
        args->arg_bytes = args->used;
    }
    size_t pointers = ((size_t)args->argc + args->envc + 2) * sizeof(uint64_t);
    return args->used + pointers > args->limit ? -E2BIG : 0;
}

static int args_push_user(struct exec_args *args, const char __user *string, bool env)
{
    for (;;) {
        size_t room = MIN(args->size - args->used, (size_t)MAX_ARG_STRLEN);
        ssize_t len =
            room == 0 ? -ENAMETOOLONG : strncpy_from_user(args->buf + args->used, string, room);
        if (len >= 0) {
            return args_took(args, (size_t)len, env);
        }
        if (len != -ENAMETOOLONG) {
            return (int)len;
        }
        if (room == MAX_ARG_STRLEN) {
            return -E2BIG;
        }
        int err = args_reserve(args, args->size - args->used + 1);
        if (err < 0) {
            return err;
        }
    }
}

int exec_args_add_user(struct exec_args *args, const char __user *const __user *strings, bool env)
{
    const char __user *batch[ARGS_BATCH];

    if (strings == NULL) {
        return 0;
    }
    for (;;) {
        size_t missing = copy_from_user_partial(batch, strings, sizeof(batch));
        size_t got = (sizeof(batch) - missing) / sizeof(batch[0]);
        if (got == 0) {
            return -EFAULT;
        }
        for (size_t i = 0; i < got; i++) {
            if (batch[i] == NULL) {
                return 0;
            }
            int err = args_push_user(args, batch[i], env);
            if (err < 0) {
                return err;
            }
        }
        strings += got;
    }
}

int exec_args_add_kernel(struct exec_args *args, const char *const *strings, bool env)
{
    for (; *strings != NULL; strings++) {
        size_t len = strlen(*strings);
        int err = args_reserve(args, len + 1);
        if (err < 0) {
            return err;
        }
        memcpy(args->buf + args->used, *strings, len + 1);
        err = args_took(args, len, env);
        if (err < 0) {
            return err;
        }
    }
    return 0;
}

int exec_args_prepend_script(struct exec_args *args, const char *interpreter, const char *arg,
                             const char *name)
{
    const char *fresh[3] = {interpreter, arg != NULL ? arg : name, arg != NULL ? name : NULL};
    unsigned nfresh = arg != NULL ? 3 : 2;
    size_t dropped = args->argc > 0 ? strlen(args->buf) + 1 : 0, bytes = 0;

    for (unsigned i = 0; i < nfresh; i++) {
        bytes += strlen(fresh[i]) + 1;
    }
    int err = args_reserve(args, bytes);
    if (err < 0) {
        return err;
    }
    memmove(args->buf + bytes, args->buf + dropped, args->used - dropped);
    char *at = args->buf;
    for (unsigned i = 0; i < nfresh; i++) {
        size_t len = strlen(fresh[i]) + 1;
        memcpy(at, fresh[i], len);
        at += len;
    }
    args->used += bytes - dropped;
    args->arg_bytes += bytes - dropped;
    args->argc += nfresh - (args->argc > 0 ? 1 : 0);
    return 0;
}
