/* TCP and UDP over the loopback interface. */
#include "test/bench/bench.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>

static void raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo"};
    int fd = socket(AF_INET, SOCK_DGRAM, 0);

    if (fd < 0) {
        return;
    }
    if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
        request.ifr_flags |= IFF_UP;
        ioctl(fd, SIOCSIFFLAGS, &request);
    }
    close(fd);
}

/* A socket bound to the loopback address and a port of its own, which *ret_address tells. -1: errno says why. */
static int bound_socket(int type, struct sockaddr_in *ret_address)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof(address);
    int fd = socket(AF_INET, type, 0);

    if (fd < 0) {
        return -1;
    }
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
        getsockname(fd, (struct sockaddr *)&address, &length) < 0) {
        close(fd);
        return -1;
    }
    *ret_address = address;
    return fd;
}

static int listening_socket(struct sockaddr_in *ret_address)
{
    int fd = bound_socket(SOCK_STREAM, ret_address);

    if (fd >= 0 && listen(fd, 16) < 0) {
        close(fd);
        return -1;
    }
    return fd;
}

static int connect_to(int fd, const struct sockaddr_in *address)
{
    return connect(fd, (const struct sockaddr *)address, sizeof(*address));
}

/* Both ends of a TCP connection that sends small pieces at once. */
static int tcp_pair(int ends[2])
{
    struct sockaddr_in address;
    int one = 1;

    raise_loopback();
    int listener = listening_socket(&address);
    if (listener < 0) {
        return -1;
    }
    ends[0] = socket(AF_INET, SOCK_STREAM, 0);
    if (ends[0] < 0 || connect_to(ends[0], &address) < 0) {
        return -1;
    }
    ends[1] = accept(listener, NULL, NULL);
    close(listener);
    if (ends[1] < 0) {
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    }
    return 0;
}

static int row_tcp_pingpong(long count)
{
    int ends[2];

    if (tcp_pair(ends) < 0) {
        return bench_error("tcp");
    }
    return bench_ping_pong(ends[0], ends[0], ends[1], ends[1], count);
}

static int row_tcp_stream(long count)
{
    int ends[2];

    if (tcp_pair(ends) < 0) {
        return bench_error("tcp");
    }
    return bench_stream(ends[1], ends[0], count);
}

/* Connect, accept, and close both ends, in one process. */
static int row_tcp_connect(long count)
{
    const struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    struct sockaddr_in address;

    raise_loopback();
    int listener = listening_socket(&address);
    if (listener < 0) {
        return bench_error("tcp");
    }
    mark_begin();
    for (long i = 0; i < count; i++) {
        int client = socket(AF_INET, SOCK_STREAM, 0);
        if (client < 0 || connect_to(client, &address) < 0) {
            return bench_error("connect");
        }
        int server = accept(listener, NULL, NULL);
        if (server < 0) {
            return bench_error("accept");
        }
        setsockopt(client, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        close(client);
        close(server);
    }
    mark_end();
    close(listener);
    return 0;
}

static int row_udp_pingpong(long count)
{
    struct sockaddr_in addresses[2];
    int ends[2];

    raise_loopback();
    for (int i = 0; i < 2; i++) {
        ends[i] = bound_socket(SOCK_DGRAM, &addresses[i]);
        if (ends[i] < 0) {
            return bench_error("udp");
        }
    }
    if (connect_to(ends[0], &addresses[1]) < 0 || connect_to(ends[1], &addresses[0]) < 0) {
        return bench_error("connect");
    }
    return bench_ping_pong(ends[0], ends[0], ends[1], ends[1], count);
}

const struct row network_rows[] = {
    {"tcp_pingpong", row_tcp_pingpong, UNIT_OPERATION, 1, 500},
    {"tcp_connect", row_tcp_connect, UNIT_OPERATION, 1, 300},
    {"tcp_bw_64k", row_tcp_stream, UNIT_64KIB, 65536, 200},
    {"udp_pingpong", row_udp_pingpong, UNIT_OPERATION, 1, 500},
    {NULL},
};
