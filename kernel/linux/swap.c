/*
 * swapon(2), swapoff(2).
 */
#include <linux/capability.h>

#include "kernel/linux/syscall.h"
#include "kernel/vfs/path.h"
#include "kernel/vfs/swapfile.h"
#include "kernel/vm/swap.h"

/* swapon(2): no header of the kernel's interface has them. */
#define FLAG_PREFER   0x8000 /* the priority follows, else one below all others */
#define FLAG_PRIORITY 0x7fff
#define FLAG_DISCARD                                                                               \
    0x10000 /* tell the device what it need not keep: in the way of the next two, or in both */
#define FLAG_DISCARD_ONCE  0x20000 /* everything, at once */
#define FLAG_DISCARD_PAGES 0x40000 /* slots, as they get free */
#define FLAGS_VALID                                                                                \
    (FLAG_PREFER | FLAG_PRIORITY | FLAG_DISCARD | FLAG_DISCARD_ONCE | FLAG_DISCARD_PAGES)

static int swap_on(const char *name, int flags)
{
    int priority = (flags & FLAG_PREFER) != 0 ? flags & FLAG_PRIORITY : SWAP_PRIORITY_DEFAULT;
    bool pages_only = (flags & (FLAG_DISCARD_ONCE | FLAG_DISCARD_PAGES)) == FLAG_DISCARD_PAGES;

    return vfs_swapon(name, priority, (flags & FLAG_DISCARD) != 0 && !pages_only);
}

SYSCALL2(swapon, const char __user *, uname, int, flags)
{
    if ((flags & ~FLAGS_VALID) != 0) {
        return -EINVAL;
    }
    if (!current_has_cap(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    char *name;
    int err = path_name_from_user(uname, false, &name);
    if (err == 0) {
        err = swap_on(name, flags);
        path_name_free(name);
    }
    return err;
}

SYSCALL1(swapoff, const char __user *, uname)
{
    if (!current_has_cap(CAP_SYS_ADMIN)) {
        return -EPERM;
    }
    char *name;
    int err = path_name_from_user(uname, false, &name);
    if (err == 0) {
        err = vfs_swapoff(name);
        path_name_free(name);
    }
    return err;
}
