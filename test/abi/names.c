/* Names: directories, links, renames, attributes, permissions. */
#include "abi.h"

#include <dirent.h>
#include <linux/stat.h>
#include <sys/statfs.h>

ABI_TEST(dir, lists_what_was_made_and_no_more)
{
    char name[32];
    int seen[50] = {0}, dots = 0;

    CHECK_EQ(mkdir("d", 0755), 0);
    for (int i = 0; i < 50; i++) {
        (void)snprintf(name, sizeof(name), "d/file%02d", i);
        abi_write_file(name, "");
    }
    DIR *dir = opendir("d");
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        int n;
        if (sscanf(entry->d_name, "file%d", &n) == 1) {
            seen[n]++;
            CHECK_EQ(entry->d_type, DT_REG);
        } else {
            dots++;
        }
    }
    CHECK_EQ(dots, 2);
    for (int i = 0; i < 50; i++) {
        CHECK_EQ(seen[i], 1);
    }
    CHECK_ERR(rmdir("d"), ENOTEMPTY);
    CHECK_ERR(rmdir("d/file00"), ENOTDIR);
    CHECK_ERR(unlink("d"), EISDIR);
    CHECK_ERR(mkdir("d", 0755), EEXIST);
    CHECK_ERR(rmdir("d/."), EINVAL);
}

ABI_TEST(dir, removing_while_reading_skips_nothing)
{
    char name[32];
    int removed = 0;

    CHECK_EQ(mkdir("d", 0755), 0);
    for (int i = 0; i < 300; i++) {
        (void)snprintf(name, sizeof(name), "d/%d", i);
        abi_write_file(name, "");
    }
    DIR *dir = opendir("d");
    for (struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        if (entry->d_name[0] != '.') {
            (void)snprintf(name, sizeof(name), "d/%s", entry->d_name);
            CHECK_EQ(unlink(name), 0);
            removed++;
        }
    }
    CHECK_EQ(removed, 300);
    CHECK_EQ(rmdir("d"), 0);
}

ABI_TEST(link, counts_and_shares)
{
    struct stat a, b;

    abi_write_file("f", "x");
    CHECK_EQ(link("f", "g"), 0);
    CHECK_EQ(stat("f", &a), 0);
    CHECK_EQ(stat("g", &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(a.st_nlink, 2);
    CHECK_EQ(unlink("f"), 0);
    CHECK_EQ(stat("g", &b), 0);
    CHECK_EQ(b.st_nlink, 1);
    CHECK_ERR(link("nowhere", "h"), ENOENT);
    CHECK_ERR(link(".", "h"), EPERM);
    CHECK_ERR(link("g", "g"), EEXIST);
}

ABI_TEST(link, an_unlinked_file_lives_while_open)
{
    char c;
    struct stat st;

    abi_write_file("f", "x");
    int fd = open("f", O_RDONLY);
    CHECK_EQ(unlink("f"), 0);
    CHECK_ERR(open("f", O_RDONLY), ENOENT);
    CHECK_EQ(read(fd, &c, 1), 1);
    CHECK_EQ(fstat(fd, &st), 0);
    CHECK_EQ(st.st_nlink, 0);
}

ABI_TEST(symlink, text_is_kept_and_read_back)
{
    char buf[16];
    struct stat st;

    CHECK_EQ(symlink("some/where", "l"), 0);
    CHECK_EQ(readlink("l", buf, sizeof(buf)), 10);
    CHECK(memcmp(buf, "some/where", 10) == 0);
    CHECK_EQ(readlink("l", buf, 4), 4);
    CHECK_EQ(lstat("l", &st), 0);
    CHECK_EQ(st.st_size, 10);
    CHECK_EQ(st.st_mode, S_IFLNK | 0777);
    CHECK_ERR(stat("l", &st), ENOENT);
    CHECK_ERR(readlink(".", buf, 16), EINVAL);
    CHECK_ERR(symlink("", "m"), ENOENT);
}

ABI_TEST(symlink, without_a_name_is_read_through_its_descriptor_alone)
{
    char buf[16];

    CHECK_EQ(symlink("where", "l"), 0);
    int link = open("l", O_PATH | O_NOFOLLOW), dir = open(".", O_RDONLY);
    CHECK(link >= 0 && dir >= 0);
    CHECK_EQ(syscall(SYS_readlinkat, link, "", buf, sizeof(buf)), 5);
    CHECK_ERR(syscall(SYS_readlinkat, dir, "", buf, sizeof(buf)), ENOENT);
    CHECK_ERR(syscall(SYS_readlinkat, AT_FDCWD, "", buf, sizeof(buf)), ENOENT);
    CHECK_ERR(syscall(SYS_readlinkat, 99, "", buf, sizeof(buf)), EBADF);
    CHECK_ERR(syscall(SYS_readlinkat, link, "", buf, 0), EINVAL);
    CHECK_ERR(syscall(SYS_readlink, "", buf, sizeof(buf)), ENOENT);
}

ABI_TEST(rename, replaces_what_may_be_replaced)
{
    struct stat st;

    abi_write_file("a", "aaa");
    abi_write_file("b", "b");
    CHECK_EQ(rename("a", "b"), 0);
    CHECK_EQ(stat("b", &st), 0);
    CHECK_EQ(st.st_size, 3);
    CHECK_ERR(stat("a", &st), ENOENT);
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(mkdir("d/e", 0755), 0);
    CHECK_ERR(rename("b", "d"), EISDIR);
    CHECK_ERR(rename("d", "b"), ENOTDIR);
    CHECK_ERR(rename("d", "d/e/f"), EINVAL);
    CHECK_EQ(mkdir("empty", 0755), 0);
    CHECK_EQ(rename("empty", "d/e"), 0);
    CHECK_ERR(rename("b", "nowhere/b"), ENOENT);
    CHECK_EQ(link("b", "c"), 0);
    CHECK_EQ(rename("b", "c"), 0); /* two names of one file: nothing happens */
    CHECK_EQ(stat("b", &st), 0);
    CHECK_ERR(syscall(SYS_renameat2, AT_FDCWD, "b", AT_FDCWD, "c", 1 /* NOREPLACE */), EEXIST);
    abi_write_file("x", "1");
    abi_write_file("y", "22");
    CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "x", AT_FDCWD, "y", 2 /* EXCHANGE */), 0);
    CHECK_EQ(stat("x", &st), 0);
    CHECK_EQ(st.st_size, 2);
}

ABI_TEST(rename, a_moved_directory_has_its_new_parent)
{
    struct stat a, b;

    CHECK_EQ(mkdir("p", 0755), 0);
    CHECK_EQ(mkdir("q", 0755), 0);
    CHECK_EQ(mkdir("p/d", 0755), 0);
    CHECK_EQ(rename("p/d", "q/d"), 0);
    CHECK_EQ(stat("q", &a), 0);
    CHECK_EQ(stat("q/d/..", &b), 0);
    CHECK_EQ(a.st_ino, b.st_ino);
    CHECK_EQ(a.st_nlink, 3);
    CHECK_EQ(stat("p", &a), 0);
    CHECK_EQ(a.st_nlink, 2);
}

/* Rename over what is held: the descriptor of what was replaced goes on telling its own name. */
static void check_replaced(const char *base, const char *from, const char *to, bool dir)
{
    char text[1024];

    CHECK(!dir || (mkdir(from, 0755) == 0 && mkdir(to, 0755) == 0));
    if (!dir) {
        abi_write_file(from, "from");
        abi_write_file(to, "to");
    }
    int moved = open(from, O_RDONLY), replaced = open(to, O_RDONLY);
    CHECK(moved >= 0 && replaced >= 0);
    CHECK_EQ(rename(from, to), 0);
    (void)snprintf(text, sizeof(text), "%s/%s", base, to);
    abi_check_link(moved, text);
    (void)snprintf(text, sizeof(text), "%s/%s (deleted)", base, to);
    abi_check_link(replaced, text);
    CHECK(access(from, F_OK) < 0 && access(to, F_OK) == 0);
    CHECK_EQ(close(moved), 0);
    abi_check_link(replaced, text);
    CHECK_EQ(close(replaced), 0);
}

#define LONG_NAME "a_name_that_has_no_room_where_the_short_ones_are_kept_"

ABI_TEST(rename, what_is_replaced_keeps_its_name)
{
    static const char *const names[][2] = {
        {"a", "b"}, {"c", LONG_NAME "1"}, {LONG_NAME "2", "e"}, {LONG_NAME "3", LONG_NAME "4"}};
    char base[256], from[128], to[128];

    CHECK(getcwd(base, sizeof(base)) != NULL);
    CHECK_EQ(mkdir("p", 0755), 0);
    CHECK_EQ(mkdir("q", 0755), 0);
    for (unsigned i = 0; i < 16; i++) {
        (void)snprintf(from, sizeof(from), "p/%s%u", names[i / 4][0], i);
        (void)snprintf(to, sizeof(to), "%s/%s%u", i % 2 == 0 ? "p" : "q", names[i / 4][1], i);
        check_replaced(base, from, to, i % 4 >= 2);
    }
}

ABI_TEST(rename, a_name_that_is_replaced_again_and_again_is_one)
{
    char name[128];
    int fds[8];

    abi_write_file(LONG_NAME, "");
    for (unsigned i = 0; i < 8; i++) {
        fds[i] = open(LONG_NAME, O_RDONLY);
        (void)snprintf(name, sizeof(name), LONG_NAME "%u", i);
        abi_write_file(name, "");
        CHECK_EQ(rename(name, LONG_NAME), 0);
    }
    CHECK_EQ(unlink(LONG_NAME), 0);
    for (unsigned i = 0; i < 8; i++) {
        char link[512], path[32];
        (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fds[i]);
        ssize_t len = readlink(path, link, sizeof(link) - 1);
        CHECK(len > 0);
        link[len] = '\0';
        CHECK(strcmp(strrchr(link, '/') + 1, LONG_NAME " (deleted)") == 0);
        CHECK_EQ(close(fds[i]), 0);
    }
}

ABI_TEST(rename, a_working_directory_that_is_replaced_keeps_its_name)
{
    char base[256], link[512] = "", text[512];

    CHECK(getcwd(base, sizeof(base)) != NULL);
    CHECK_EQ(mkdir("old", 0755), 0);
    CHECK_EQ(mkdir("new", 0755), 0);
    CHECK_EQ(chdir("old"), 0);
    CHECK_EQ(rename("../new", "../old"), 0);
    CHECK_ERR(syscall(SYS_getcwd, text, sizeof(text)), ENOENT);
    CHECK(readlink("/proc/self/cwd", link, sizeof(link) - 1) > 0);
    (void)snprintf(text, sizeof(text), "%s/old (deleted)", base);
    CHECK(strcmp(link, text) == 0);
    CHECK_ERR(open("f", O_CREAT | O_RDWR, 0644), ENOENT);
    CHECK_EQ(chdir("../old"), 0);
    CHECK(getcwd(link, sizeof(link)) != NULL);
}

ABI_TEST(rename, exchanged_names_change_hands)
{
    char base[256], text[512];

    CHECK(getcwd(base, sizeof(base)) != NULL);
    CHECK_EQ(mkdir("p", 0755), 0);
    abi_write_file("a", "");
    abi_write_file("p/" LONG_NAME, "");
    int a = open("a", O_RDONLY), b = open("p/" LONG_NAME, O_RDONLY);
    CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "p/" LONG_NAME, 2), 0);
    (void)snprintf(text, sizeof(text), "%s/a", base);
    abi_check_link(b, text);
    (void)snprintf(text, sizeof(text), "%s/p/" LONG_NAME, base);
    abi_check_link(a, text);
    CHECK_EQ(syscall(SYS_renameat2, AT_FDCWD, "a", AT_FDCWD, "p/" LONG_NAME, 2), 0);
    abi_check_link(b, text);
}

ABI_TEST(path, limits_are_told)
{
    char name[5000];

    memset(name, 'a', sizeof(name));
    name[256] = '\0';
    CHECK_ERR(open(name, O_RDONLY), ENAMETOOLONG);
    name[255] = '\0';
    CHECK_ERR(open(name, O_RDONLY), ENOENT);
    CHECK_EQ(mkdir(name, 0755), 0);
    for (size_t i = 0; i < sizeof(name); i += 2) {
        memcpy(name + i, "./", 2);
    }
    name[4999] = '\0';
    CHECK_ERR(open(name, O_RDONLY), ENAMETOOLONG);
}

ABI_TEST(path, cwd_follows_and_is_told)
{
    char buf[256], base[256];

    CHECK(getcwd(base, sizeof(base)) != NULL);
    CHECK_EQ(mkdir("d", 0755), 0);
    CHECK_EQ(chdir("d"), 0);
    CHECK(getcwd(buf, sizeof(buf)) != NULL);
    CHECK(strcmp(buf + strlen(base), "/d") == 0);
    CHECK_ERR(syscall(SYS_getcwd, buf, 2), ERANGE);
    CHECK_EQ(rename("../d", "../e"), 0);
    CHECK(getcwd(buf, sizeof(buf)) != NULL);
    CHECK(strcmp(buf + strlen(base), "/e") == 0);
    CHECK_EQ(rmdir("../e"), 0);
    CHECK_ERR(syscall(SYS_getcwd, buf, 256), ENOENT);
    CHECK_ERR(chdir("x"), ENOENT);
}

ABI_TEST(path, at_calls_start_at_their_directory)
{
    struct stat st;

    CHECK_EQ(mkdir("d", 0755), 0);
    int dir = open("d", O_RDONLY | O_DIRECTORY);
    int fd = openat(dir, "f", O_CREAT | O_WRONLY, 0600);
    CHECK(fd >= 0);
    CHECK_EQ(stat("d/f", &st), 0);
    CHECK_ERR(openat(fd, "g", O_RDONLY), ENOTDIR);
    CHECK_ERR(openat(999, "g", O_RDONLY), EBADF);
    CHECK(openat(999, "/dev/null", O_RDONLY) >= 0);
    CHECK_EQ(fstatat(dir, "", &st, AT_EMPTY_PATH), 0);
    CHECK(S_ISDIR(st.st_mode));
    CHECK_EQ(mkdirat(dir, "sub", 0700), 0);
    CHECK_EQ(unlinkat(dir, "sub", AT_REMOVEDIR), 0);
    CHECK_ERR(unlinkat(dir, "sub", AT_REMOVEDIR), ENOENT);
    CHECK_EQ(fchdir(dir), 0);
    CHECK_EQ(stat("f", &st), 0);
}

ABI_TEST(attr, times_can_be_set_now_and_left)
{
    struct stat st;
    struct timespec times[2] = {{1000, 5}, {2000, 7}};

    abi_write_file("f", "");
    CHECK_EQ(utimensat(AT_FDCWD, "f", times, 0), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_atim.tv_sec, 1000);
    CHECK_EQ(st.st_mtim.tv_sec, 2000);
    CHECK_EQ(st.st_mtim.tv_nsec, 7);
    times[0].tv_nsec = UTIME_OMIT;
    times[1].tv_nsec = UTIME_NOW;
    CHECK_EQ(utimensat(AT_FDCWD, "f", times, 0), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_atim.tv_sec, 1000);
    CHECK_EQ(st.st_mtim.tv_sec > 1000000 ? 0 : st.st_mtim.tv_sec, 0);
    times[0].tv_nsec = -1;
    CHECK_ERR(utimensat(AT_FDCWD, "f", times, 0), EINVAL);
}

ABI_TEST(attr, owner_and_mode_changes_obey_the_rules)
{
    struct stat st;

    abi_write_file("f", "");
    CHECK_EQ(chmod("f", 06755), 0);
    CHECK_EQ(chown("f", 1000, 1000), 0);
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(st.st_uid, 1000);
    CHECK_EQ(st.st_mode & 07777, 0755); /* set-ID bits go with the owner */
    CHECK_EQ(chmod(".", 0777), 0);
    int status = IN_CHILD({
        CHECK_EQ(setgid(2000), 0);
        CHECK_EQ(setuid(2000), 0);
        CHECK_ERR(chmod("f", 0777), EPERM);
        CHECK_ERR(chown("f", 2000, -1), EPERM);
        CHECK_ERR(open("f", O_WRONLY), EACCES);
        CHECK(open("f", O_RDONLY) >= 0);
        CHECK_ERR(access("f", W_OK), EACCES);
        CHECK_EQ(access("f", R_OK | X_OK), 0);
    });
    CHECK_EQ(status, 0);
}

ABI_TEST(attr, sticky_directories_protect_their_files)
{
    CHECK_EQ(mkdir("d", 0777), 0);
    CHECK_EQ(chmod("d", 01777), 0);
    abi_write_file("d/f", "");
    CHECK_EQ(chmod(".", 0755), 0);
    int status = IN_CHILD({
        CHECK_EQ(setuid(2000), 0);
        CHECK_ERR(unlink("d/f"), EPERM);
        CHECK_ERR(rename("d/f", "d/g"), EPERM);
        CHECK(open("d/own", O_CREAT | O_WRONLY, 0600) >= 0);
        CHECK_EQ(unlink("d/own"), 0);
        CHECK_ERR(open("other", O_CREAT | O_WRONLY, 0600), EACCES);
    });
    CHECK_EQ(status, 0);
}

ABI_TEST(attr, statx_and_stat_agree)
{
    struct stat st;
    struct statx x;

    abi_write_file("f", "12345");
    CHECK_EQ(stat("f", &st), 0);
    CHECK_EQ(syscall(SYS_statx, AT_FDCWD, "f", 0, STATX_BASIC_STATS, &x), 0);
    CHECK_EQ(x.stx_ino, st.st_ino);
    CHECK_EQ(x.stx_size, 5);
    CHECK_EQ(x.stx_mode, st.st_mode);
    CHECK_EQ(x.stx_mtime.tv_sec, st.st_mtim.tv_sec);
    CHECK_EQ(x.stx_mtime.tv_nsec, st.st_mtim.tv_nsec);
    struct statfs fs;
    CHECK_EQ(statfs(".", &fs), 0);
    CHECK(fs.f_bsize > 0 && fs.f_namelen == 255);
}

ABI_TEST(special, nodes_of_each_kind)
{
    struct stat st;

    CHECK_EQ(mknod("fifo", S_IFIFO | 0600, 0), 0);
    CHECK_EQ(mknod("chr", S_IFCHR | 0600, 0x103), 0);
    CHECK_EQ(stat("chr", &st), 0);
    CHECK_EQ(st.st_rdev, 0x103);
    int fd = open("chr", O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(write(fd, "x", 1), 1);
    CHECK_EQ(mknod("none", S_IFCHR | 0600, 0xfe0fe), 0);
    CHECK_ERR(open("none", O_RDONLY), ENXIO);
    CHECK_ERR(open("fifo", O_WRONLY | O_NONBLOCK), ENXIO);
    CHECK(open("fifo", O_RDONLY | O_NONBLOCK) >= 0);
    CHECK(open("fifo", O_WRONLY | O_NONBLOCK) >= 0);
}
