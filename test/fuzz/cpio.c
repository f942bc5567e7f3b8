/*
 * Fuzz target: newc archives in pieces. The sink checks what the parser promises about each entry.
 */
#include <linux/stat.h>

#include "kernel/base/errno.h"
#include "kernel/base/string.h"
#include "kernel/fs/initramfs/cpio.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static uint64_t expected; /* bytes of data still to come */
static bool inside;

static void require(bool promise)
{
    if (!promise) {
        __builtin_trap();
    }
}

static int check_begin(void *arg, const struct cpio_entry *entry)
{
    (void)arg;
    require(!inside && entry->name[0] != '/' && entry->name[0] != '\0');
    require(strlen(entry->name) < CPIO_NAME_MAX);
    require(entry->size_bytes == 0 || S_ISREG(entry->mode) || S_ISLNK(entry->mode));
    for (const char *p = entry->name; p != NULL;
         p = strchr(p, '/') == NULL ? NULL : strchr(p, '/') + 1) {
        require(!(p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == '\0')));
    }
    expected = entry->size_bytes;
    inside = true;
    return 0;
}

static int check_data(void *arg, const uint8_t *data, size_t len_bytes)
{
    (void)arg;
    require(inside && len_bytes <= expected);
    for (size_t i = 0; i < len_bytes; i++) {
        (void)*(const volatile uint8_t *)(data + i);
    }
    expected -= len_bytes;
    return 0;
}

static int check_end(void *arg)
{
    (void)arg;
    require(inside && expected == 0);
    inside = false;
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cpio_stream stream;
    const struct cpio_sink sink = {.begin = check_begin, .data = check_data, .end = check_end};

    if (size == 0) {
        return 0;
    }
    size_t piece = (size_t)data[0] + 1;
    inside = false;
    cpio_stream_init(&stream, &sink);
    for (size_t pos = 1; pos < size; pos += piece) {
        if (cpio_stream_feed(&stream, data + pos, MIN(piece, size - pos)) < 0) {
            return 0;
        }
    }
    require(!cpio_stream_between(&stream) || !inside);
    return 0;
}
