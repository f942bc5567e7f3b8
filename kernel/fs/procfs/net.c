/*
 * /proc/net/unix and the limits in /proc/sys/net (proc(5), unix(7), socket(7)).
 */
#include "kernel/fs/procfs/setting.h"
#include "kernel/net/socket.h"
#include "kernel/net/unix/show.h"

/* The name as proc(5) has it: a path, or an abstract one with '@' for each NUL. */
static void show_name(struct text *text, const struct unix_info *info)
{
    bool abstract = info->name[0] == '\0';
    unsigned len = info->name_len - (abstract ? 0 : 1);

    text_puts(text, " ");
    for (unsigned i = 0; i < len; i++) {
        text_printf(text, "%c", info->name[i] == '\0' ? '@' : info->name[i]);
    }
}

static int unix_show(struct text *text)
{
    struct unix_info info;
    uint64_t cursor = 0;

    text_puts(text, "Num       RefCount Protocol Flags    Type St Inode Path\n");
    while (unix_show_next(&cursor, &info)) {
        text_printf(text, "%016llx: %08X %08X %08X %04X %02X %5llu", (unsigned long long)info.id,
                    info.refs, 0u, info.flags, (unsigned)info.type, (unsigned)info.state,
                    (unsigned long long)info.ino);
        if (info.name_len > 0) {
            show_name(text, &info);
        }
        text_puts(text, "\n");
    }
    return 0;
}
PROC_FILE(net_unix) = {.path = "net/unix", .show = unix_show};

PROC_SETTING(max_dgram_qlen, "sys/net/unix/max_dgram_qlen", unix_backlog_default, 0, INT32_MAX);
PROC_SETTING(somaxconn, "sys/net/core/somaxconn", socket_limits.backlog_max, 0, 65535);
PROC_SETTING(optmem_max, "sys/net/core/optmem_max", socket_limits.control_max, 0, INT32_MAX);
PROC_SETTING(wmem_max, "sys/net/core/wmem_max", socket_limits.send_max, 4608, INT32_MAX);
PROC_SETTING(rmem_max, "sys/net/core/rmem_max", socket_limits.receive_max, 2304, INT32_MAX);
PROC_SETTING(wmem_default, "sys/net/core/wmem_default", socket_limits.send_default, 4608,
             INT32_MAX);
PROC_SETTING(rmem_default, "sys/net/core/rmem_default", socket_limits.receive_default, 2304,
             INT32_MAX);
