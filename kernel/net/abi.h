/*
 * What user space says to sockets and the kernel's own ABI headers leave to the C library: families, types, flags, message headers
 * (socket(2), send(2), recv(2), recvmsg(2), cmsg(3), unix(7); values of x86-64).
 */
#pragma once

#include <asm/socket.h>
#include <linux/fcntl.h>
#include <linux/net.h>
#include <linux/socket.h>
#include <linux/sockios.h>

#include "kernel/base/types.h"

#define AF_UNSPEC  0
#define AF_UNIX    1
#define AF_INET    2
#define AF_INET6   10
#define AF_NETLINK 16
#define AF_PACKET  17
#define AF_MAX     46

#define SOCK_STREAM    1
#define SOCK_DGRAM     2
#define SOCK_RAW       3
#define SOCK_RDM       4
#define SOCK_SEQPACKET 5
#define SOCK_PACKET    10
#define SOCK_TYPE_MAX  11
#define SOCK_TYPE_MASK 0xf
#define SOCK_CLOEXEC   O_CLOEXEC
#define SOCK_NONBLOCK  O_NONBLOCK

#define MSG_OOB          0x1u
#define MSG_PEEK         0x2u
#define MSG_DONTROUTE    0x4u
#define MSG_CTRUNC       0x8u
#define MSG_TRUNC        0x20u
#define MSG_DONTWAIT     0x40u
#define MSG_EOR          0x80u
#define MSG_WAITALL      0x100u
#define MSG_ERRQUEUE     0x2000u
#define MSG_NOSIGNAL     0x4000u
#define MSG_MORE         0x8000u
#define MSG_WAITFORONE   0x10000u
#define MSG_CMSG_CLOEXEC 0x40000000u

#define SHUT_RD   0
#define SHUT_WR   1
#define SHUT_RDWR 2

#define SCM_RIGHTS      1
#define SCM_CREDENTIALS 2

#define SOMAXCONN 4096

struct ucred {
    int32_t pid;
    uint32_t uid, gid;
};

/* The beginning of any address. */
struct sockaddr {
    uint16_t sa_family;
    char sa_data[14];
};

struct linger {
    int l_onoff;
    int l_linger; /* seconds */
};

struct iovec;

struct user_msghdr {
    void __user *msg_name;
    int msg_namelen;
    struct iovec __user *msg_iov;
    size_t msg_iovlen;
    void __user *msg_control;
    size_t msg_controllen;
    unsigned msg_flags;
};
_Static_assert(sizeof(struct user_msghdr) == 56, "struct msghdr");

struct user_mmsghdr {
    struct user_msghdr msg_hdr;
    unsigned msg_len;
};
_Static_assert(sizeof(struct user_mmsghdr) == 64, "struct mmsghdr");

struct cmsghdr {
    size_t cmsg_len; /* header and data */
    int cmsg_level;
    int cmsg_type;
};

#define CMSG_ALIGN(len) (((len) + sizeof(size_t) - 1) & ~(sizeof(size_t) - 1))
#define CMSG_LEN(len)   (sizeof(struct cmsghdr) + (len))
#define CMSG_SPACE(len) (sizeof(struct cmsghdr) + CMSG_ALIGN(len))
