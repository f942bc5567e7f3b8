/*
 * The names that uname(2) tells. System name and release are the interface's, because programs and libraries choose their behaviour by
 * them; the version names this kernel. Host and domain name are "(none)" until somebody sets them, as on Linux.
 */
#include "kernel/proc/uts.h"

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/sync/spinlock.h"

static struct spinlock uts_lock = SPINLOCK_INIT("uts");
static struct new_utsname names = {
    /* [uts_lock] */
    .sysname = "Linux",        .nodename = "(none)",
    .release = "6.1.0-linnet", .version = "#1 SMP PREEMPT Linnet 0.1.0",
    .machine = "x86_64",       .domainname = "(none)",
};

void uts_get(struct new_utsname *ret_name)
{
    spin_lock(&uts_lock);
    *ret_name = names;
    spin_unlock(&uts_lock);
}

static int set_name(char *dst, const char *name, size_t len)
{
    if (len > __NEW_UTS_LEN) {
        return -EINVAL;
    }
    spin_lock(&uts_lock);
    memcpy(dst, name, len);
    memset(dst + len, 0, __NEW_UTS_LEN + 1 - len);
    spin_unlock(&uts_lock);
    return 0;
}

int uts_set_hostname(const char *name, size_t len_bytes)
{
    return set_name(names.nodename, name, len_bytes);
}

int uts_set_domainname(const char *name, size_t len_bytes)
{
    return set_name(names.domainname, name, len_bytes);
}
