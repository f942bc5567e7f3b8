/* inotify: how watches are changed and end, how events are queued and read, and how many there may be. */
#include "inotify.h"

#include <poll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/xattr.h>

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
    pid_t child = abi_fork();
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
    abi_check_link(queue, "anon_inode:inotify");
}

/* Watches come and go while the files do. */
ABI_TEST(inotify, a_storm_of_processes_harms_nobody)
{
    pid_t children[3];

    begin();
    CHECK_EQ(mkdir("d", 0755), 0);
    int wd = watch("d", IN_ALL_EVENTS);
    for (int i = 0; i < 3; i++) {
        children[i] = abi_fork();
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
