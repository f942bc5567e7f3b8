/*
 * Sending and receiving on sockets (send(2), recv(2), sendmsg(2), recvmsg(2), sendmmsg(2), recvmmsg(2)).
 */
#include "kernel/linux/socket.h"
#include "kernel/linux/syscall.h"
#include "kernel/linux/times.h"
#include "kernel/mm/kmalloc.h"

#define RW_MAX       0x7ffff000ull /* what one call moves at most */
#define CONTROL_FAST 128           /* bytes of control messages that need no allocation */
#define IOV_FAST     8

static inline unsigned call_flags(struct fd_ref ref, unsigned flags)
{
    return flags | ((fd_ref_file(ref)->flags & O_NONBLOCK) != 0 ? MSG_DONTWAIT : 0);
}

/* ---- one buffer ---- */

SYSCALL6(sendto, int, fd, const void __user *, buf, size_t, count, unsigned, flags,
         const void __user *, uname, int, name_len)
{
    struct __kernel_sockaddr_storage name;
    struct message message;
    struct iov_iter iter;
    struct fd_ref ref;
    int err;
    struct socket *socket = socket_borrow(fd, &ref, &err);

    if (unlikely(socket == NULL)) {
        return err;
    }
    iov_init_user(&iter, (void __user *)buf, MIN(count, RW_MAX));
    message.data = &iter;
    message.flags = call_flags(ref, flags);
    message.name = NULL;
    message.name_len = 0;
    message.control = (struct message_control){.in = NULL, .left = 0};
    int64_t result = user_range_ok(buf, count) ? 0 : -EFAULT;
    if (unlikely(uname != NULL) && result == 0) {
        result = socket_name_in(uname, name_len, &name);
        message.name = &name;
        message.name_len = (unsigned)name_len;
    }
    if (likely(result == 0)) {
        result = socket_send(socket, &message);
    }
    fd_return(ref);
    return result;
}

SYSCALL6(recvfrom, int, fd, void __user *, buf, size_t, count, unsigned, flags, void __user *,
         uname, int __user *, name_len)
{
    struct __kernel_sockaddr_storage name;
    struct message message;
    struct iov_iter iter;
    struct fd_ref ref;
    int err;
    struct socket *socket = socket_borrow(fd, &ref, &err);

    if (unlikely(socket == NULL)) {
        return err;
    }
    iov_init_user(&iter, buf, MIN(count, RW_MAX));
    message.data = &iter;
    message.flags = call_flags(ref, flags);
    message.result = 0;
    message.name = uname != NULL ? &name : NULL;
    message.name_len = 0;
    message.control = (struct message_control){.out = NULL, .left = 0};
    int64_t result = user_range_ok(buf, count) ? socket_receive(socket, &message) : -EFAULT;
    if (unlikely(uname != NULL) && result >= 0) {
        err = socket_name_out(&name, (int)message.name_len, uname, name_len);
        result = err < 0 ? err : result;
    }
    fd_return(ref);
    return result;
}

/* ---- message headers ---- */

/* A header and its vector. On success the vector is freed by header_put(). */
static int header_get(struct user_msghdr *header, const struct user_msghdr __user *uheader,
                      struct iovec *fast, struct iovec **ret_vec, struct iov_iter *ret_iter)
{
    if (copy_from_user(header, uheader, sizeof(*header)) < 0) {
        return -EFAULT;
    }
    if (header->msg_name == NULL) {
        header->msg_namelen = 0;
    }
    if (header->msg_namelen < 0) {
        return -EINVAL;
    }
    header->msg_namelen = MIN(header->msg_namelen, (int)sizeof(struct __kernel_sockaddr_storage));
    if (header->msg_iovlen > UIO_MAXIOV) {
        return -EMSGSIZE;
    }
    return iov_import(header->msg_iov, header->msg_iovlen, fast, IOV_FAST, ret_vec, ret_iter);
}

static inline void header_put(struct iovec *vec, const struct iovec *fast)
{
    if (unlikely(vec != fast)) {
        kfree(vec);
    }
}

/* ---- sending ---- */

/* Control messages, copied in: into `fast` or a heap object. */
static int control_get(const struct user_msghdr *header, uint8_t *fast, uint8_t **ret_control)
{
    size_t len = header->msg_controllen;

    if (len > atomic_load_relaxed(&socket_limits.control_max)) {
        return -ENOBUFS;
    }
    uint8_t *control = len <= CONTROL_FAST ? fast : kmalloc(len);
    if (control == NULL) {
        return -ENOBUFS;
    }
    if (copy_from_user(control, header->msg_control, len) < 0) {
        if (control != fast) {
            kfree(control);
        }
        return -EFAULT;
    }
    *ret_control = control;
    return 0;
}

/* The header is in; send what it says. */
static int64_t send_header(struct socket *socket, const struct user_msghdr *header,
                           struct message *message)
{
    struct __kernel_sockaddr_storage name;
    uint8_t fast[CONTROL_FAST], *control = fast;

    if (header->msg_namelen > 0) {
        int err = socket_name_in(header->msg_name, header->msg_namelen, &name);
        if (err < 0) {
            return err;
        }
        message->name = &name;
        message->name_len = (unsigned)header->msg_namelen;
    }
    if (unlikely(header->msg_controllen > 0)) {
        int err = control_get(header, fast, &control);
        if (err < 0) {
            return err;
        }
        message->control = (struct message_control){.in = control, .left = header->msg_controllen};
    }
    int64_t result = socket_send(socket, message);
    if (control != fast) {
        kfree(control);
    }
    return result;
}

static int64_t send_message(struct socket *socket, const struct user_msghdr __user *uheader,
                            unsigned flags)
{
    struct iovec fast[IOV_FAST], *vec = fast;
    struct user_msghdr header;
    struct message message;
    struct iov_iter iter;

    int64_t result = header_get(&header, uheader, fast, &vec, &iter);
    if (unlikely(result < 0)) {
        return result;
    }
    iter.count = MIN(iter.count, RW_MAX);
    message.data = &iter;
    message.flags = flags;
    message.name = NULL;
    message.name_len = 0;
    message.control = (struct message_control){.in = NULL, .left = 0};
    result = send_header(socket, &header, &message);
    header_put(vec, fast);
    return result;
}

SYSCALL3(sendmsg, int, fd, const struct user_msghdr __user *, header, unsigned, flags)
{
    struct fd_ref ref;
    int err;
    struct socket *socket = socket_borrow(fd, &ref, &err);

    if (unlikely(socket == NULL)) {
        return err;
    }
    int64_t result = send_message(socket, header, call_flags(ref, flags));
    fd_return(ref);
    return result;
}

SYSCALL4(sendmmsg, int, fd, struct user_mmsghdr __user *, headers, unsigned, count, unsigned, flags)
{
    struct fd_ref ref;
    int err;
    unsigned done = 0;
    int64_t result = 0;
    struct socket *socket = socket_borrow(fd, &ref, &err);

    if (socket == NULL) {
        return err;
    }
    count = MIN(count, (unsigned)UIO_MAXIOV);
    while (done < count) {
        struct user_mmsghdr __user *at = user_at(headers, done * sizeof(*headers));
        result = send_message(socket, user_member(at, msg_hdr), call_flags(ref, flags));
        if (result >= 0) {
            result = put_user((unsigned)result, user_member(at, msg_len));
        }
        if (result < 0) {
            break;
        }
        done++;
        if (thread_signal_pending(current_thread())) {
            break;
        }
    }
    fd_return(ref);
    return done > 0 ? (int64_t)done : result;
}

/* ---- receiving ---- */

/* Tell what came with the bytes. */
static int receive_answer(struct user_msghdr __user *uheader, const struct user_msghdr *header,
                          const struct message *message)
{
    if (header->msg_name != NULL) {
        int err = socket_name_out(message->name, (int)message->name_len, header->msg_name,
                                  user_member(uheader, msg_namelen));
        if (err < 0) {
            return err;
        }
    }
    size_t written = header->msg_controllen - message->control.left;
    unsigned flags = message->result | (message->flags & MSG_CMSG_CLOEXEC);
    return put_user(flags, user_member(uheader, msg_flags)) < 0 ||
                   put_user(written, user_member(uheader, msg_controllen)) < 0
               ? -EFAULT
               : 0;
}

static int64_t receive_message(struct socket *socket, struct user_msghdr __user *uheader,
                               unsigned flags, unsigned *ret_flags)
{
    struct __kernel_sockaddr_storage name;
    struct iovec fast[IOV_FAST], *vec = fast;
    struct user_msghdr header;
    struct message message;
    struct iov_iter iter;

    int64_t result = header_get(&header, uheader, fast, &vec, &iter);
    if (unlikely(result < 0)) {
        return result;
    }
    iter.count = MIN(iter.count, RW_MAX);
    if (header.msg_control == NULL) {
        header.msg_controllen = 0;
    }
    message.data = &iter;
    message.flags = flags;
    message.result = 0;
    message.name = header.msg_name != NULL ? &name : NULL;
    message.name_len = 0;
    message.control =
        (struct message_control){.out = header.msg_control, .left = header.msg_controllen};
    result = socket_receive(socket, &message);
    if (result >= 0) {
        int err = receive_answer(uheader, &header, &message);
        result = err < 0 ? err : result;
        *ret_flags = message.result;
    }
    header_put(vec, fast);
    return result;
}

SYSCALL3(recvmsg, int, fd, struct user_msghdr __user *, header, unsigned, flags)
{
    struct fd_ref ref;
    int err;
    unsigned told;
    struct socket *socket = socket_borrow(fd, &ref, &err);

    if (unlikely(socket == NULL)) {
        return err;
    }
    int64_t result = receive_message(socket, header, call_flags(ref, flags), &told);
    fd_return(ref);
    return result;
}

/* Messages until `count`, the deadline, an error, or an urgent one. Their number or an error. */
static int64_t receive_many(struct socket *socket, struct user_mmsghdr __user *headers,
                            unsigned count, unsigned flags, ktime_t deadline)
{
    unsigned done = 0, told = 0;
    int64_t result = socket_take_error(socket);

    while (result >= 0 && done < count) {
        struct user_mmsghdr __user *at = user_at(headers, done * sizeof(*headers));
        result = receive_message(socket, user_member(at, msg_hdr), flags & ~MSG_WAITFORONE, &told);
        if (result >= 0) {
            result = put_user((unsigned)result, user_member(at, msg_len));
        }
        if (result < 0) {
            break;
        }
        done++;
        if ((flags & MSG_WAITFORONE) != 0) {
            flags |= MSG_DONTWAIT;
        }
        if ((told & MSG_OOB) != 0 || thread_signal_pending(current_thread()) ||
            (deadline != KTIME_MAX && ktime_now() >= deadline)) {
            break;
        }
    }
    if (done > 0 && result < 0 && result != -EAGAIN) {
        /* The messages are told now, the error by the next call. */
        atomic_store_relaxed(&socket->error, result == -ERESTARTSYS ? EINTR : (int)-result);
    }
    return done > 0 ? (int64_t)done : result;
}

SYSCALL5(recvmmsg, int, fd, struct user_mmsghdr __user *, headers, unsigned, count, unsigned, flags,
         struct __kernel_timespec __user *, utimeout)
{
    ktime_t timeout, deadline = KTIME_MAX;
    struct fd_ref ref;
    int err;

    if (utimeout != NULL) {
        err = timespec_from_user(&timeout, utimeout);
        if (err < 0) {
            return err;
        }
        ktime_t now = ktime_now();
        deadline = timeout > KTIME_MAX - now ? KTIME_MAX : now + timeout;
    }
    struct socket *socket = socket_borrow(fd, &ref, &err);
    if (socket == NULL) {
        return err;
    }
    int64_t result = receive_many(socket, headers, MIN(count, (unsigned)UIO_MAXIOV),
                                  call_flags(ref, flags), deadline);
    fd_return(ref);
    if (utimeout != NULL && result > 0 &&
        timespec_to_user(utimeout, MAX(deadline - ktime_now(), 0)) < 0) {
        result = -EFAULT;
    }
    return result;
}
