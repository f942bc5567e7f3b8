/*
 * mount(2) where places come and go: detached mounts, directories without a name, what leaves a bind mount, and what /proc tells of it
 * (mount(2), proc(5)).
 */
#include "abi.h"

#include <sched.h>
#include <sys/mount.h>

/* A tmpfs on ./m, where mounts are to be made; on Linux out of sight of the rest of the machine. */
static void begin(void)
{
    if (unshare(CLONE_NEWNS) == 0) {
        CHECK_EQ(mount(NULL, "/", NULL, MS_PRIVATE | MS_REC, NULL), 0);
    }
    CHECK_EQ(mkdir("m", 0755), 0);
    if (mount("none", "m", "tmpfs", 0, NULL) != 0 && errno == EPERM) {
        abi_skip("mounting is not allowed here");
    }
    CHECK_EQ(chdir("m"), 0);
}

static void end(void)
{
    CHECK_EQ(chdir(".."), 0);
    CHECK_EQ(umount2("m", MNT_DETACH), 0);
}

/* The place behind a descriptor, by name. */
static const char *at(int fd)
{
    static char names[2][32];
    static unsigned turn;
    char *name = names[turn++ % 2];

    CHECK(fd >= 0);
    (void)snprintf(name, sizeof(names[0]), "/proc/self/fd/%d", fd);
    return name;
}

/* Linux says one or the other, by version. */
#define CHECK_NO_PLACE(expr)                                                                       \
    do {                                                                                           \
        CHECK((expr) == -1);                                                                       \
        CHECK(errno == EINVAL || errno == ENOENT);                                                 \
    } while (0)

ABI_TEST(mount, that_is_detached_takes_no_part_any_more)
{
    begin();
    CHECK(mkdir("old", 0755) == 0 && mkdir("dir", 0755) == 0 && mkdir("other", 0755) == 0);
    CHECK_EQ(mount("none", "old", "tmpfs", 0, NULL), 0);
    CHECK_EQ(mkdir("old/place", 0755), 0);
    CHECK_EQ(mount("none", "other", "tmpfs", 0, NULL), 0);
    int root = open("old", O_PATH), place = open("old/place", O_PATH);
    CHECK(root >= 0 && place >= 0);
    CHECK_EQ(umount2("old", MNT_DETACH), 0);
    CHECK_NO_PLACE(mount("none", at(place), "tmpfs", 0, NULL));
    CHECK_NO_PLACE(mount("dir", at(place), NULL, MS_BIND, NULL));
    CHECK_NO_PLACE(mount("other", at(place), NULL, MS_MOVE, NULL));
    CHECK_ERR(mount(at(place), "dir", NULL, MS_BIND, NULL), EINVAL);
    CHECK_ERR(mount(at(root), "dir", NULL, MS_MOVE, NULL), EINVAL);
    CHECK_ERR(mount(NULL, at(root), NULL, MS_REMOUNT | MS_RDONLY, NULL), EINVAL);
    CHECK_EQ(mkdirat(place, "still", 0755), 0);
    CHECK_EQ(umount("other"), 0); /* it is where it was */
    end();
}

ABI_TEST(mount, of_what_is_not_in_the_tree_fails)
{
    int ends[2], memory = memfd_create("memory", 0);

    begin();
    CHECK(mkdir("dir", 0755) == 0 && mkdir("dead", 0755) == 0 && pipe(ends) == 0);
    abi_write_file("file", "");
    int dead = open("dead", O_PATH);
    CHECK_EQ(rmdir("dead"), 0);
    CHECK_ERR(mount(at(memory), "file", NULL, MS_BIND, NULL), EINVAL);
    CHECK_ERR(mount(at(ends[0]), "file", NULL, MS_BIND, NULL), EINVAL);
    CHECK_ERR(mount("none", at(dead), "tmpfs", 0, NULL), ENOENT);
    CHECK_EQ(mount("none", "dir", "tmpfs", 0, NULL), 0);
    CHECK_ERR(mount("dir", at(dead), NULL, MS_MOVE, NULL), ENOENT);
    CHECK_ERR(mount("dir", "file", NULL, MS_MOVE, NULL), EINVAL);
    CHECK_EQ(umount("dir"), 0);
    end();
}

/* Two mounts show one directory: what one moves away is not above what the other shows. */
ABI_TEST(mount, shows_nothing_above_a_directory_that_was_moved_out_of_it)
{
    struct stat st;
    char name[256];

    begin();
    CHECK(mkdir("shown", 0755) == 0 && mkdir("shown/dir", 0755) == 0 &&
          mkdir("shown/dir/deep", 0755) == 0);
    CHECK(mkdir("bind", 0755) == 0 && mkdir("hidden", 0755) == 0);
    CHECK_EQ(mount("shown", "bind", NULL, MS_BIND, NULL), 0);
    int out = open(".", O_PATH);
    CHECK_EQ(chdir("bind/dir/deep"), 0);
    CHECK_EQ(stat("../..", &st), 0);
    CHECK_EQ(renameat(out, "shown/dir", out, "hidden/dir"), 0);
    CHECK_EQ(stat(".", &st), 0);
    CHECK_ERR(stat("..", &st), ENOENT);
    CHECK_ERR(chdir("../.."), ENOENT);
    CHECK(syscall(SYS_getcwd, name, sizeof(name)) > 0);
    CHECK_EQ(strcmp(name, "(unreachable)/"), 0);
    CHECK_EQ(renameat(out, "hidden/dir", out, "shown/dir"), 0);
    CHECK_EQ(stat("../..", &st), 0);
    CHECK_EQ(fchdir(out), 0);
    CHECK_EQ(close(out), 0);
    CHECK_EQ(umount("bind"), 0);
    end();
}

/* The words of the line whose word number `index` ends in `place`. */
static bool find_line(const char *file, unsigned index, const char *place, char *words[16])
{
    static char line[4096];
    FILE *stream = fopen(file, "re");
    bool found = false;

    CHECK(stream != NULL);
    while (!found && fgets(line, sizeof(line), stream) != NULL) {
        unsigned n = 0;
        for (char *word = strtok(line, " \n"); word != NULL && n < 16; word = strtok(NULL, " \n")) {
            words[n++] = word;
        }
        size_t len = n > index ? strlen(words[index]) : 0;
        found = len >= strlen(place) && strcmp(words[index] + len - strlen(place), place) == 0;
    }
    (void)fclose(stream);
    return found;
}

ABI_TEST(mount, keeps_its_place_when_what_it_shows_loses_its_name)
{
    char *words[16];

    begin();
    abi_write_file("shown", "");
    abi_write_file("place", "");
    CHECK_EQ(mount("shown", "place", NULL, MS_BIND, NULL), 0);
    CHECK(find_line("/proc/self/mountinfo", 4, "/m/place", words));
    CHECK_EQ(strcmp(words[3], "/shown"), 0);
    CHECK_EQ(unlink("shown"), 0);
    CHECK(find_line("/proc/self/mountinfo", 4, "/m/place", words));
    CHECK_EQ(strcmp(words[3], "/shown//deleted"), 0);
    CHECK(find_line("/proc/self/mounts", 1, "/m/place", words));
    CHECK_EQ(umount("place"), 0);
    end();
}

ABI_TEST(mount, stays_where_it_is_when_it_cannot_be_moved)
{
    struct stat st;
    int status = 0;

    begin();
    CHECK(mkdir("dir", 0755) == 0 && mkdir("dead", 0755) == 0);
    CHECK_EQ(mount("none", "dir", "tmpfs", 0, NULL), 0);
    CHECK_EQ(mkdir("dir/in", 0755), 0);
    int dead = open("dead", O_PATH);
    CHECK_EQ(rmdir("dead"), 0);
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 300; i++) {
            CHECK_ERR(mount("dir", at(dead), NULL, MS_MOVE, NULL), ENOENT);
        }
        _exit(0);
    }
    while (waitpid(pid, &status, WNOHANG) == 0) {
        CHECK_EQ(stat("dir/in", &st), 0);
    }
    CHECK_EQ(status, 0);
    CHECK_EQ(umount("dir"), 0);
    end();
}

/* In a root that chroot(2) gave: pivot_root(2) wants one that is mounted somewhere. */
static void pivot(void)
{
    struct stat st;

    CHECK(chroot("root") == 0 && chdir("/new/dead") == 0);
    CHECK_EQ(rmdir("/new/dead"), 0);
    CHECK_ERR(syscall(SYS_pivot_root, "/new", "."), ENOENT);
    CHECK_EQ(chdir("/"), 0);
    CHECK_ERR(syscall(SYS_pivot_root, "new", "/"), EBUSY);
    CHECK_ERR(syscall(SYS_pivot_root, "new", "beside"), EBUSY);
    CHECK_EQ(stat("/new/old", &st), 0);
    CHECK_EQ(syscall(SYS_pivot_root, "new", "new/old"), 0);
    CHECK_EQ(stat("/old/beside", &st), 0);
    CHECK_ERR(stat("/new/old", &st), ENOENT);
    CHECK_EQ(stat("/old/new", &st), 0);
    CHECK_ERR(stat("/old/new/old", &st), ENOENT);
    CHECK_EQ(umount2("/old", MNT_DETACH), 0);
    CHECK_ERR(stat("/old/beside", &st), ENOENT);
}

ABI_TEST(mount, becomes_the_root_while_the_old_one_moves_into_it)
{
    struct stat st;

    begin();
    CHECK_EQ(mkdir("root", 0755), 0);
    CHECK_EQ(mount("none", "root", "tmpfs", 0, NULL), 0);
    CHECK(mkdir("root/new", 0755) == 0 && mkdir("root/beside", 0755) == 0);
    CHECK_EQ(mount("none", "root/new", "tmpfs", 0, NULL), 0);
    CHECK(mkdir("root/new/old", 0755) == 0 && mkdir("root/new/dead", 0755) == 0);
    CHECK_EQ(IN_CHILD(pivot()), 0);
    CHECK_EQ(stat("root/old", &st), 0);
    CHECK_ERR(stat("root/beside", &st), ENOENT);
    CHECK_EQ(umount("root"), 0);
    end();
}
