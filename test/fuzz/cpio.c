/*
 * Fuzz target: newc archives in pieces. The sink checks what the parser promises about each entry.
 */
#include <linux/stat.h>

#include "kernel/base/errno.h"
#include "kernel/base/printf.h"
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

static int feed_pieces(struct cpio_stream *stream, const uint8_t *data, size_t size, size_t piece)
{
    int err = 0;

    for (size_t pos = 0; pos < size && err == 0; pos += piece) {
        err = cpio_stream_feed(stream, data + pos, MIN(piece, size - pos));
    }
    return err;
}

/* A well-formed header whose numbers are the fuzzer's: what is behind the header check is reached at once. */
static int feed_header(struct cpio_stream *stream, const uint8_t *numbers, size_t piece)
{
    static const char kinds[][5] = {"8000", "4000", "a000", "2000"};
    char text[CPIO_HEADER_BYTES + 1];

    (void)ksnprintf(
        text, sizeof(text), "07070%u%08x0000%s%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x",
        1 + (numbers[0] & 1), numbers[1], kinds[numbers[2] & 3], 0, 0, 1 + numbers[3] % 3, 0,
        numbers[4] | (unsigned)(numbers[5] & 3) << 8, 0, 0, 0, 0, numbers[6], 0);
    return feed_pieces(stream, (const uint8_t *)text, CPIO_HEADER_BYTES, piece);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct cpio_stream stream;
    const struct cpio_sink sink = {.begin = check_begin, .data = check_data, .end = check_end};

    if (size == 0) {
        return 0;
    }
    size_t piece = (size_t)(data[0] >> 1) + 1, pos = 1;
    inside = false;
    cpio_stream_init(&stream, &sink);
    if ((data[0] & 1) == 0) {
        (void)feed_pieces(&stream, data + 1, size - 1, piece);
        return 0;
    }
    while (size - pos > 8) {
        size_t body = MIN((size_t)data[pos], size - pos - 8);
        if (cpio_stream_between(&stream) && feed_header(&stream, data + pos + 1, piece) < 0) {
            return 0;
        }
        if (feed_pieces(&stream, data + pos + 8, body, piece) < 0) {
            return 0;
        }
        pos += 8 + body;
    }
    return 0;
}
