#define TEST_SUITE "vm"
#include "test/unit/test.h"

#include "kernel/vm/iov.h"
#include "test/unit/vm/space.h"

#define BASE 0x20000000ull

TEST(iov, kernel_buffers_are_filled_and_read)
{
    char buf[10] = "..........";
    struct iov_iter iter;

    iov_init_kernel(&iter, buf, sizeof(buf));
    EXPECT_EQ(iov_copy_to(&iter, "abcd", 4), 4);
    iov_advance(&iter, 2);
    EXPECT_EQ(iov_copy_to(&iter, "efghijkl", 8), 4);
    EXPECT_EQ(iter.count, 0);
    EXPECT_MEM_EQ(buf, "abcd..efgh", 10);
    iov_revert(&iter, 5);
    char out[5];
    EXPECT_EQ(iov_copy_from(&iter, out, 3), 3);
    EXPECT_MEM_EQ(out, ".ef", 3);
}

TEST(iov, vectors_are_walked_over_empty_segments_and_back)
{
    char a[3], b[1], c[4];
    struct iovec vec[] = {{a, 3}, {NULL, 0}, {b, 1}, {NULL, 0}, {c, 4}};
    struct iov_iter iter;
    char out[8];

    iov_init_vec(&iter, vec, 5, 8);
    iter.kernel = true;
    EXPECT_EQ(iov_copy_to(&iter, "12345678", 8), 8);
    EXPECT_MEM_EQ(a, "123", 3);
    EXPECT_MEM_EQ(b, "4", 1);
    EXPECT_MEM_EQ(c, "5678", 4);
    iov_revert(&iter, 6);
    EXPECT_EQ(iter.count, 6);
    EXPECT_EQ(iov_copy_from(&iter, out, 8), 6);
    EXPECT_MEM_EQ(out, "345678", 6);
    iov_revert(&iter, 8);
    iov_advance(&iter, 4);
    EXPECT_EQ(iov_zero(&iter, 2), 2);
    EXPECT_MEM_EQ(c,
                  "\0\0"
                  "78",
                  4);
}

TEST(iov, a_copy_stops_where_user_memory_ends)
{
    struct vmspace *vm = space_enter();
    struct iov_iter iter;
    static char data[3 * 4096];

    EXPECT_EQ(map_anon(vm, BASE, 2, TEST_RW), BASE);
    memset(data, 'd', sizeof(data));
    iov_init_user(&iter, (void *)(BASE + 100), sizeof(data));
    EXPECT_EQ(iov_copy_to(&iter, data, sizeof(data)), 2 * PAGE_SIZE - 100);
    EXPECT_EQ(iter.count, sizeof(data) - (2 * PAGE_SIZE - 100));
    EXPECT_EQ(peek(BASE + 99), 0);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE - 1), 'd');
    iov_init_user(&iter, (void *)(BASE + 50), sizeof(data));
    EXPECT_EQ(iov_zero(&iter, sizeof(data)), 2 * PAGE_SIZE - 50);
    EXPECT_EQ(peek(BASE + 2 * PAGE_SIZE - 1), 0);
    space_leave();
}

TEST(iov, without_faults_only_what_is_there_is_copied)
{
    struct vmspace *vm = space_enter();
    struct iov_iter iter;
    char data[64] = {1};

    EXPECT_EQ(map_anon(vm, BASE, 2, TEST_RW), BASE);
    EXPECT_EQ(poke(BASE, 1), 0);
    iov_init_user(&iter, (void *)(BASE + PAGE_SIZE - 32), 64);
    iter.nofault = true;
    EXPECT_EQ(iov_copy_to(&iter, data, 64), 32);
    iter.nofault = false;
    EXPECT_EQ(iov_copy_to(&iter, data, 64), 32);
    space_leave();
}

TEST(iov, imported_vectors_are_checked)
{
    struct vmspace *vm = space_enter();
    struct iovec fast[2], *vec;
    struct iov_iter iter;
    struct iovec good[3] = {{(void *)BASE, 10}, {(void *)(BASE + 50), 0}, {(void *)BASE, 5}};
    struct iovec negative[1] = {{(void *)BASE, (size_t)-1}};
    struct iovec overflow[2] = {{(void *)BASE, INT64_MAX}, {(void *)BASE, INT64_MAX}};
    struct iovec kernel[1] = {{(void *)UINT64_MAX, 1}};
    struct iovec *user = (struct iovec *)(BASE + 256);

    EXPECT_EQ(map_anon(vm, BASE, 1, TEST_RW), BASE);
    EXPECT_EQ(copy_to_user(user, good, sizeof(good)), 0);
    EXPECT_EQ(iov_import(user, 2, fast, 2, &vec, &iter), 0);
    EXPECT_PTR_EQ(vec, fast);
    EXPECT_EQ(iter.count, 10);
    EXPECT_EQ(iov_import(user, 3, fast, 2, &vec, &iter), 0);
    EXPECT(vec != fast);
    EXPECT_EQ(iter.count, 15);
    kfree(vec);
    EXPECT_EQ(iov_import(user, 0, fast, 2, &vec, &iter), 0);
    EXPECT_EQ(iter.count, 0);
    EXPECT_EQ(iov_import(user, 1025, fast, 2, &vec, &iter), -EINVAL);
    EXPECT_EQ(iov_import((struct iovec *)0x1000, 1, fast, 2, &vec, &iter), -EFAULT);
    EXPECT_EQ(copy_to_user(user, negative, sizeof(negative)), 0);
    EXPECT_EQ(iov_import(user, 1, fast, 2, &vec, &iter), -EINVAL);
    EXPECT_EQ(copy_to_user(user, overflow, sizeof(overflow)), 0);
    EXPECT_EQ(iov_import(user, 2, fast, 2, &vec, &iter), -EFAULT); /* beyond user memory */
    EXPECT_EQ(copy_to_user(user, kernel, sizeof(kernel)), 0);
    EXPECT_EQ(iov_import(user, 1, fast, 2, &vec, &iter), -EFAULT);
    space_leave();
}
