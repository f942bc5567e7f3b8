/*
 * Descriptor tables: lowest free number, growth, cloning, exec, dup, close_range, fcntl.
 */
#define TEST_SUITE "vfs"
#include "kernel/ipc/pipe.h"
#include "kernel/vfs/private.h"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

static void open_many(int n)
{
    for (int i = 0; i < n; i++) {
        EXPECT_EQ(tree_open("f", O_RDWR | O_CREAT, 0644), i);
    }
}

TEST(fdtable, gives_the_lowest_free_number)
{
    tree_begin(NULL);
    open_many(5);
    EXPECT_EQ(fd_close(1), 0);
    EXPECT_EQ(fd_close(3), 0);
    EXPECT_EQ(fd_close(3), -EBADF);
    EXPECT_EQ(fd_close(-1), -EBADF);
    EXPECT_EQ(fd_close(100000), -EBADF);
    EXPECT_EQ(tree_open("f", O_RDONLY, 0), 1);
    EXPECT_EQ(fd_dup(0, 4, false), 5);
    EXPECT_EQ(tree_open("f", O_RDONLY, 0), 3);
    EXPECT_EQ(tree_open("f", O_RDONLY, 0), 6);
    tree_end();
}

TEST(fdtable, grows_and_keeps_what_it_holds)
{
    tree_begin(NULL);
    open_many(300);
    for (int i = 0; i < 300; i++) {
        struct file *file = fd_file(i);
        EXPECT(file != NULL);
        file_put(file);
    }
    EXPECT_EQ(fd_dup_to(0, 1000, true), 1000);
    EXPECT_EQ(fd_get_cloexec(1000), 1);
    EXPECT_EQ(fd_get_cloexec(999), -EBADF);
    tree_end();
}

TEST(fdtable, clone_shares_files_and_exec_drops_cloexec)
{
    tree_begin(NULL);
    open_many(70);
    EXPECT_EQ(fd_set_cloexec(69, true), 0);
    EXPECT_EQ(fd_set_cloexec(3, true), 0);
    struct fdtable *old = current_thread()->files;
    struct fdtable *copy = fdtable_clone(old);
    EXPECT(copy != NULL);
    EXPECT_PTR_EQ(copy->files[69], old->files[69]);
    EXPECT_EQ(refcount_read(&old->files[69]->refs), 2);
    fdtable_exec(copy);
    EXPECT(copy->files[69] == NULL);
    EXPECT(copy->files[3] == NULL);
    EXPECT(copy->files[4] != NULL);
    EXPECT_EQ(refcount_read(&old->files[69]->refs), 1);
    fdtable_put(copy);
    EXPECT_EQ(refcount_read(&old->files[4]->refs), 1);
    tree_end();
}

TEST(fdtable, a_look_from_outside_puts_off_no_close)
{
    tree_begin(NULL);
    open_many(3);
    struct fdtable *copy = fdtable_clone(current_thread()->files);
    struct file *first = fd_file(0), *seen;
    EXPECT_EQ(refcount_read(&first->refs), 3);
    (void)fdtable_pin(copy);
    EXPECT_EQ(refcount_read(&copy->refs), 1); /* nor is it shared */
    EXPECT_EQ(fdtable_next(copy, 2, &seen), 2);
    file_put(seen);
    fdtable_put(copy);
    EXPECT_EQ(refcount_read(&first->refs), 2);
    EXPECT_EQ(fdtable_next(copy, 0, &seen), -1);
    fdtable_unpin(copy);
    file_put(first);
    tree_end();
}

/* Files live in memory that stays theirs, so a late look-up (fd_borrow_shared) may raise the count of one that is only being opened. */
TEST(fdtable, a_failed_open_leaves_a_look_up_its_reference)
{
    struct file *fresh, *next;

    tree_begin(NULL);
    open_many(1);
    struct file *model = fd_file(0);
    EXPECT_EQ(file_create(&model->path, O_RDONLY, FMODE_READ, &fresh), 0);
    (void)file_get(fresh);
    file_discard(fresh);
    EXPECT_EQ(refcount_read(&fresh->refs), 1);
    EXPECT_EQ(file_create(&model->path, O_RDONLY, FMODE_READ, &next), 0);
    EXPECT(next != fresh);
    file_discard(next);
    file_put(fresh);
    file_put(model);
    tree_end();
}

TEST(fdtable, dup_to_replaces_and_checks)
{
    tree_begin(NULL);
    open_many(3);
    struct file *first = fd_file(0);
    EXPECT_EQ(fd_dup_to(0, 2, false), 2);
    EXPECT_EQ(refcount_read(&first->refs), 3);
    EXPECT_EQ(fd_dup_to(9, 2, false), -EBADF);
    EXPECT_EQ(fd_dup_to(0, -1, false), -EBADF);
    file_put(first);
    tree_end();
}

TEST(fdtable, close_range_closes_or_marks)
{
    tree_begin(NULL);
    open_many(10);
    fd_close_range(3, 5, false);
    EXPECT_EQ(fd_get_cloexec(2), 0);
    EXPECT_EQ(fd_get_cloexec(4), -EBADF);
    fd_close_range(6, ~0u, true);
    EXPECT_EQ(fd_get_cloexec(9), 1);
    fd_close_range(0, ~0u, false);
    EXPECT_EQ(fd_get_cloexec(0), -EBADF);
    tree_end();
}

TEST(fdtable, borrowed_files_cost_no_reference_while_the_table_is_ones_own)
{
    tree_begin(NULL);
    open_many(1);
    struct fd_ref ref = fd_borrow(0);
    EXPECT_EQ(refcount_read(&fd_ref_file(ref)->refs), 1);
    fd_return(ref);
    struct fdtable *shared = fdtable_get(current_thread()->files);
    ref = fd_borrow(0);
    EXPECT_EQ(refcount_read(&fd_ref_file(ref)->refs), 2);
    fd_return(ref);
    EXPECT(fd_ref_file(fd_borrow(77)) == NULL);
    fdtable_put(shared);
    EXPECT(fd_ref_file(fd_borrow(77)) == NULL);
    tree_end();
}

TEST(fdtable, fcntl_flags)
{
    tree_begin(NULL);
    int fd = tree_open("f", O_RDWR | O_CREAT | O_TRUNC | O_EXCL | O_APPEND, 0644);
    EXPECT_EQ(file_fcntl(fd, F_GETFL, 0), O_RDWR | O_APPEND | O_LARGEFILE);
    EXPECT_EQ(file_fcntl(fd, F_SETFL, O_NONBLOCK | O_WRONLY | O_CREAT), 0);
    EXPECT_EQ(file_fcntl(fd, F_GETFL, 0), O_RDWR | O_NONBLOCK | O_LARGEFILE);
    EXPECT_EQ(file_fcntl(fd, F_GETFD, 0), 0);
    EXPECT_EQ(file_fcntl(fd, F_SETFD, FD_CLOEXEC), 0);
    EXPECT_EQ(file_fcntl(fd, F_GETFD, 0), FD_CLOEXEC);
    EXPECT_EQ(file_fcntl(fd, F_DUPFD_CLOEXEC, 10), 10);
    EXPECT_EQ(file_fcntl(10, F_GETFD, 0), FD_CLOEXEC);
    EXPECT_EQ(file_fcntl(fd, F_DUPFD, 1u << 31), -EINVAL);
    EXPECT_EQ(file_fcntl(77, F_GETFD, 0), -EBADF);
    EXPECT_EQ(file_fcntl(fd, F_GETPIPE_SZ, 0), -EBADF);
    int place = tree_open("f", O_PATH, 0);
    EXPECT_EQ(file_fcntl(place, F_GETFL, 0), O_PATH);
    EXPECT_EQ(file_fcntl(place, F_SETFL, 0), -EBADF);
    tree_end();
}

/* A pipe whose write end was put later, by a thread of this process. */
static struct file *put_write_end_later(struct process *process)
{
    struct thread *thread = current_thread();
    struct file *ends[2], *owed = thread->files_owed;

    EXPECT_EQ(pipe_create(0, &ends[0], &ends[1]), 0);
    thread->process = process;
    file_put_later(file_get(ends[1]));
    EXPECT_PTR_EQ(thread->files_owed, owed); /* not the last reference */
    file_put_later(ends[1]);
    thread->process = NULL;
    return ends[0];
}

TEST(file, put_later_is_released_on_the_way_to_user_mode)
{
    struct thread *thread = current_thread();

    tree_begin(NULL);
    struct file *one = put_write_end_later((struct process *)thread); /* any */
    struct file *two = put_write_end_later((struct process *)thread);
    EXPECT_EQ(vfs_poll(one, NULL), 0);
    EXPECT_EQ(thread->work & THREAD_WORK_NOTIFY, THREAD_WORK_NOTIFY);
    files_put_owed();
    EXPECT_EQ(vfs_poll(one, NULL), POLLHUP);
    EXPECT_EQ(vfs_poll(two, NULL), POLLHUP);
    file_put(one);
    file_put(two);
    thread_clear_work(thread, THREAD_WORK_NOTIFY);
    one = put_write_end_later(NULL); /* a kernel thread's */
    EXPECT_EQ(vfs_poll(one, NULL), POLLHUP);
    file_put(one);
    tree_end();
}
