/*
 * /proc/mounts (fstab(5) lines) and /proc/PID/mountinfo (proc(5)).
 */
#include <linux/limits.h>
#include <linux/mount.h>

#include "kernel/base/printf.h"
#include "kernel/base/string.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/mount_table.h"
#include "kernel/vfs/private.h"

struct mount_text {
    char *buf;
    size_t size, len;
};

static void text_add(struct mount_text *text, const char *s)
{
    size_t len = strlen(s);
    size_t room = text->size - text->len - 1;

    len = MIN(len, room);
    memcpy(text->buf + text->len, s, len);
    text->len += len;
    text->buf[text->len] = '\0';
}

/* getmntent(3): blanks and backslashes as octal escapes. */
static void text_add_escaped(struct mount_text *text, const char *s)
{
    for (; *s != '\0'; s++) {
        char piece[8] = {*s, '\0'};
        if (*s == ' ' || *s == '\t' || *s == '\n' || *s == '\\' || *s == '#') {
            (void)ksnprintf(piece, sizeof(piece), "\\%03o", (unsigned)(uint8_t)*s);
        }
        text_add(text, piece);
    }
}

struct flag_name {
    uint64_t flag;
    const char *text;
};
static const struct flag_name super_names[] = {{MS_SYNCHRONOUS, ",sync"},
                                               {MS_DIRSYNC, ",dirsync"},
                                               {MS_MANDLOCK, ",mand"},
                                               {MS_LAZYTIME, ",lazytime"}};
static const struct flag_name mount_names[] = {
    {MS_NOSUID, ",nosuid"},          {MS_NODEV, ",nodev"},           {MS_NOEXEC, ",noexec"},
    {MS_NOATIME, ",noatime"},        {MS_NODIRATIME, ",nodiratime"}, {MS_RELATIME, ",relatime"},
    {MS_NOSYMFOLLOW, ",nosymfollow"}};

static void text_add_flags(struct mount_text *text, const struct flag_name *names, size_t n,
                           uint64_t flags)
{
    for (size_t i = 0; i < n; i++) {
        if ((flags & names[i].flag) != 0) {
            text_add(text, names[i].text);
        }
    }
}

static void text_add_super_options(struct mount_text *text, struct super *super)
{
    char *options = kzalloc(PATH_MAX);

    if (options != NULL && super->ops->show_options != NULL) {
        super->ops->show_options(super, options, PATH_MAX);
        text_add(text, options);
    }
    kfree(options);
}

static void describe_mounts_line(struct mount_text *text, struct mount *mount, const char *place)
{
    bool read_only = ((mount->flags | mount->super->flags) & MS_RDONLY) != 0;

    text_add_escaped(text, mount->super->source);
    text_add(text, " ");
    text_add_escaped(text, place);
    text_add(text, " ");
    text_add(text, mount->super->fs->name);
    text_add(text, read_only ? " ro" : " rw");
    text_add_flags(text, super_names, ARRAY_SIZE(super_names), mount->super->flags);
    text_add_flags(text, mount_names, ARRAY_SIZE(mount_names), mount->flags);
    text_add_super_options(text, mount->super);
    text_add(text, " 0 0\n");
}

static void describe_mountinfo_line(struct mount_text *text, struct mount *mount, const char *place,
                                    char *scratch)
{
    char numbers[64];
    struct path inside = {mount, mount->root}, top = {mount, mount->super->root};
    uint64_t dev = mount->super->dev;

    (void)ksnprintf(numbers, sizeof(numbers), "%d %d %u:%u ", mount->id,
                    mount->parent == NULL ? mount->id : mount->parent->id, DEV_MAJOR(dev),
                    DEV_MINOR(dev));
    text_add(text, numbers);
    /* The root of a bind, as a path in its own file system: climb by parents, not by mounts. */
    scratch[0] = '/';
    scratch[1] = '\0';
    if (!path_equal(&inside, &top)) {
        dentry_path(mount->root, scratch, PATH_MAX);
    }
    text_add_escaped(text, scratch);
    text_add(text, " ");
    text_add_escaped(text, place);
    text_add(text, (mount->flags & MS_RDONLY) != 0 ? " ro" : " rw");
    text_add_flags(text, mount_names, ARRAY_SIZE(mount_names), mount->flags);
    text_add(text, " - ");
    text_add(text, mount->super->fs->name);
    text_add(text, " ");
    text_add_escaped(text, mount->super->source);
    text_add(text, (mount->super->flags & MS_RDONLY) != 0 ? " ro" : " rw");
    text_add_flags(text, super_names, ARRAY_SIZE(super_names), mount->super->flags);
    text_add_super_options(text, mount->super);
    text_add(text, "\n");
}

size_t mount_describe(unsigned index, const struct path *root, bool mountinfo, char *buf,
                      size_t size)
{
    struct mount_text text = {.buf = buf, .size = size};
    char *scratch = kmalloc(2 * PATH_MAX);
    struct mount *mount;

    if (scratch == NULL || size == 0) {
        kfree(scratch);
        return 0;
    }
    buf[0] = '\0';
    rwsem_lock_read(&mount_table_lock);
    list_for_each (mount, &mount_table, node) {
        struct path path = {mount, mount->root};
        char *place = path_to_place(&path, root, scratch, PATH_MAX);
        if (place == NULL || place[0] != '/' || index-- != 0) {
            continue; /* not to be seen from here, or not its turn */
        }
        if (mountinfo) {
            describe_mountinfo_line(&text, mount, place, scratch + PATH_MAX);
        } else {
            describe_mounts_line(&text, mount, place);
        }
        break;
    }
    rwsem_unlock_read(&mount_table_lock);
    kfree(scratch);
    return text.len;
}
