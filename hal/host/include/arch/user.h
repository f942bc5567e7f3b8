/* On the host every access to user memory is a walk through tables: nothing is worth being inline. */
#pragma once

#include "kernel/base/types.h"

#define ARCH_USER_WORDS 0

int user_get_word(void *dst, const void __user *ptr, size_t size);
int user_put_word(void __user *ptr, const void *src, size_t size);
