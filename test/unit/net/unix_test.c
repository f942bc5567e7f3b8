/*
 * Local sockets against unix(7): life, queues, what happens between threads, and when memory ends.
 */
#include <linux/fs.h>

#define TEST_SUITE "net"
#include "kernel/net/unix/unix.h"
#include "test/unit/failures.h"
#include "test/unit/vfs/fixture.h"

static struct file *ends[2];

static void start(void)
{
    static bool started;

    tree_begin(NULL);
    if (!started) {
        started = true;
        sockets_init();
    }
}

/* Two connected files. False: an allocation failed, and nothing is left. */
static bool make_pair(int type, int flags)
{
    struct socket *one, *two;

    if (socket_create(AF_UNIX, type, 0, &one) < 0) {
        return false;
    }
    if (socket_create(AF_UNIX, type, 0, &two) < 0) {
        one->ops->release(one);
        return false;
    }
    EXPECT_EQ(one->ops->pair(one, two), 0);
    if (socket_open_file(one, flags, &ends[0]) < 0) {
        two->ops->release(two);
        return false;
    }
    if (socket_open_file(two, flags, &ends[1]) < 0) {
        file_put(ends[0]);
        return false;
    }
    return true;
}

static void pair_begin(int type, int flags)
{
    start();
    EXPECT(make_pair(type, flags));
}

static void pair_end(void)
{
    file_put(ends[0]);
    file_put(ends[1]);
    tree_end();
}

static ssize_t put(struct file *file, const void *data, size_t len)
{
    struct iov_iter from;

    iov_init_kernel(&from, (void *)(uintptr_t)data, len);
    return vfs_write(file, &from, NULL);
}

static ssize_t take(struct file *file, void *data, size_t len)
{
    struct iov_iter to;

    iov_init_kernel(&to, data, len);
    return vfs_read(file, &to, NULL);
}

/* Send a byte with a file. */
static ssize_t put_file(struct file *file, int fd)
{
    struct {
        struct cmsghdr header;
        int fd;
    } control = {{CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS}, fd};
    struct iov_iter from;
    struct message message = {.data = &from,
                              .flags = MSG_NOSIGNAL,
                              .control = {.in = (uint8_t *)&control, .left = sizeof(control)}};

    iov_init_kernel(&from, (void *)(uintptr_t) "f", 1);
    return socket_send(file_socket(file), &message);
}

TEST(unix_socket, streams_carry_bytes_and_charge_the_sender)
{
    char buf[64] = {0};

    pair_begin(SOCK_STREAM, O_NONBLOCK);
    EXPECT_EQ(put(ends[0], "hello ", 6), 6);
    EXPECT_EQ(put(ends[0], "world", 5), 5);
    EXPECT_EQ(socket_charge(file_socket(ends[0])), 2 * packet_charge_of(6));
    EXPECT_EQ(take(ends[1], buf, 8), 8);
    EXPECT_EQ(socket_charge(file_socket(ends[0])), packet_charge_of(5));
    EXPECT_EQ(take(ends[1], buf + 8, 50), 3);
    EXPECT_STR_EQ(buf, "hello world");
    EXPECT_EQ(socket_charge(file_socket(ends[0])), 0);
    EXPECT_EQ(take(ends[1], buf, 1), -EAGAIN);
    pair_end();
}

TEST(unix_socket, what_was_sent_outlives_the_sender)
{
    char buf[8];

    pair_begin(SOCK_DGRAM, O_NONBLOCK);
    EXPECT_EQ(put(ends[0], "abc", 3), 3);
    file_put(ends[0]);
    ends[0] = NULL;
    EXPECT_EQ(take(ends[1], buf, 8), 3);
    pair_end();
    pair_begin(SOCK_STREAM, 0);
    EXPECT_EQ(put(ends[0], "abc", 3), 3);
    pair_end(); /* unread: both ends and the packet go */
}

TEST(unix_socket, poll_tells_room_and_content)
{
    static char big[65536];

    pair_begin(SOCK_STREAM, O_NONBLOCK);
    EXPECT_EQ(vfs_poll(ends[0], NULL), POLLOUT | POLLWRNORM | POLLWRBAND);
    while (put(ends[0], big, sizeof(big)) > 0) {
    }
    EXPECT_EQ(vfs_poll(ends[0], NULL), 0);
    EXPECT_EQ(vfs_poll(ends[1], NULL), POLLIN | POLLRDNORM | POLLOUT | POLLWRNORM | POLLWRBAND);
    pair_end();
}

/* ---- between threads ---- */

static char stream[500000];
static size_t moved;
static bool intact;

static void reader_main(void *arg)
{
    static char buf[9000];
    ssize_t n;

    (void)arg;
    while ((n = take(ends[1], buf, sizeof(buf))) > 0) {
        intact = intact && memcmp(buf, stream + moved, (size_t)n) == 0;
        moved += (size_t)n;
    }
}

static void writer_main(void *arg)
{
    (void)arg;
    for (size_t i = 0; i < sizeof(stream); i++) {
        stream[i] = (char)(i * 7 + (i >> 9));
    }
    EXPECT_EQ(put(ends[0], stream, sizeof(stream)), (ssize_t)sizeof(stream));
    file_put(ends[0]);
    ends[0] = NULL;
}

TEST(unix_socket, a_blocked_writer_and_reader_meet)
{
    pair_begin(SOCK_STREAM, 0);
    moved = 0;
    intact = true;
    tree_spawn(writer_main, NULL);
    tree_spawn(reader_main, NULL);
    tree_run();
    EXPECT_EQ(moved, sizeof(stream));
    EXPECT(intact);
    pair_end();
}

static unsigned woken;

static void byte_reader_main(void *arg)
{
    char c;

    (void)arg;
    EXPECT_EQ(take(ends[1], &c, 1), 1);
    woken++;
}

TEST(unix_socket, one_packet_wakes_one_reader_who_wakes_the_next)
{
    pair_begin(SOCK_STREAM, 0);
    woken = 0;
    for (int i = 0; i < 3; i++) {
        tree_spawn(byte_reader_main, NULL);
    }
    tree_run();
    EXPECT_EQ(woken, 0);
    EXPECT_EQ(put(ends[0], "a", 1), 1);
    tree_run();
    EXPECT_EQ(woken, 1);
    EXPECT_EQ(put(ends[0], "bc", 2), 2); /* one packet, two readers */
    tree_run();
    EXPECT_EQ(woken, 3);
    pair_end();
}

/* ---- when memory ends ---- */

static bool attempt_messages(void)
{
    static char big[9000];
    char buf[4];
    bool done = false;

    if (!make_pair(SOCK_STREAM, O_NONBLOCK)) {
        return false;
    }
    int fd = fd_add(file_get(ends[1]), false);
    if (fd < 0) {
        file_put(ends[1]);
    } else {
        /* A cycle, a page packet, and a byte that is read. */
        done = put_file(ends[1], fd) == 1 && put_file(ends[0], fd) == 1 &&
               put(ends[0], big, sizeof(big)) == (ssize_t)sizeof(big) && take(ends[1], buf, 1) == 1;
        EXPECT_EQ(fd_close(fd), 0);
    }
    file_put(ends[0]);
    file_put(ends[1]);
    unix_collect(); /* what the next closing of a socket would do */
    return done;
}

TEST(unix_socket, failing_allocations_lose_nothing_of_messages)
{
    start();
    (void)every_allocation_fails(attempt_messages);
    tree_end();
}

static bool attempt_connection(void)
{
    struct sockaddr_name {
        uint16_t family;
        char path[8];
    } name = {AF_UNIX, "node"};
    struct socket *listener, *client, *server;
    bool done = false;

    if (socket_create(AF_UNIX, SOCK_STREAM, 0, &listener) < 0) {
        return false;
    }
    if (socket_create(AF_UNIX, SOCK_STREAM, 0, &client) < 0) {
        listener->ops->release(listener);
        return false;
    }
    const struct sockaddr *address = (const struct sockaddr *)&name;
    if (listener->ops->bind(listener, address, 7) == 0) {
        EXPECT_EQ(listener->ops->listen(listener, 1), 0);
        if (client->ops->connect(client, address, 7, O_NONBLOCK) == 0) {
            EXPECT_EQ(listener->ops->accept(listener, true, &server), 0);
            server->ops->release(server);
            done = true;
        }
    }
    client->ops->release(client);
    listener->ops->release(listener);
    (void)vfs_unlink(AT_FDCWD, "node");
    return done;
}

TEST(unix_socket, failing_allocations_lose_nothing_of_connections)
{
    start();
    (void)every_allocation_fails(attempt_connection);
    tree_end();
}
