/*
 * Packets: the bytes that are on their way between two sockets, or between a socket and a device.
 *
 * A packet is one heap object: the header and, behind it, either room for bytes (the linear part: all of a small packet, the headers of a
 * larger one) or references to pages, or both. Pages are referenced, not owned, so that bytes can go from a file's or a user's page to a
 * device without being copied. Taking bytes off the front moves a pointer; nothing is copied then.
 *
 * A packet that somebody sent is charged to the sending socket until it is gone: that is what SO_SNDBUF limits.
 *
 * Locking: a packet belongs to who holds it: its queue's owner, or the one who took it off. Only the reference count may be changed
 * by several, and what others may look at (MSG_PEEK) is not changed any more.
 */
#pragma once

#include "kernel/base/list.h"
#include "kernel/core/time.h"
#include "kernel/sync/refcount.h"
#include "kernel/vm/iov.h"

struct page;
struct socket;

/* Larger ones have their bytes in pages. */
#define PACKET_LINEAR_MAX 3584u
/* Bytes in one packet of a stream. */
#define PACKET_STREAM_MAX 32768u

struct packet_fragment {
    struct page *page; /* referenced */
    uint32_t offset, len;
};

struct packet {
    struct list_node node; /* [queue] */
    uint8_t *data;         /* linear bytes not taken yet */
    uint32_t linear;       /* their number */
    uint32_t len;          /* all bytes not taken yet */
    uint16_t room;         /* bytes that fit behind data + linear */
    bool peeked;           /* [queue] somebody had it with MSG_PEEK; datagrams */
    uint16_t nfragments;   /* [I] */
    uint16_t fragment;     /* the first with bytes not taken yet */
    struct refcount refs;
    uint32_t charge;       /* [I] bytes counted for the sender */
    struct socket *sender; /* [I] whom it is charged to; NULL: nobody */
    ktime_t time;          /* [I] when it came, real time; 0: nobody asked */
    void (*destroy)(
        struct packet *packet); /* [I] the family's: lets go of `control`; NULL: nothing there */
    uint64_t control[4];        /* the family's own */
    struct packet_fragment fragments[];
};

/* A packet with `linear` bytes of room and space for so many fragments. NULL: no memory. Any context. */
struct packet *packet_alloc(uint32_t linear, uint32_t nfragments) __must_check;
/*
 * A packet with the next `len` bytes of `from` (at most PACKET_STREAM_MAX, or any number that memory has room for). May sleep. -ENOMEM; -EFAULT:
 * the cursor is where it was.
 */
int packet_from_iov(struct iov_iter *from, uint32_t len, struct packet **ret_packet);
/* What a packet with so many bytes costs its sender. */
static inline uint32_t packet_charge_of(uint32_t len)
{
    return 704 + (len + 63) / 64 * 64;
}

static inline struct packet *packet_get(struct packet *packet)
{
    refcount_get(&packet->refs);
    return packet;
}
/* The last reference: pages, control and charge go. NULL is fine. May sleep when the family's destroy does. */
void packet_put(struct packet *packet);

/* Room at the end of the linear part: `len` more bytes, to be filled by the caller. There is room for them. */
static inline uint8_t *packet_append(struct packet *packet, uint32_t len)
{
    uint8_t *at = packet->data + packet->linear;

    packet->linear += len;
    packet->len += len;
    packet->room -= len;
    return at;
}
/* Take `len` bytes, at most packet->len, off the front. */
void packet_pull(struct packet *packet, uint32_t len);
/* Copy up to `len` bytes from `offset` on to the cursor: how many went, fewer when memory faulted. May sleep. */
size_t packet_copy_to(const struct packet *packet, uint32_t offset, struct iov_iter *to,
                      size_t len);
