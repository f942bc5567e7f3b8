/*
 * Control messages: what hostile ones get, and what receivers see of those that do not fit.
 */
#define TEST_SUITE "net"
#include "kernel/net/socket.h"
#include "test/unit/test.h"
#include "test/unit/vm/space.h"

#define BASE 0x20000000ull

static uint64_t words[32];

static size_t put_header(size_t at, size_t len, int level, int type)
{
    struct cmsghdr header = {len, level, type};

    memcpy((uint8_t *)words + at, &header, sizeof(header));
    return at + CMSG_ALIGN(len);
}

TEST(control, messages_come_in_order)
{
    size_t at = put_header(0, CMSG_LEN(4), 1, 2);
    at = put_header(at, CMSG_LEN(0), 3, 4);
    at = put_header(at, CMSG_LEN(9), 5, 6);
    struct message_control control = {.in = (uint8_t *)words,
                                      .left = at - 7}; /* the last may end unaligned */
    struct control_item item;

    EXPECT_EQ(control_next(&control, &item), 1);
    EXPECT(item.level == 1 && item.type == 2 && item.len == 4);
    EXPECT(item.data == (uint8_t *)words + 16);
    EXPECT_EQ(control_next(&control, &item), 1);
    EXPECT(item.level == 3 && item.len == 0);
    EXPECT_EQ(control_next(&control, &item), 1);
    EXPECT(item.level == 5 && item.len == 9);
    EXPECT_EQ(control_next(&control, &item), 0);
}

TEST(control, lengths_that_lie_are_refused)
{
    static const size_t lies[] = {0, 15, 33, (size_t)-1, (size_t)1 << 63};
    struct control_item item;

    for (size_t i = 0; i < ARRAY_SIZE(lies); i++) {
        struct cmsghdr header = {lies[i], 1, 1};
        memcpy(words, &header, sizeof(header));
        struct message_control control = {.in = (uint8_t *)words, .left = 32};
        EXPECT_EQ(control_next(&control, &item), -EINVAL);
    }
    struct message_control rest = {.in = (uint8_t *)words, .left = 15};
    EXPECT_EQ(control_next(&rest, &item), 0); /* less than a header is none */
}

TEST(control, what_does_not_fit_is_cut_off_and_told)
{
    struct vmspace *vm = space_enter();
    struct message message = {.control = {.out = (void *)BASE, .left = 24 + 20}};
    struct cmsghdr header;

    EXPECT_EQ(map_anon(vm, BASE, 1, TEST_RW), BASE);
    EXPECT_EQ(control_put(&message, 1, 2, "abcd", 4), 0);
    EXPECT_EQ(message.control.left, 20);
    EXPECT_EQ(message.result, 0);
    EXPECT_EQ(control_put(&message, 1, 3, "abcdefgh", 8), 0);
    EXPECT_EQ(message.result, MSG_CTRUNC);
    EXPECT_EQ(message.control.left, 0);
    EXPECT_EQ(copy_from_user(&header, (void *)(BASE + 24), sizeof(header)), 0);
    EXPECT_EQ(header.cmsg_len, 20);
    message.result = 0;
    EXPECT_EQ(control_put(&message, 1, 3, "abcdefgh", 8), 0);
    EXPECT_EQ(message.result, MSG_CTRUNC);
    EXPECT(control_room(&message.control) < 0);
    message.control = (struct message_control){.out = (void *)0x1000, .left = 64};
    EXPECT_EQ(control_put(&message, 1, 2, "abcd", 4), -EFAULT);
    space_leave();
}
