/*
 * The file tree of the tests (fixture.h).
 */
#include "test/unit/vfs/fixture.h"

#define TEST_SUITE "vfs"
#include "hal/host/host.h"
#include "kernel/ipc/pipe.h"
#include "kernel/mm/kmalloc.h"
#include "test/unit/test.h"

static bool started;
static uint64_t dentries_before;

static void tree_start(void)
{
    if (started) {
        return;
    }
    started = true;
    vfs_init();
    mounts_init();
    pipes_init();
    EXPECT_EQ(vfs_mount_root("tmpfs", "mode=0755"), 0);
    EXPECT_EQ(vfs_mkdir(AT_FDCWD, "/t", 0755), 0);
}

static struct path lookup(const char *name)
{
    struct path path;

    EXPECT_EQ(path_lookup(AT_FDCWD, name, LOOKUP_FOLLOW, &path), 0);
    return path;
}

static void change_dir(const char *name)
{
    struct path path = lookup(name);

    EXPECT_EQ(vfs_chdir(&path), 0);
    path_put(&path);
}

/* Names that tests looked for outside /t are remembered in the root's cache: not to be counted. */
static uint64_t count_dentries(void)
{
    struct path root = lookup("/");

    dentry_prune(root.dentry);
    path_put(&root);
    return dentry_count();
}

void tree_begin(const char *options)
{
    tree_start();
    if (current_thread()->cred == NULL) {
        tree_become(0, 0);
    }
    current_thread()->files = fdtable_create();
    current_thread()->fs->umask = 0;
    dentries_before = count_dentries();
    struct path path = lookup("/t");
    EXPECT_EQ(vfs_mount("test", &path, "tmpfs", 0, options), 0);
    path_put(&path);
    change_dir("/t");
}

void tree_end(void)
{
    tree_become(0, 0);
    fdtable_put(current_thread()->files);
    current_thread()->files = NULL;
    change_dir("/");
    struct path path = lookup("/t");
    EXPECT_EQ(vfs_umount(&path, 0), 0);
    path_put(&path);
    EXPECT_EQ(count_dentries(), dentries_before);
}

void tree_become(uint32_t uid, uint32_t gid)
{
    struct cred *cred = cred_clone(&cred_init_user);

    EXPECT(cred != NULL);
    cred->uid = cred->euid = cred->suid = cred->fsuid = uid;
    cred->gid = cred->egid = cred->sgid = cred->fsgid = gid;
    if (uid != 0) {
        cred->cap_effective = cred->cap_permitted = 0;
    }
    if (current_thread()->cred == NULL) {
        current_thread()->cred = cred;
    } else {
        cred_commit(cred);
    }
}

int tree_mkdir(const char *name, uint32_t mode)
{
    return vfs_mkdir(AT_FDCWD, name, mode);
}

int tree_touch(const char *name, uint32_t mode)
{
    struct file *file;

    int err = vfs_open(AT_FDCWD, name, O_RDWR | O_CREAT, mode, 0, &file);
    if (err == 0) {
        file_put(file);
    }
    return err;
}

int tree_write(const char *name, const char *text)
{
    struct file *file;
    struct iov_iter from;

    int err = vfs_open(AT_FDCWD, name, O_WRONLY | O_CREAT | O_TRUNC, 0644, 0, &file);
    if (err < 0) {
        return err;
    }
    iov_init_kernel(&from, (void *)(uintptr_t)text, strlen(text));
    ssize_t n = vfs_write(file, &from, NULL);
    file_put(file);
    return n < 0 ? (int)n : 0;
}

const char *tree_read(const char *name)
{
    static char buf[256];
    struct file *file;

    buf[0] = '\0';
    if (vfs_open(AT_FDCWD, name, O_RDONLY, 0, 0, &file) == 0) {
        ssize_t n = file_read_kernel(file, buf, sizeof(buf) - 1, 0);
        buf[n < 0 ? 0 : n] = '\0';
        file_put(file);
    }
    return buf;
}

int tree_exists(const char *name)
{
    struct path path;

    int err = path_lookup(AT_FDCWD, name, LOOKUP_FOLLOW, &path);
    if (err == 0) {
        path_put(&path);
    }
    return err;
}

int tree_open(const char *name, int flags, uint32_t mode)
{
    struct file *file;

    int err = vfs_open(AT_FDCWD, name, flags, mode, 0, &file);
    if (err < 0) {
        return err;
    }
    return fd_add(file, (flags & O_CLOEXEC) != 0);
}

struct inode_stat tree_stat(const char *name)
{
    struct inode_stat stat = {0};
    struct path path;

    if (path_lookup(AT_FDCWD, name, 0, &path) == 0) {
        EXPECT_EQ(vfs_stat_path(&path, &stat), 0);
        path_put(&path);
    }
    return stat;
}

struct lister {
    struct dir_context ctx;
    char text[2048];
    size_t len;
};

static bool list_emit(struct dir_context *ctx, const char *name, unsigned len, uint64_t ino,
                      unsigned type, loff_t cookie)
{
    struct lister *lister = container_of(ctx, struct lister, ctx);

    (void)ino, (void)type, (void)cookie;
    if (name[0] == '.' && (len == 1 || (len == 2 && name[1] == '.'))) {
        return true;
    }
    if (lister->len > 0) {
        lister->text[lister->len++] = ' ';
    }
    EXPECT_LT(lister->len + len + 2, sizeof(lister->text));
    memcpy(lister->text + lister->len, name, len);
    lister->len += len;
    lister->text[lister->len] = '\0';
    return true;
}

const char *tree_list(const char *name)
{
    static struct lister lister;
    struct file *file;

    lister = (struct lister){.ctx = {.emit = list_emit}};
    EXPECT_EQ(vfs_open(AT_FDCWD, name, O_RDONLY | O_DIRECTORY, 0, 0, &file), 0);
    EXPECT_EQ(file->fops->iterate(file, &lister.ctx), 0);
    file_put(file);
    return lister.text;
}

struct spawned {
    void (*fn)(void *arg);
    void *arg;
};

static void spawned_main(void *arg)
{
    struct spawned spawned = *(struct spawned *)arg;
    struct thread *thread = current_thread();

    kfree(arg);
    spawned.fn(spawned.arg);
    fdtable_put(thread->files);
    fs_context_put(thread->fs);
    cred_put(thread->cred);
    thread->files = NULL;
    thread->fs = NULL;
    thread->cred = NULL;
}

void tree_spawn(void (*fn)(void *arg), void *arg)
{
    struct spawned *spawned = kmalloc(sizeof(*spawned));

    host_sched_init();
    EXPECT(spawned != NULL);
    *spawned = (struct spawned){.fn = fn, .arg = arg};
    struct thread *thread = thread_create_kernel("test", spawned_main, spawned);
    EXPECT(thread != NULL);
    thread->files = fdtable_get(current_thread()->files);
    thread->fs = fs_context_get(current_thread()->fs);
    thread->cred = current_thread()->cred == NULL ? NULL : cred_get(current_thread()->cred);
    thread_start(thread);
}

void tree_run(void)
{
    host_run_threads();
}
