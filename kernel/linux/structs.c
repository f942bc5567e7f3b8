#include "kernel/linux/structs.h"

#include "kernel/base/string.h"

int struct_from_user(void *dst, size_t known_size, const void __user *src, size_t user_size)
{
    if (user_size > PAGE_SIZE) {
        return -E2BIG;
    }
    memset(dst, 0, known_size);
    for (size_t at = known_size; at < user_size; at++) {
        uint8_t extra;
        if (get_user(extra, user_at((const uint8_t __user *)src, at)) < 0) {
            return -EFAULT;
        }
        if (extra != 0) {
            return -E2BIG;
        }
    }
    return copy_from_user(dst, src, MIN(known_size, user_size));
}
