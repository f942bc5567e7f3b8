/*
 * Sets of watched files: what makes a set ready, what ends a watch, and sets in sets. What epoll_wait gives to programs is test/abi's.
 */
#define TEST_SUITE "vfs"
#include "kernel/vfs/epoll.h"

#include "hal/host/host.h"
#include "kernel/ipc/pipe.h"
#include "kernel/security/cred.h"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

static struct file *set, *ends[2];

static struct file *new_set(void)
{
    struct file *file = NULL;

    EXPECT_EQ(epoll_set_create(0, &file), 0);
    return file;
}

static void epoll_begin(void)
{
    tree_begin(NULL);
    set = new_set();
    EXPECT_EQ(pipe_create(0, &ends[0], &ends[1]), 0);
}

static void epoll_end(void)
{
    file_put(set);
    file_put(ends[0]);
    file_put(ends[1]);
    EXPECT_EQ(user_root.epoll_watches, 0u);
    tree_end();
}

static int control(struct file *of, int op, struct file *target, uint32_t events)
{
    const struct epoll_event event = {.events = events};

    return epoll_set_ctl(of, op, 5, target, &event);
}

static void put_byte(void)
{
    struct iov_iter from;

    iov_init_kernel(&from, (char[]){'x'}, 1);
    EXPECT_EQ(vfs_write(ends[1], &from, NULL), 1);
}

static void take_byte(void)
{
    struct iov_iter to;
    char byte;

    iov_init_kernel(&to, &byte, 1);
    EXPECT_EQ(vfs_read(ends[0], &to, NULL), 1);
}

static bool ready(struct file *file)
{
    return (vfs_poll(file, NULL) & POLLIN) != 0;
}

TEST(epoll, a_set_is_ready_while_something_in_it_is)
{
    epoll_begin();
    EXPECT_EQ(control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN), 0);
    EXPECT(!ready(set));
    put_byte();
    EXPECT(ready(set));
    EXPECT(ready(set));
    take_byte();
    EXPECT(!ready(set));
    put_byte();
    EXPECT(ready(set));
    EXPECT_EQ(control(set, EPOLL_CTL_DEL, ends[0], 0), 0);
    EXPECT(!ready(set));
    epoll_end();
}

TEST(epoll, what_is_ready_when_it_is_added_counts)
{
    epoll_begin();
    put_byte();
    EXPECT_EQ(control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN), 0);
    EXPECT(ready(set));
    EXPECT_EQ(control(set, EPOLL_CTL_MOD, ends[0], EPOLLPRI), 0);
    EXPECT(!ready(set));
    EXPECT_EQ(control(set, EPOLL_CTL_MOD, ends[0], EPOLLIN), 0);
    EXPECT(ready(set));
    epoll_end();
}

TEST(epoll, the_end_of_a_file_ends_its_watches)
{
    struct file *other;

    epoll_begin();
    other = new_set();
    EXPECT_EQ(control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN), 0);
    EXPECT_EQ(control(other, EPOLL_CTL_ADD, ends[0], EPOLLIN), 0);
    EXPECT_EQ(user_root.epoll_watches, 2u);
    put_byte();
    file_put(ends[0]);
    ends[0] = NULL;
    EXPECT_EQ(user_root.epoll_watches, 0u);
    EXPECT(!ready(set));
    file_put(other);
    epoll_end();
}

TEST(epoll, the_end_of_a_set_ends_its_watches)
{
    epoll_begin();
    EXPECT_EQ(control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN), 0);
    EXPECT_EQ(control(set, EPOLL_CTL_ADD, ends[1], EPOLLOUT), 0);
    file_put(set);
    set = NULL;
    put_byte(); /* nobody is left on the queue */
    epoll_end();
}

TEST(epoll, an_inner_set_makes_the_outer_one_ready)
{
    struct file *outer;

    epoll_begin();
    outer = new_set();
    EXPECT_EQ(control(outer, EPOLL_CTL_ADD, set, EPOLLIN), 0);
    EXPECT_EQ(control(set, EPOLL_CTL_ADD, outer, EPOLLIN), -ELOOP);
    EXPECT_EQ(control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN), 0);
    EXPECT(!ready(outer));
    put_byte();
    EXPECT(ready(outer));
    take_byte();
    EXPECT(!ready(outer));
    file_put(outer);
    EXPECT_EQ(control(set, EPOLL_CTL_DEL, ends[0], 0), 0);
    epoll_end();
}

TEST(epoll, the_limit_of_watches_is_the_users)
{
    uint64_t was = epoll_max_user_watches;

    epoll_begin();
    epoll_max_user_watches = 1;
    EXPECT_EQ(control(set, EPOLL_CTL_ADD, ends[0], EPOLLIN), 0);
    EXPECT_EQ(control(set, EPOLL_CTL_ADD, ends[1], EPOLLIN), -ENOSPC);
    EXPECT_EQ(control(set, EPOLL_CTL_DEL, ends[0], 0), 0);
    EXPECT_EQ(control(set, EPOLL_CTL_ADD, ends[1], EPOLLIN), 0);
    epoll_max_user_watches = was;
    epoll_end();
}
