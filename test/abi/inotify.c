/* inotify: which events come, in which order, under which name. */
#include "inotify.h"

ABI_TEST(inotify, refuses_what_makes_no_sense)
{
    begin();
    touch("f");
    CHECK_ERR(inotify_init1(1), EINVAL);
    CHECK_ERR(inotify_add_watch(queue, "f", 0), EINVAL);
    CHECK_ERR(inotify_add_watch(queue, "f", IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE), EINVAL);
    CHECK_ERR(inotify_add_watch(queue, "none", IN_OPEN), ENOENT);
    CHECK_ERR(inotify_add_watch(queue, "f", IN_OPEN | IN_ONLYDIR), ENOTDIR);
    CHECK_ERR(inotify_add_watch(99, "f", IN_OPEN), EBADF);
    CHECK_ERR(inotify_add_watch(0, "f", IN_OPEN), EINVAL);
    CHECK_ERR(inotify_add_watch(queue, (char *)8, IN_OPEN), EFAULT);
    CHECK_ERR(inotify_rm_watch(queue, 1), EINVAL);
    CHECK_ERR(inotify_rm_watch(99, 1), EBADF);
    CHECK_ERR(inotify_rm_watch(0, 1), EINVAL);
    CHECK_ERR(write(queue, "x", 1), EBADF);
    CHECK_EQ(fcntl(inotify_init1(IN_CLOEXEC), F_GETFD), FD_CLOEXEC);
    CHECK_EQ(fcntl(inotify_init(), F_GETFL) & O_NONBLOCK, 0);
    CHECK_EQ(fcntl(queue, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_NONBLOCK);
    int status = IN_CHILD({
        CHECK_EQ(chmod("f", 0200), 0);
        CHECK_EQ(setresuid(1234, 1234, 1234), 0);
        CHECK_ERR(inotify_add_watch(queue, "f", IN_OPEN), EACCES);
    });
    CHECK_EQ(status, 0);
}

ABI_TEST(inotify, tells_what_happens_to_a_file)
{
    char byte;

    begin();
    touch("f");
    int wd = watch("f", IN_ALL_EVENTS);
    int fd = open("f", O_RDWR);
    EXPECT(wd, IN_OPEN, "");
    CHECK_EQ(write(fd, "abc", 3), 3);
    EXPECT(wd, IN_MODIFY, "");
    CHECK_EQ(pread(fd, &byte, 1, 0), 1);
    EXPECT(wd, IN_ACCESS, "");
    CHECK_EQ(read(fd, &byte, 1), 0); /* nothing was read */
    NONE();
    CHECK_EQ(ftruncate(fd, 1), 0);
    EXPECT(wd, IN_MODIFY, "");
    CHECK_EQ(fchmod(fd, 0600), 0);
    EXPECT(wd, IN_ATTRIB, "");
    CHECK_EQ(futimens(fd, NULL), 0);
    EXPECT(wd, IN_ATTRIB, "");
    struct timespec access_only[2] = {{1, 0}, {0, UTIME_OMIT}};
    CHECK_EQ(futimens(fd, access_only), 0);
    EXPECT(wd, IN_ACCESS, "");
    CHECK_EQ(fallocate(fd, 0, 0, 8192), 0);
    EXPECT(wd, IN_MODIFY, "");
    int copy = dup(fd);
    CHECK_EQ(close(copy), 0);
    NONE();
    CHECK_EQ(close(fd), 0);
    EXPECT(wd, IN_CLOSE_WRITE, "");
    fd = open("f", O_RDONLY);
    CHECK_EQ(close(fd), 0);
    EXPECT(wd, IN_OPEN, "");
    EXPECT(wd, IN_CLOSE_NOWRITE, "");
    CHECK_EQ(link("f", "g"), 0);
    EXPECT(wd, IN_ATTRIB, "");
    CHECK_EQ(rename("g", "h"), 0);
    EXPECT(wd, IN_MOVE_SELF, "");
    CHECK_EQ(unlink("h"), 0);
    EXPECT(wd, IN_ATTRIB, "");
    CHECK_EQ(unlink("f"), 0);
    EXPECT(wd, IN_ATTRIB, "");
    EXPECT(wd, IN_DELETE_SELF, "");
    EXPECT(wd, IN_IGNORED, "");
    NONE();
    CHECK_ERR(inotify_rm_watch(queue, wd), EINVAL);
}

ABI_TEST(inotify, truncating_by_open_is_a_change_too)
{
    begin();
    int fd = open("f", O_CREAT | O_RDWR, 0644);
    CHECK_EQ(write(fd, "abc", 3), 3);
    CHECK_EQ(close(fd), 0);
    int wd = watch("f", IN_ALL_EVENTS);
    fd = open("f", O_WRONLY | O_TRUNC);
    uint32_t seen = 0;
    for (int i = 0; i < 2; i++) { /* kernels before 6.10 tell the change first */
        struct inotify_event *event = next();
        CHECK(event != NULL);
        seen |= event->mask;
    }
    CHECK_EQ(seen, IN_MODIFY | IN_OPEN);
    CHECK_EQ(close(fd), 0);
    EXPECT(wd, IN_CLOSE_WRITE, "");
    CHECK_EQ(truncate("f", 100), 0);
    EXPECT(wd, IN_MODIFY, "");
    CHECK_EQ(close(open("f", O_PATH)), 0);
    NONE();
}

ABI_TEST(inotify, tells_what_happens_in_a_directory)
{
    begin();
    CHECK_EQ(mkdir("d", 0755), 0);
    int wd = watch("d", IN_ALL_EVENTS);
    touch("d/f");
    EXPECT(wd, IN_CREATE, "f");
    EXPECT(wd, IN_OPEN, "f");
    EXPECT(wd, IN_CLOSE_WRITE, "f");
    CHECK_EQ(mkdir("d/sub", 0755), 0);
    EXPECT(wd, IN_CREATE | IN_ISDIR, "sub");
    CHECK_EQ(symlink("f", "d/link"), 0);
    EXPECT(wd, IN_CREATE, "link");
    CHECK_EQ(mknod("d/fifo", S_IFIFO | 0600, 0), 0);
    EXPECT(wd, IN_CREATE, "fifo");
    CHECK_EQ(link("d/f", "d/hard"), 0);
    EXPECT(wd, IN_CREATE, "hard");
    CHECK_EQ(chmod("d/f", 0600), 0);
    EXPECT(wd, IN_ATTRIB, "f");
    CHECK_EQ(chmod("d/sub", 0700), 0);
    EXPECT(wd, IN_ATTRIB | IN_ISDIR, "sub");
    CHECK_EQ(chmod("d", 0700), 0);
    EXPECT(wd, IN_ATTRIB | IN_ISDIR, "");
    CHECK_EQ(rmdir("d/sub"), 0);
    EXPECT(wd, IN_DELETE | IN_ISDIR, "sub");
    CHECK_EQ(unlink("d/hard"), 0);
    EXPECT(wd, IN_DELETE, "hard");
    CHECK_EQ(unlink("d/link"), 0);
    EXPECT(wd, IN_DELETE, "link");
    CHECK_EQ(unlink("d/fifo"), 0);
    CHECK_EQ(unlink("d/f"), 0);
    EXPECT(wd, IN_DELETE, "fifo");
    EXPECT(wd, IN_DELETE, "f");
    int fd = open("d", O_RDONLY | O_DIRECTORY);
    EXPECT(wd, IN_OPEN | IN_ISDIR, "");
    CHECK(syscall(SYS_getdents64, fd, buffer, sizeof(buffer)) > 0);
    EXPECT(wd, IN_ACCESS | IN_ISDIR, "");
    CHECK_EQ(close(fd), 0);
    EXPECT(wd, IN_CLOSE_NOWRITE | IN_ISDIR, "");
    CHECK_EQ(rename("d", "e"), 0);
    EXPECT(wd, IN_MOVE_SELF, "");
    CHECK_EQ(rmdir("e"), 0);
    EXPECT(wd, IN_DELETE_SELF, "");
    EXPECT(wd, IN_IGNORED, "");
    NONE();
}

ABI_TEST(inotify, halves_of_a_move_share_a_cookie)
{
    begin();
    CHECK_EQ(mkdir("a", 0755), 0);
    CHECK_EQ(mkdir("b", 0755), 0);
    touch("a/f");
    touch("b/old");
    int a = watch("a", IN_MOVE), b = watch("b", IN_MOVE | IN_DELETE);
    int f = watch("a/f", IN_MOVE_SELF), old = watch("b/old", IN_ALL_EVENTS);
    CHECK_EQ(rename("a/f", "b/g"), 0);
    EXPECT(a, IN_MOVED_FROM, "f");
    uint32_t first = cookie;
    CHECK(first != 0);
    EXPECT(b, IN_MOVED_TO, "g");
    CHECK_EQ(cookie, first);
    EXPECT(f, IN_MOVE_SELF, "");
    CHECK_EQ(cookie, 0);
    NONE();
    CHECK_EQ(rename("b/g", "b/old"), 0); /* over another */
    EXPECT(b, IN_MOVED_FROM, "g");
    CHECK(cookie != first);
    first = cookie;
    EXPECT(b, IN_MOVED_TO, "old");
    CHECK_EQ(cookie, first);
    struct inotify_event *event = next();
    CHECK(event != NULL);
    bool self_first = event->wd == f;
    CHECK_EQ(event->mask, self_first ? IN_MOVE_SELF : IN_ATTRIB);
    event = next();
    CHECK(event != NULL);
    CHECK_EQ(event->wd, self_first ? old : f);
    EXPECT(old, IN_DELETE_SELF, "");
    EXPECT(old, IN_IGNORED, "");
    NONE();
    touch("a/x");
    CHECK_EQ(mkdir("b/y", 0755), 0);
    CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "a/x", AT_FDCWD, "b/y", 2 /* RENAME_EXCHANGE */), 0);
    EXPECT(a, IN_MOVED_FROM, "x");
    first = cookie;
    EXPECT(b, IN_MOVED_TO, "y");
    CHECK_EQ(cookie, first);
    EXPECT(b, IN_MOVED_FROM | IN_ISDIR, "y");
    CHECK(cookie != first);
    EXPECT(a, IN_MOVED_TO | IN_ISDIR, "x");
    NONE();
}

ABI_TEST(inotify, a_file_and_its_directory_both_tell)
{
    begin();
    CHECK_EQ(mkdir("d", 0755), 0);
    touch("d/f");
    int d = watch("d", IN_OPEN | IN_DELETE), f = watch("d/f", IN_OPEN | IN_DELETE_SELF);
    CHECK_EQ(close(open("d/f", O_RDONLY)), 0);
    EXPECT(d, IN_OPEN, "f");
    EXPECT(f, IN_OPEN, "");
    CHECK_EQ(unlink("d/f"), 0);
    EXPECT(f, IN_DELETE_SELF, "");
    EXPECT(f, IN_IGNORED, "");
    EXPECT(d, IN_DELETE, "f");
    NONE();
}

ABI_TEST(inotify, a_deleted_file_lives_until_it_is_closed)
{
    begin();
    CHECK_EQ(mkdir("d", 0755), 0);
    int fd = open("d/f", O_CREAT | O_RDWR, 0644);
    int d = watch("d", IN_MODIFY | IN_CLOSE), f = watch("d/f", IN_ALL_EVENTS);
    CHECK_EQ(unlink("d/f"), 0);
    EXPECT(f, IN_ATTRIB, "");
    CHECK_EQ(write(fd, "a", 1), 1);
    EXPECT(d, IN_MODIFY, "f"); /* by the name that it had */
    EXPECT(f, IN_MODIFY, "");
    CHECK_EQ(inotify_add_watch(queue, "d", IN_MODIFY | IN_CLOSE | IN_EXCL_UNLINK), d);
    CHECK_EQ(write(fd, "a", 1), 1);
    EXPECT(f, IN_MODIFY, "");
    CHECK_EQ(close(fd), 0);
    EXPECT(f, IN_CLOSE_WRITE, "");
    EXPECT(f, IN_DELETE_SELF, "");
    EXPECT(f, IN_IGNORED, "");
    NONE();
}
