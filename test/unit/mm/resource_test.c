#define TEST_SUITE "resource"
#include "test/unit/test.h"

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/mm/resource.h"

static struct resource_space space;

static void add(struct resource *resource, uint64_t start, uint64_t last, const char *name, int err)
{
    *resource = (struct resource){.start = start, .last = last, .name = name};
    EXPECT_EQ(resource_add(&space, resource), err);
}

static void expect_at(unsigned index, const char *name, unsigned depth)
{
    struct resource_info info = {0};

    EXPECT(resource_describe(&space, index, &info));
    EXPECT(strcmp(info.name, name) == 0);
    EXPECT_EQ(info.depth, depth);
}

TEST(resource, ranges_lie_inside_each_other_in_whatever_order_they_come)
{
    struct resource in, far, out, innermost, beside;
    struct resource_info info;

    space = (struct resource_space){.last = 0xffff};
    spin_init(&space.lock, "test");
    EXPECT(!resource_describe(&space, 0, &info));
    add(&in, 0x110, 0x11f, "in", 0);
    add(&far, 0x300, 0x3ff, "far", 0);
    add(&innermost, 0x118, 0x11f, "innermost", 0);
    add(&beside, 0x180, 0x1ff, "beside", 0);
    add(&out, 0x100, 0x1ff, "out", 0);
    expect_at(0, "out", 0);
    expect_at(1, "in", 1);
    expect_at(2, "innermost", 2);
    expect_at(3, "beside", 1);
    expect_at(4, "far", 0);
    EXPECT(!resource_describe(&space, 5, &info));
}

TEST(resource, ranges_that_cross_are_refused_and_change_nothing)
{
    struct resource a, b, c;
    struct resource_info info;

    space = (struct resource_space){.last = 0xffff};
    spin_init(&space.lock, "test");
    add(&a, 0x100, 0x1ff, "a", 0);
    add(&b, 0x1ff, 0x200, "b", -EBUSY);
    add(&b, 0x80, 0x100, "b", -EBUSY);
    add(&b, 0x100, 0x1ff, "b", -EBUSY);
    add(&b, 0x110, 0x12f, "b", 0);
    add(&c, 0x120, 0x13f, "c", -EBUSY);
    add(&c, 0x50, 0x40, "c", -EINVAL);
    add(&c, 0xffff, 0x10000, "c", -EINVAL);
    expect_at(0, "a", 0);
    expect_at(1, "b", 1);
    EXPECT(!resource_describe(&space, 2, &info));
}
