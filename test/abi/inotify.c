/* inotify: which events come, in which order, under which name. */
#include "abi.h"

#include <poll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/xattr.h>

static int queue;

static void begin(void)
{
    queue = inotify_init1(IN_NONBLOCK);
    CHECK(queue >= 0);
}

static int watch(const char *path, uint32_t mask)
{
    int wd = inotify_add_watch(queue, path, mask);

    CHECK(wd > 0);
    return wd;
}

static char buffer[4096] __attribute__((aligned(8)));
static size_t used, have;

/* The next event; NULL: there is none. */
static struct inotify_event *next(void)
{
    if (used == have) {
        ssize_t n = read(queue, buffer, sizeof(buffer));
        if (n < 0) {
            CHECK_EQ(errno, EAGAIN);
            return NULL;
        }
        have = (size_t)n;
        used = 0;
    }
    struct inotify_event *event = (struct inotify_event *)(buffer + used);
    used += sizeof(*event) + event->len;
    CHECK(used <= have);
    return event;
}

static uint32_t cookie;

static void expect_at(int line, int wd, uint32_t mask, const char *name)
{
    struct inotify_event *event = next();

    if (event == NULL) {
        abi_fail(__FILE__, line, "no event");
    }
    const char *got = event->len == 0 ? "" : event->name;
    if (event->wd != wd || event->mask != mask || strcmp(got, name) != 0) {
        abi_fail(__FILE__, line, "expected %d %x '%s', got %d %x '%s'", wd, mask, name, event->wd,
                 event->mask, got);
    }
    CHECK_EQ(event->len % 16, 0);
    cookie = event->cookie;
}
#define EXPECT(wd, mask, name) expect_at(__LINE__, wd, mask, name)

static void none_at(int line)
{
    struct inotify_event *event = next();

    if (event != NULL) {
        abi_fail(__FILE__, line, "an event too much: %d %x '%s'", event->wd, event->mask,
                 event->len == 0 ? "" : event->name);
    }
}
#define NONE() none_at(__LINE__)

static void touch(const char *name)
{
    int fd = open(name, O_CREAT | O_RDWR, 0644);

    CHECK(fd >= 0);
    CHECK_EQ(close(fd), 0);
}

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

ABI_TEST(inotify, watches_can_be_changed_and_removed)
{
    begin();
    touch("f");
    touch("g");
    int f = watch("f", IN_OPEN), g = watch("g", IN_OPEN);
    CHECK(f != g);
    CHECK_EQ(inotify_add_watch(queue, "f", IN_ATTRIB), f); /* instead */
    touch("f");
    NONE();
    CHECK_EQ(inotify_add_watch(queue, "f", IN_OPEN | IN_MASK_ADD), f); /* besides */
    touch("f");
    EXPECT(f, IN_OPEN, "");
    CHECK_EQ(chmod("f", 0600), 0);
    EXPECT(f, IN_ATTRIB, "");
    CHECK_ERR(inotify_add_watch(queue, "f", IN_OPEN | IN_MASK_CREATE), EEXIST);
    CHECK_EQ(link("f", "same"), 0); /* another name of the inode */
    EXPECT(f, IN_ATTRIB, "");
    CHECK_EQ(inotify_add_watch(queue, "same", IN_OPEN), f);
    CHECK_EQ(inotify_rm_watch(queue, f), 0);
    EXPECT(f, IN_IGNORED, "");
    CHECK_ERR(inotify_rm_watch(queue, f), EINVAL);
    touch("f");
    NONE();
    int again = watch("f", IN_OPEN | IN_MASK_CREATE);
    CHECK(again > g); /* numbers are not used again soon */
    touch("g");
    touch("f");
    EXPECT(g, IN_OPEN, "");
    EXPECT(again, IN_OPEN, "");
    NONE();
}

ABI_TEST(inotify, one_shot_serves_once)
{
    begin();
    CHECK_EQ(mkdir("d", 0755), 0);
    int wd = watch("d", IN_CREATE | IN_ONESHOT);
    touch("d/a");
    touch("d/b");
    EXPECT(wd, IN_CREATE, "a");
    EXPECT(wd, IN_IGNORED, "");
    NONE();
    CHECK_ERR(inotify_rm_watch(queue, wd), EINVAL);
}

ABI_TEST(inotify, links_are_followed_unless_asked_not_to_be)
{
    begin();
    touch("f");
    CHECK_EQ(symlink("f", "link"), 0);
    int f = watch("link", IN_ATTRIB);
    CHECK_EQ(inotify_add_watch(queue, "f", IN_ATTRIB), f);
    int link_wd = watch("link", IN_ATTRIB | IN_DONT_FOLLOW);
    CHECK(link_wd != f);
    CHECK_EQ(fchownat(AT_FDCWD, "link", 1, 1, AT_SYMLINK_NOFOLLOW), 0);
    EXPECT(link_wd, IN_ATTRIB, "");
    NONE();
}

ABI_TEST(inotify, the_same_event_again_is_one_event)
{
    begin();
    CHECK_EQ(mkdir("d", 0755), 0);
    int fd = open("d/f", O_CREAT | O_RDWR, 0644);
    int wd = watch("d", IN_MODIFY | IN_ATTRIB);
    for (int i = 0; i < 5; i++) {
        CHECK_EQ(write(fd, "x", 1), 1);
    }
    CHECK_EQ(fchmod(fd, 0600), 0);
    CHECK_EQ(write(fd, "x", 1), 1);
    EXPECT(wd, IN_MODIFY, "f");
    EXPECT(wd, IN_ATTRIB, "f");
    EXPECT(wd, IN_MODIFY, "f");
    NONE();
}

ABI_TEST(inotify, reads_whole_events_that_fit)
{
    static const char name[] = "a-name-of-more-than-sixteen-bytes";
    struct pollfd asked;
    int bytes = -1;

    begin();
    CHECK_EQ(mkdir("d", 0755), 0);
    (void)watch("d", IN_CREATE);
    asked = (struct pollfd){.fd = queue, .events = POLLIN | POLLOUT};
    CHECK_EQ(poll(&asked, 1, 0), 0);
    CHECK_EQ(ioctl(queue, FIONREAD, &bytes), 0);
    CHECK_EQ(bytes, 0);
    touch("d/f");
    CHECK_EQ(chdir("d"), 0);
    touch(name);
    CHECK_EQ(poll(&asked, 1, 0), 1);
    CHECK_EQ(asked.revents, POLLIN);
    CHECK_EQ(ioctl(queue, FIONREAD, &bytes), 0);
    CHECK_EQ(bytes, 32 + 16 + 48);
    CHECK_ERR(read(queue, buffer, 31), EINVAL);
    CHECK_EQ(read(queue, buffer, 33), 32); /* the second does not fit */
    CHECK_ERR(read(queue, buffer, 63), EINVAL);
    CHECK_EQ(read(queue, buffer, 64), 64);
    struct inotify_event *event = (struct inotify_event *)buffer;
    CHECK_EQ(event->len, 48);
    CHECK_EQ(strcmp(event->name, name), 0);
    CHECK_ERR(read(queue, buffer, 64), EAGAIN);
    CHECK_ERR(ioctl(queue, 0x1234), ENOTTY);
}

ABI_TEST(inotify, a_reader_sleeps_until_something_happens)
{
    queue = inotify_init();
    CHECK(queue >= 0);
    touch("f");
    int wd = watch("f", IN_OPEN);
    pid_t child = fork();
    if (child == 0) {
        usleep(30000);
        touch("f");
        _exit(0);
    }
    EXPECT(wd, IN_OPEN, "");
    CHECK_EQ(waitpid(child, NULL, 0), child);
}

static long setting(const char *name, long value)
{
    char path[128], text[32] = "";

    snprintf(path, sizeof(path), "/proc/sys/fs/inotify/%s", name);
    int fd = open(path, O_RDWR);
    CHECK(fd >= 0);
    CHECK(read(fd, text, sizeof(text) - 1) > 0);
    if (value >= 0) {
        char new[32];
        int n = snprintf(new, sizeof(new), "%ld\n", value);
        CHECK_EQ(pwrite(fd, new, (size_t)n, 0), n);
    }
    CHECK_EQ(close(fd), 0);
    return atol(text);
}

ABI_TEST(inotify, a_full_queue_says_so_once)
{
    char name[16];
    long was = setting("max_queued_events", 10);

    begin(); /* takes the limit of now, on some kernels */
    CHECK_EQ(mkdir("d", 0755), 0);
    int wd = watch("d", IN_CREATE);
    for (int i = 0; i < 20; i++) {
        snprintf(name, sizeof(name), "d/%d", i);
        touch(name);
    }
    (void)setting("max_queued_events", was);
    for (int i = 0; i < 10; i++) {
        snprintf(name, sizeof(name), "%d", i);
        EXPECT(wd, IN_CREATE, name);
    }
    EXPECT(-1, IN_Q_OVERFLOW, "");
    NONE();
    touch("d/later");
    EXPECT(wd, IN_CREATE, "later");
}

ABI_TEST(inotify, a_user_may_have_only_so_many)
{
    CHECK_EQ(setting("max_user_instances", -1) >= 8, 1);
    CHECK(setting("max_user_watches", -1) >= 1000);
    long instances = setting("max_user_instances", 3), watches = setting("max_user_watches", 2);
    CHECK_EQ(mkdir("d", 0777), 0);
    for (int i = 0; i < 3; i++) {
        touch((char[]){'d', '/', (char)('a' + i), '\0'});
    }
    int status = IN_CHILD({
        CHECK_EQ(setresuid(4322, 4322, 4322), 0);
        for (int i = 0; i < 3; i++) {
            begin();
        }
        CHECK_ERR(inotify_init(), EMFILE);
        CHECK_EQ(close(queue), 0);
        begin();
        int a = watch("d/a", IN_OPEN);
        (void)watch("d/b", IN_OPEN);
        CHECK_ERR(inotify_add_watch(queue, "d/c", IN_OPEN), ENOSPC);
        CHECK_EQ(inotify_rm_watch(queue, a), 0);
        (void)watch("d/c", IN_OPEN);
    });
    (void)setting("max_user_instances", instances);
    (void)setting("max_user_watches", watches);
    CHECK_EQ(status, 0);
}

ABI_TEST(inotify, unmounting_ends_a_watch)
{
    begin();
    CHECK_EQ(mkdir("m", 0755), 0);
    if (mount("none", "m", "tmpfs", 0, NULL) < 0) {
        return; /* not allowed to */
    }
    touch("m/f");
    int wd = watch("m/f", IN_MODIFY);
    CHECK_EQ(umount("m"), 0);
    EXPECT(wd, IN_UNMOUNT, "");
    EXPECT(wd, IN_IGNORED, "");
    NONE();
}

ABI_TEST(inotify, attributes_and_programs_count)
{
    begin();
    CHECK_EQ(mkdir("d", 0755), 0);
    int fd = open("d/prog", O_CREAT | O_WRONLY, 0755);
    CHECK_EQ(write(fd, "#!/bin/true\n", 12), 12);
    CHECK_EQ(close(fd), 0);
    int wd = watch("d", IN_OPEN | IN_ATTRIB | IN_CLOSE);
    (void)IN_CHILD(execl("d/prog", "prog", NULL));
    EXPECT(wd, IN_OPEN, "prog");
    bool closed = false;
    for (struct inotify_event *event; (event = next()) != NULL;) {
        CHECK_EQ(strcmp(event->name, "prog"), 0);
        closed = closed || event->mask == IN_CLOSE_NOWRITE;
    }
    CHECK(closed);
    if (setxattr("d/prog", "trusted.linnet", "1", 1, 0) == 0) {
        EXPECT(wd, IN_ATTRIB, "prog");
        CHECK_EQ(removexattr("d/prog", "trusted.linnet"), 0);
        EXPECT(wd, IN_ATTRIB, "prog");
    }
    NONE();
}

ABI_TEST(inotify, fdinfo_lists_the_watches)
{
    char path[64], line[256];
    struct stat st;
    int found = 0;

    begin();
    touch("f");
    int wd = watch("f", IN_OPEN | IN_ATTRIB);
    CHECK_EQ(stat("f", &st), 0);
    snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", queue);
    FILE *f = fopen(path, "r");
    CHECK(f != NULL);
    while (fgets(line, sizeof(line), f) != NULL) {
        unsigned number, mask, ignored, dev;
        unsigned long long ino;
        if (sscanf(line, "inotify wd:%x ino:%llx sdev:%x mask:%x ignored_mask:%x", &number, &ino,
                   &dev, &mask, &ignored) == 5) {
            CHECK_EQ(number, wd);
            CHECK_EQ(ino, st.st_ino);
            CHECK_EQ(mask & IN_ALL_EVENTS, IN_OPEN | IN_ATTRIB);
            found++;
        }
    }
    CHECK_EQ(found, 1);
    CHECK_EQ(fclose(f), 0);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", queue);
    ssize_t n = readlink(path, line, sizeof(line) - 1);
    CHECK(n > 0);
    line[n] = '\0';
    CHECK_EQ(strcmp(line, "anon_inode:inotify"), 0);
}

/* Watches come and go while the files do. */
ABI_TEST(inotify, a_storm_of_processes_harms_nobody)
{
    pid_t children[3];

    begin();
    CHECK_EQ(mkdir("d", 0755), 0);
    int wd = watch("d", IN_ALL_EVENTS);
    for (int i = 0; i < 3; i++) {
        children[i] = fork();
        if (children[i] == 0) {
            char name[16], other[16];
            snprintf(name, sizeof(name), "d/%d", i);
            snprintf(other, sizeof(other), "d/o%d", i);
            for (int round = 0; round < 100; round++) {
                touch(name);
                int own = inotify_add_watch(queue, name, IN_ALL_EVENTS | IN_ONESHOT * (round & 1));
                CHECK(own > 0);
                CHECK_EQ(rename(name, other), 0);
                if (round % 3 == 0) {
                    (void)inotify_rm_watch(queue, own);
                }
                CHECK_EQ(unlink(other), 0);
            }
            _exit(0);
        }
    }
    int deleted = 0, running = 3;
    while (running > 0 || deleted < 300) {
        struct inotify_event *event = next();
        if (event == NULL) {
            int status;
            pid_t child = waitpid(-1, &status, WNOHANG);
            if (child > 0) {
                CHECK_EQ(status, 0);
                running--;
            }
            usleep(1000);
            continue;
        }
        CHECK((event->mask & IN_Q_OVERFLOW) == 0);
        deleted += event->wd == wd && event->mask == IN_DELETE;
    }
    CHECK_EQ(deleted, 300);
}
