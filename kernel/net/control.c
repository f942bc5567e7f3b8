/*
 * Control messages (cmsg(3), sendmsg(2)): taking a sender's apart. control_tell.c writes a receiver's.
 *
 * What a sender gives is hostile: headers may be cut off, lengths may lie. A header is 16 bytes; its length counts header and data; the next
 * one begins at the next multiple of eight.
 */
#include "kernel/base/string.h"
#include "kernel/net/socket.h"

int control_next(struct message_control *control, struct control_item *ret_item)
{
    struct cmsghdr header;

    if (control->left < sizeof(header)) {
        return 0;
    }
    memcpy(&header, control->in, sizeof(header));
    if (header.cmsg_len < sizeof(header) || header.cmsg_len > control->left) {
        return -EINVAL;
    }
    *ret_item = (struct control_item){.level = header.cmsg_level,
                                      .type = header.cmsg_type,
                                      .data = control->in + sizeof(header),
                                      .len = header.cmsg_len - sizeof(header)};
    size_t step = MIN(CMSG_ALIGN(header.cmsg_len), control->left);
    control->in += step;
    control->left -= step;
    return 1;
}
