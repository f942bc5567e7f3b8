/* Heapsort (Williams 1964), bottom-up build (Floyd 1964). */
#include "kernel/base/sort.h"

static void swap_elements(uint8_t *a, uint8_t *b, size_t size)
{
    for (; size >= 8; size -= 8, a += 8, b += 8) {
        uint64_t tmp;
        __builtin_memcpy(&tmp, a, 8);
        __builtin_memcpy(a, b, 8);
        __builtin_memcpy(b, &tmp, 8);
    }
    for (; size > 0; size--, a++, b++) {
        uint8_t tmp = *a;
        *a = *b;
        *b = tmp;
    }
}

/* Let element `root` sink until the heap of `count` elements is in order again: no child is greater than its parent. */
static void sift_down(uint8_t *base, size_t root, size_t count, size_t size,
                      int (*compare)(const void *, const void *))
{
    for (;;) {
        size_t child = 2 * root + 1;
        if (child >= count) {
            return;
        }
        if (child + 1 < count && compare(base + child * size, base + (child + 1) * size) < 0) {
            child++;
        }
        if (compare(base + root * size, base + child * size) >= 0) {
            return;
        }
        swap_elements(base + root * size, base + child * size, size);
        root = child;
    }
}

void sort_array(void *base, size_t count, size_t size, int (*compare)(const void *, const void *))
{
    for (size_t i = count / 2; i-- > 0;) {
        sift_down(base, i, count, size, compare);
    }
    for (size_t end = count; end-- > 1;) {
        swap_elements(base, (uint8_t *)base + end * size, size);
        sift_down(base, 0, end, size, compare);
    }
}
