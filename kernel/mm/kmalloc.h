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
/* NULL ptr allocates; on failure the old block is untouched. */
void *krealloc(void *ptr, size_t size_bytes) __must_check;
void kfree(void *ptr);                /* NULL is fine; any context */
size_t kmalloc_size(const void *ptr); /* usable bytes */
char *kstrdup(const char *s) __must_check;
char *kstrndup(const char *s, size_t max) __must_check;
void *kmemdup(const void *src, size_t len_bytes) __must_check;
