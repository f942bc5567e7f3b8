/*
 * Marks on inodes: who is told what, and how marks go. What inotify makes of it is test/abi's.
 */
#define TEST_SUITE "vfs"
#include "kernel/vfs/notify.h"

#include "hal/host/host.h"
#include "kernel/base/string.h"
#include "kernel/vfs/inotify.h"
#include "test/unit/failures.h"
#include "test/unit/test.h"
#include "test/unit/vfs/fixture.h"

static struct notify_mark mark;
static unsigned ntold, ndetached, nfreed;
static struct notify_event last;
static char last_name[64];
static bool serve_once;

static bool on_event(struct notify_mark *told, const struct notify_event *event)
{
    EXPECT(told == &mark);
    ntold++;
    last = *event;
    last_name[0] = '\0';
    if (event->name != NULL) {
        memcpy(last_name, event->name, event->name_len + 1);
    }
    return serve_once;
}

static void on_detached(struct notify_mark *gone)
{
    EXPECT(gone == &mark);
    ndetached++;
}

static void on_free(struct notify_mark *gone)
{
    EXPECT(gone == &mark);
    nfreed++;
}

static const struct notify_ops ops = {.event = on_event, .detached = on_detached, .free = on_free};

static void mark_begin(const char *path, uint32_t mask)
{
    struct path at;

    ntold = ndetached = nfreed = 0;
    serve_once = false;
    notify_mark_init(&mark, &ops, &mark);
    EXPECT_EQ(path_lookup(AT_FDCWD, path, 0, &at), 0);
    EXPECT_EQ(notify_mark_attach(&mark, at.dentry->inode, mask), 0);
    path_put(&at);
}

static void mark_end(void)
{
    notify_mark_get(&mark);
    notify_mark_detach(&mark);
    notify_mark_put(&mark);
    EXPECT_EQ(ndetached, 1u);
    EXPECT_EQ(nfreed, 1u);
    EXPECT_EQ(notify_wanted, 0u);
    tree_end();
}

TEST(notify, a_directory_hears_of_its_names)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_mkdir("d", 0755), 0);
    mark_begin("d", IN_CREATE | IN_DELETE);
    EXPECT_EQ(tree_mkdir("d/sub", 0755), 0);
    EXPECT_EQ(ntold, 1u);
    EXPECT_EQ(last.mask, (uint32_t)(IN_CREATE | IN_ISDIR));
    EXPECT_EQ(strcmp(last_name, "sub"), 0);
    EXPECT_EQ(tree_mkdir("other", 0755), 0);
    EXPECT_EQ(ntold, 1u);
    EXPECT_EQ(vfs_rmdir(AT_FDCWD, "d/sub"), 0);
    EXPECT_EQ(ntold, 2u);
    EXPECT_EQ(last.mask, (uint32_t)(IN_DELETE | IN_ISDIR));
    mark_end();
}

TEST(notify, only_what_is_wanted_is_told)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_touch("f", 0644), 0);
    mark_begin("f", IN_MODIFY);
    EXPECT_EQ(tree_touch("f", 0644), 0); /* open and close */
    EXPECT_EQ(ntold, 0u);
    EXPECT_EQ(tree_write("f", "text"), 0);
    EXPECT_GE(ntold, 1u);
    EXPECT_EQ(last.mask, (uint32_t)IN_MODIFY);
    EXPECT(last.name == NULL);
    mark_end();
}

TEST(notify, the_end_of_a_file_ends_its_marks)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_touch("f", 0644), 0);
    mark_begin("f", IN_DELETE_SELF);
    EXPECT_EQ(vfs_unlink(AT_FDCWD, "f"), 0);
    EXPECT_EQ(ntold, 1u);
    EXPECT_EQ(last.mask, (uint32_t)IN_DELETE_SELF);
    EXPECT_EQ(ndetached, 1u);
    EXPECT_EQ(nfreed, 1u);
    EXPECT_EQ(notify_wanted, 0u);
    tree_end();
}

TEST(notify, a_mark_that_has_served_goes)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_touch("f", 0644), 0);
    mark_begin("f", IN_OPEN);
    serve_once = true;
    EXPECT_EQ(tree_touch("f", 0644), 0);
    EXPECT_EQ(tree_touch("f", 0644), 0);
    EXPECT_EQ(ntold, 1u);
    EXPECT_EQ(nfreed, 1u);
    tree_end();
}

TEST(notify, unmounting_ends_the_marks)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_touch("f", 0644), 0);
    mark_begin("f", IN_OPEN);
    tree_end();
    EXPECT_EQ(last.mask, (uint32_t)IN_UNMOUNT);
    EXPECT_EQ(nfreed, 1u);
}

TEST(notify, a_mark_is_found_by_its_owner)
{
    struct path at;

    tree_begin(NULL);
    EXPECT_EQ(tree_touch("f", 0644), 0);
    mark_begin("f", IN_OPEN);
    EXPECT_EQ(path_lookup(AT_FDCWD, "f", 0, &at), 0);
    EXPECT(notify_mark_find(at.dentry->inode, &mark) == &mark);
    notify_mark_put(&mark);
    EXPECT(notify_mark_find(at.dentry->inode, &ops) == NULL);
    path_put(&at);
    mark_end();
}

/* Events may be told once more while a mark is taken off: what they leave in a queue that nobody reads any more goes with it. */
static void close_while_told(void)
{
    const struct notify_event event = {.mask = IN_OPEN};
    struct file *queue;
    struct path at;

    EXPECT_EQ(path_lookup(AT_FDCWD, "f", 0, &at), 0);
    EXPECT_EQ(inotify_create(0, &queue), 0);
    EXPECT_EQ(inotify_watch_add(queue, at.dentry->inode, IN_OPEN), 1);
    struct notify_mark *watch = notify_mark_find(at.dentry->inode, queue->private);
    EXPECT(watch != NULL);
    file_put(queue);
    EXPECT(!watch->ops->event(watch, &event));
    notify_mark_put(watch);
    path_put(&at);
}

TEST(notify, an_event_of_an_instances_last_moment_goes_with_it)
{
    tree_begin(NULL);
    EXPECT_EQ(tree_touch("f", 0644), 0);
    close_while_told(); /* what is made once and kept */
    struct failures_use before = failures_use_now();
    close_while_told();
    EXPECT_EQ(failures_use_now().objects, before.objects);
    tree_end();
}
