#include "kernel/linux/paths.h"

#include "kernel/base/string.h"
#include "kernel/mm/kmalloc.h"

int path_buf_get(struct path_buf *buf, const char __user *upath, bool allow_empty)
{
    ssize_t len = strncpy_from_user(buf->inline_name, upath, sizeof(buf->inline_name));

    buf->name = buf->inline_name;
    if (unlikely(len == -ENAMETOOLONG)) {
        char *big = kmalloc(PATH_MAX);
        if (big == NULL) {
            return -ENOMEM;
        }
        len = strncpy_from_user(big, upath, PATH_MAX);
        if (len < 0) {
            kfree(big);
            return (int)len;
        }
        buf->name = big;
    }
    if (len < 0) {
        return (int)len;
    }
    return buf->name[0] == '\0' && !allow_empty ? -ENOENT : 0;
}

void path_buf_put(struct path_buf *buf)
{
    if (unlikely(buf->name != buf->inline_name)) {
        kfree(buf->name);
    }
}

int struct_from_user(void *dst, size_t known_size, const void __user *src, size_t user_size)
{
    const char __user *bytes = src;

    if (user_size > PAGE_SIZE) {
        return -E2BIG;
    }
    memset(dst, 0, known_size);
    for (size_t at = known_size; at < user_size; at++) {
        uint8_t extra;
        if (get_user(extra, (const uint8_t __user *)bytes + at) < 0) {
            return -EFAULT;
        }
        if (extra != 0) {
            return -E2BIG;
        }
    }
    return copy_from_user(dst, src, MIN(known_size, user_size));
}
