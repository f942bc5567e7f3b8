/*
 * General kernel memory: size classes (8, 16, 32, 48, 64, 96, 128, 192, 256 ... 8192) over slab caches; larger ones are whole
 * page blocks. Any context; NULL on failure. Alignment: 8, 16 from 16 bytes on, page for sizes of a page and more.
 */
#pragma once

#include "kernel/base/types.h"

void *kmalloc(size_t size_bytes) __must_check;
void *kzalloc(size_t size_bytes) __must_check;
/* n * size with overflow check. */
void *kcalloc(size_t n, size_t size_bytes) __must_check;
/*
 * NULL ptr allocates. Otherwise what ptr points to is size_bytes long: where it is, if its size class or page block has room and is not
 * much too large, else in a copy. On failure (NULL) the old block is untouched; to make smaller does not fail.
 */
void *krealloc(void *ptr, size_t size_bytes) __must_check;
void kfree(
    void *
        ptr); /* NULL is fine; any context. What is not kmalloc's is a defect: told, and left alone. */
/* Bytes that may be used: at least what was asked for, and exactly that in builds that watch the heap. */
size_t kmalloc_size(const void *ptr);
char *kstrdup(const char *s) __must_check;
char *kstrndup(const char *s, size_t max) __must_check;
void *kmemdup(const void *src, size_t len_bytes) __must_check;
