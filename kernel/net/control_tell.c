/*
 * Control messages for a receiver (recvmsg(2)): written one behind the other into the caller's buffer, cut off where that ends.
 */
#include "kernel/net/socket.h"

ssize_t control_room(const struct message_control *control)
{
    return (ssize_t)control->left - (ssize_t)sizeof(struct cmsghdr);
}

int control_put(struct message *message, int level, int type, const void *data, size_t len)
{
    struct message_control *control = &message->control;
    struct cmsghdr header = {.cmsg_len = CMSG_LEN(len), .cmsg_level = level, .cmsg_type = type};

    if (control->left < sizeof(header)) {
        message->result |= MSG_CTRUNC;
        return 0;
    }
    if (control->left < header.cmsg_len) {
        message->result |= MSG_CTRUNC;
        header.cmsg_len = control->left;
    }
    if (copy_to_user(control->out, &header, sizeof(header)) < 0 ||
        copy_to_user(user_at(control->out, sizeof(header)), data,
                     header.cmsg_len - sizeof(header)) < 0) {
        return -EFAULT;
    }
    size_t step = MIN(CMSG_SPACE(len), control->left);
    control->out = user_at(control->out, step);
    control->left -= step;
    return 0;
}

void control_put_time(struct socket *socket, struct message *message, const struct packet *packet)
{
    uint32_t options = atomic_load_relaxed(&socket->options);
    ktime_t time = packet->time;

    if (likely((options & SOCKET_TIMESTAMP) == 0)) {
        if (unlikely(time != 0)) {
            atomic_store_relaxed(&socket->stamp, time);
        }
        return;
    }
    if (time == 0) {
        time = ktime_realtime(); /* sent before anybody asked */
    }
    bool ns = (options & SOCKET_TIMESTAMPNS) != 0, new = (options & SOCKET_TIME_NEW) != 0;
    int64_t when[2] = {time / NS_PER_S, time % NS_PER_S / (ns ? 1 : NS_PER_US)};
    int type = ns ? (new ? SO_TIMESTAMPNS_NEW : SO_TIMESTAMPNS_OLD)
                  : (new ? SO_TIMESTAMP_NEW : SO_TIMESTAMP_OLD);
    (void)control_put(message, SOL_SOCKET, type, when, sizeof(when));
    atomic_store_relaxed(&socket->stamp, time);
}
