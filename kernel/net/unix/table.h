/*
 * The table of all local sockets: address.c keeps it, show.c reads it.
 */
#pragma once

#include "kernel/net/unix/unix.h"

#define UNIX_BUCKETS 256u

struct unix_bucket {
    struct spinlock lock;
    struct list_node sockets; /* [lock] struct unix_socket.listed */
};
extern struct unix_bucket unix_table[UNIX_BUCKETS];

/* A number for /proc/net/unix that tells nothing of the address. */
uint64_t unix_show_id(const struct unix_socket *socket);
