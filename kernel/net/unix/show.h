/*
 * Local sockets as /proc shows them.
 */
#pragma once

#include "kernel/base/types.h"

struct unix_info {
    uint64_t id; /* tells it from others; not its address */
    uint32_t refs, flags;
    int type, state;
    uint64_t ino;
    unsigned name_len; /* 0: none; abstract ones begin with a NUL, others end in one */
    char name[108];
};
/* The next, from *cursor (0 at first) on; false: no more. Sockets that come or go meanwhile may be missed or told twice. Thread context. */
bool unix_show_next(uint64_t *cursor, struct unix_info *ret_info);

extern uint32_t unix_backlog_default; /* [a] max_dgram_qlen: datagrams that wait at one socket */
