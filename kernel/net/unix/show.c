/*
 * What /proc/net/unix tells of each local socket.
 */
#include "kernel/net/unix/show.h"

#include "kernel/base/string.h"
#include "kernel/net/unix/table.h"

/* States as <linux/net.h> numbers them: SS_UNCONNECTED, SS_CONNECTED. */
#define SHOWN_UNCONNECTED 1
#define SHOWN_CONNECTED   3

static void describe(const struct unix_socket *socket, struct unix_info *ret_info)
{
    const struct unix_address *address = socket->address;
    uint32_t state = READ_ONCE(socket->state);

    ret_info->id = unix_show_id(socket);
    ret_info->refs = refcount_read(&socket->socket.refs) + 1; /* the table is one, as on Linux */
    ret_info->flags = state == UNIX_LISTENING ? __SO_ACCEPTCON : 0;
    ret_info->type = socket_type(&socket->socket);
    ret_info->state = state == UNIX_CONNECTED ? SHOWN_CONNECTED : SHOWN_UNCONNECTED;
    ret_info->ino = socket->socket.ino;
    ret_info->name_len = address == NULL ? 0 : address->len - UNIX_PATH_OFFSET;
    if (ret_info->name_len > 0) {
        memcpy(ret_info->name, address->path, ret_info->name_len);
    }
}

bool unix_show_next(uint64_t *cursor, struct unix_info *ret_info)
{
    uint32_t number = (uint32_t)(*cursor >> 32), index = (uint32_t)*cursor;

    for (; number < UNIX_BUCKETS; number++, index = 0) {
        struct unix_bucket *bucket = &unix_table[number];
        struct unix_socket *socket;
        uint32_t at = 0;
        bool found = false;
        spin_lock(&bucket->lock);
        list_for_each (socket, &bucket->sockets, listed) {
            if (at++ == index) {
                describe(socket, ret_info);
                found = true;
                break;
            }
        }
        spin_unlock(&bucket->lock);
        if (found) {
            *cursor = (uint64_t)number << 32 | (index + 1);
            return true;
        }
    }
    return false;
}
