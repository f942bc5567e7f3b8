/* Positions of files (kernel/vfs/file.h): none is less than 0, beyond the last number, or behind the end of what has a fixed size. */
#define TEST_SUITE "vfs"
#include <linux/fs.h>

#include "kernel/vfs/file.h"

#include "test/unit/test.h"

TEST(seek, goes_no_further_than_there_are_numbers)
{
    struct file file = {.pos = 5};

    EXPECT_EQ(directory_llseek(&file, INT64_MAX, SEEK_CUR), -EINVAL);
    EXPECT_EQ(directory_llseek(&file, INT64_MIN, SEEK_CUR), -EINVAL);
    EXPECT_EQ(directory_llseek(&file, -6, SEEK_CUR), -EINVAL);
    EXPECT_EQ(directory_llseek(&file, 0, SEEK_END), -EINVAL);
    EXPECT_EQ(file.pos, 5);
    EXPECT_EQ(directory_llseek(&file, INT64_MAX - 5, SEEK_CUR), INT64_MAX);
    EXPECT_EQ(directory_llseek(&file, 1, SEEK_CUR), -EINVAL);
}

TEST(seek, of_a_fixed_size_ends_with_it)
{
    struct file file = {.pos = 5};

    EXPECT_EQ(fixed_size_llseek(&file, 5, SEEK_CUR, 10), 10);
    EXPECT_EQ(fixed_size_llseek(&file, 1, SEEK_CUR, 10), -EINVAL);
    EXPECT_EQ(fixed_size_llseek(&file, INT64_MAX, SEEK_CUR, 10), -EINVAL);
    EXPECT_EQ(fixed_size_llseek(&file, INT64_MAX, SEEK_END, 10), -EINVAL);
    EXPECT_EQ(fixed_size_llseek(&file, 11, SEEK_SET, 10), -EINVAL);
    EXPECT_EQ(fixed_size_llseek(&file, 0, 99, 10), -EINVAL);
    EXPECT_EQ(file.pos, 10);
    EXPECT_EQ(fixed_size_llseek(&file, -10, SEEK_END, 10), 0);
}
