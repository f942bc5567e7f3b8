/*
 * Options of the level SOL_SOCKET that mean the same in all families (socket(7)). What is a family's own is asked of it.
 */
#include <linux/capability.h>
#include <linux/time_types.h>

#include "kernel/base/string.h"
#include "kernel/net/socket.h"

/* What SO_SNDBUF and SO_RCVBUF cannot go below (socket(7)): bytes, counted as for packets. */
#define SEND_LIMIT_MIN    4608u
#define RECEIVE_LIMIT_MIN 2304u
#define PRIORITY_FREE_MAX 6 /* higher ones are for the privileged */

/* Options that are a bit: those that are acted upon, then those that are only kept for families that will. */
static const struct {
    int name;
    uint32_t bit;
} flag_options[] = {
    {SO_PASSCRED, SOCKET_PASSCRED},        {SO_PASSSEC, SOCKET_PASSSEC},
    {SO_OOBINLINE, SOCKET_OOBINLINE},      {SO_DEBUG, BIT(SOCKET_FLAGS)},
    {SO_REUSEADDR, BIT(SOCKET_FLAGS + 1)}, {SO_REUSEPORT, BIT(SOCKET_FLAGS + 2)},
    {SO_DONTROUTE, BIT(SOCKET_FLAGS + 3)}, {SO_BROADCAST, BIT(SOCKET_FLAGS + 4)},
    {SO_KEEPALIVE, BIT(SOCKET_FLAGS + 5)}, {SO_NO_CHECK, BIT(SOCKET_FLAGS + 6)},
    {SO_RXQ_OVFL, BIT(SOCKET_FLAGS + 7)},  {SO_WIFI_STATUS, BIT(SOCKET_FLAGS + 8)},
    {SO_NOFCS, BIT(SOCKET_FLAGS + 9)},     {SO_SELECT_ERR_QUEUE, BIT(SOCKET_FLAGS + 10)},
};

static uint32_t option_bit(int name)
{
    for (size_t i = 0; i < ARRAY_SIZE(flag_options); i++) {
        if (flag_options[i].name == name) {
            return flag_options[i].bit;
        }
    }
    return 0;
}

static void set_bits(struct socket *socket, uint32_t clear, uint32_t set)
{
    uint32_t old = atomic_load_relaxed(&socket->options);

    while (!__atomic_compare_exchange_n(&socket->options, &old, (old & ~clear) | set, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
    }
}

/* ---- setting ---- */

/* Twice what was asked for, as bookkeeping counts as well (socket(7), SO_SNDBUF). */
static void set_limit(uint32_t *limit, int value, uint32_t max, uint32_t min)
{
    uint32_t bytes = MIN((uint32_t)value, max);

    bytes = MIN(bytes, (uint32_t)INT32_MAX / 2);

    atomic_store_relaxed(limit, MAX(bytes * 2, min));
}

static int set_buffer(struct socket *socket, int name, int value)
{
    bool force = name == SO_SNDBUFFORCE || name == SO_RCVBUFFORCE;

    if (force && !current_has_cap(CAP_NET_ADMIN)) {
        return -EPERM;
    }
    if (force && value < 0) {
        value = 0;
    }
    if (name == SO_SNDBUF || name == SO_SNDBUFFORCE) {
        set_limit(&socket->send_limit, value,
                  force ? UINT32_MAX : atomic_load_relaxed(&socket_limits.send_max),
                  SEND_LIMIT_MIN);
        set_bits(socket, 0, SOCKET_SNDBUF_LOCK);
        wait_wake_all(&socket->write_wait, SOCKET_POLLOUT);
    } else {
        set_limit(&socket->receive_limit, value,
                  force ? UINT32_MAX : atomic_load_relaxed(&socket_limits.receive_max),
                  RECEIVE_LIMIT_MIN);
        set_bits(socket, 0, SOCKET_RCVBUF_LOCK);
    }
    return 0;
}

static int set_timeout(ktime_t *timeout, const void __user *value, unsigned len)
{
    int64_t when[2]; /* struct timeval, and __kernel_sock_timeval: the same on this machine */

    if (len < sizeof(when)) {
        return -EINVAL;
    }
    if (copy_from_user(when, value, sizeof(when)) < 0) {
        return -EFAULT;
    }
    if (when[1] < 0 || when[1] >= NS_PER_S / NS_PER_US) {
        return -EDOM;
    }
    ktime_t ns = KTIME_MAX;
    if (when[0] < 0) {
        ns = 0;
    } else if ((when[0] != 0 || when[1] != 0) && when[0] < INT64_MAX / NS_PER_S / 4) {
        ns = when[0] * NS_PER_S + when[1] * NS_PER_US;
    }
    atomic_store_relaxed(timeout, ns);
    return 0;
}

static int set_linger(struct socket *socket, const void __user *value, unsigned len)
{
    struct linger linger;

    if (len < sizeof(linger)) {
        return -EINVAL;
    }
    if (copy_from_user(&linger, value, sizeof(linger)) < 0) {
        return -EFAULT;
    }
    atomic_store_relaxed(&socket->linger, linger.l_linger);
    set_bits(socket, SOCKET_LINGER, linger.l_onoff != 0 ? SOCKET_LINGER : 0);
    return 0;
}

static void set_timestamp(struct socket *socket, int name, bool on)
{
    bool ns = name == SO_TIMESTAMPNS_OLD || name == SO_TIMESTAMPNS_NEW;
    bool new = name == SO_TIMESTAMP_NEW || name == SO_TIMESTAMPNS_NEW;
    uint32_t bits = SOCKET_TIMESTAMP | (ns ? SOCKET_TIMESTAMPNS : 0) | (new ? SOCKET_TIME_NEW : 0);

    set_bits(socket, SOCKET_TIMESTAMP | SOCKET_TIMESTAMPNS | SOCKET_TIME_NEW, on ? bits : 0);
}

static bool may_set_mark(void)
{
    return current_has_cap(CAP_NET_ADMIN) || current_has_cap(CAP_NET_RAW);
}

/* Options whose value is an int. */
static int set_number(struct socket *socket, int name, int value)
{
    uint32_t bit = option_bit(name);

    if (bit != 0) {
        if (name == SO_DEBUG && value != 0 && !current_has_cap(CAP_NET_ADMIN)) {
            return -EACCES;
        }
        set_bits(socket, bit, value != 0 ? bit : 0);
        return 0;
    }
    switch (name) {
    case SO_SNDBUF:
    case SO_RCVBUF:
    case SO_SNDBUFFORCE:
    case SO_RCVBUFFORCE:
        return set_buffer(socket, name, value);
    case SO_PRIORITY:
        if ((value < 0 || value > PRIORITY_FREE_MAX) && !may_set_mark()) {
            return -EPERM;
        }
        atomic_store_relaxed(&socket->priority, (uint32_t)value);
        return 0;
    case SO_MARK:
        if (!may_set_mark()) {
            return -EPERM;
        }
        atomic_store_relaxed(&socket->mark, (uint32_t)value);
        return 0;
    case SO_RCVLOWAT:
        value = value < 0 ? INT32_MAX : value;
        atomic_store_relaxed(&socket->receive_low, value == 0 ? 1u : (uint32_t)value);
        return 0;
    case SO_TIMESTAMP_OLD:
    case SO_TIMESTAMP_NEW:
    case SO_TIMESTAMPNS_OLD:
    case SO_TIMESTAMPNS_NEW:
        set_timestamp(socket, name, value != 0);
        return 0;
    case SO_BUF_LOCK:
        if ((value & ~SOCK_BUF_LOCK_MASK) != 0) {
            return -EINVAL;
        }
        set_bits(socket, SOCKET_SNDBUF_LOCK | SOCKET_RCVBUF_LOCK,
                 ((value & SOCK_SNDBUF_LOCK) != 0 ? SOCKET_SNDBUF_LOCK : 0) |
                     ((value & SOCK_RCVBUF_LOCK) != 0 ? SOCKET_RCVBUF_LOCK : 0));
        return 0;
    case SO_BSDCOMPAT:
        return 0; /* obsolete: taken and without effect, as socket(7) says */
    default:
        return -ENOPROTOOPT;
    }
}

int socket_set_option(struct socket *socket, int level, int name, const void __user *value,
                      unsigned len)
{
    int number, err = -ENOPROTOOPT;

    if (level != SOL_SOCKET) {
        return socket->ops->set_option == NULL
                   ? -EOPNOTSUPP
                   : socket->ops->set_option(socket, level, name, value, len);
    }
    if (len < sizeof(number)) {
        return -EINVAL;
    }
    if (get_user(number, (const int __user *)value) < 0) {
        return -EFAULT;
    }
    switch (name) {
    case SO_LINGER:
        return set_linger(socket, value, len);
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
        return set_timeout(&socket->receive_timeout, value, len);
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
        return set_timeout(&socket->send_timeout, value, len);
    default:
        err = set_number(socket, name, number);
        break;
    }
    if (err == -ENOPROTOOPT && socket->ops->set_option != NULL) {
        err = socket->ops->set_option(socket, level, name, value, len);
    }
    return err;
}

/* ---- asking ---- */

static bool timestamp_is(const struct socket *socket, int name)
{
    uint32_t options = atomic_load_relaxed(&socket->options);
    bool ns = name == SO_TIMESTAMPNS_OLD || name == SO_TIMESTAMPNS_NEW;
    bool new = name == SO_TIMESTAMP_NEW || name == SO_TIMESTAMPNS_NEW;

    return (options & SOCKET_TIMESTAMP) != 0 && ((options & SOCKET_TIMESTAMPNS) != 0) == ns &&
           ((options & SOCKET_TIME_NEW) != 0) == new;
}

static int buffer_locks(const struct socket *socket)
{
    return (socket_has_option(socket, SOCKET_SNDBUF_LOCK) ? SOCK_SNDBUF_LOCK : 0) |
           (socket_has_option(socket, SOCKET_RCVBUF_LOCK) ? SOCK_RCVBUF_LOCK : 0);
}

static int get_number(struct socket *socket, int name, int *ret_value)
{
    uint32_t bit = option_bit(name);

    if (bit != 0) {
        *ret_value = socket_has_option(socket, bit);
        return 0;
    }
    switch (name) {
    case SO_TYPE:
        *ret_value = socket_type(socket);
        return 0;
    case SO_PROTOCOL:
        *ret_value = socket->protocol;
        return 0;
    case SO_DOMAIN:
        *ret_value = socket->family->family;
        return 0;
    case SO_ERROR:
        *ret_value = -socket_take_error(socket);
        return 0;
    case SO_SNDBUF:
        *ret_value = (int)atomic_load_relaxed(&socket->send_limit);
        return 0;
    case SO_RCVBUF:
        *ret_value = (int)atomic_load_relaxed(&socket->receive_limit);
        return 0;
    case SO_PRIORITY:
        *ret_value = (int)atomic_load_relaxed(&socket->priority);
        return 0;
    case SO_MARK:
        *ret_value = (int)atomic_load_relaxed(&socket->mark);
        return 0;
    case SO_RCVLOWAT:
        *ret_value = (int)atomic_load_relaxed(&socket->receive_low);
        return 0;
    case SO_SNDLOWAT:
        *ret_value = 1; /* socket(7): cannot be changed */
        return 0;
    case SO_TIMESTAMP_OLD:
    case SO_TIMESTAMP_NEW:
    case SO_TIMESTAMPNS_OLD:
    case SO_TIMESTAMPNS_NEW:
        *ret_value = timestamp_is(socket, name);
        return 0;
    case SO_BUF_LOCK:
        *ret_value = buffer_locks(socket);
        return 0;
    case SO_BSDCOMPAT:
        *ret_value = 0;
        return 0;
    default:
        return -ENOPROTOOPT;
    }
}

static uint64_t socket_cookie(struct socket *socket)
{
    static uint64_t last; /* [a] */
    uint64_t old = atomic_load_relaxed(&socket->cookie);

    if (old == 0) {
        uint64_t fresh = atomic_fetch_add_relaxed(&last, 1) + 1;
        if (__atomic_compare_exchange_n(&socket->cookie, &old, fresh, false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {
            old = fresh;
        }
    }
    return old;
}

union option_value {
    int number;
    struct linger linger;
    int64_t time[2];
    uint64_t cookie;
};

/* Fill a value; its size, or an error. */
static int get_value(struct socket *socket, int name, union option_value *ret)
{
    ktime_t timeout;

    switch (name) {
    case SO_LINGER:
        ret->linger = (struct linger){.l_onoff = socket_has_option(socket, SOCKET_LINGER),
                                      .l_linger = atomic_load_relaxed(&socket->linger)};
        return sizeof(ret->linger);
    case SO_RCVTIMEO_OLD:
    case SO_RCVTIMEO_NEW:
    case SO_SNDTIMEO_OLD:
    case SO_SNDTIMEO_NEW:
        timeout = atomic_load_relaxed(name == SO_RCVTIMEO_OLD || name == SO_RCVTIMEO_NEW
                                          ? &socket->receive_timeout
                                          : &socket->send_timeout);
        timeout = timeout == KTIME_MAX ? 0 : timeout;
        ret->time[0] = timeout / NS_PER_S;
        ret->time[1] = timeout % NS_PER_S / NS_PER_US;
        return sizeof(ret->time);
    case SO_COOKIE:
        ret->cookie = socket_cookie(socket);
        return sizeof(ret->cookie);
    default:
        return get_number(socket, name, &ret->number) < 0 ? -ENOPROTOOPT : (int)sizeof(int);
    }
}

static int get_peer_name(struct socket *socket, void __user *value, unsigned *len)
{
    struct __kernel_sockaddr_storage name;
    int size = socket->ops->name == NULL ? -ENOTCONN : socket->ops->name(socket, true, &name);

    if (size < 0) {
        return -ENOTCONN;
    }
    if ((unsigned)size < *len) {
        return -EINVAL;
    }
    return copy_to_user(value, &name, *len);
}

int socket_get_option(struct socket *socket, int level, int name, void __user *value, unsigned *len)
{
    union option_value option;

    if (level != SOL_SOCKET) {
        return socket->ops->get_option == NULL
                   ? -EOPNOTSUPP
                   : socket->ops->get_option(socket, level, name, value, len);
    }
    if (name == SO_PEERNAME) {
        return get_peer_name(socket, value, len);
    }
    memset(&option, 0, sizeof(option));
    int size = get_value(socket, name, &option);
    if (size == -ENOPROTOOPT && socket->ops->get_option != NULL) {
        return socket->ops->get_option(socket, level, name, value, len);
    }
    if (size < 0) {
        return size;
    }
    if (name == SO_COOKIE && *len < sizeof(option.cookie)) {
        return -EINVAL;
    }
    *len = MIN(*len, (unsigned)size);
    return copy_to_user(value, &option, *len);
}
