/*
 * The parser of newc archives (cpio.h). Hostile input: every number is checked before it is used, names are bounded, and a name that
 * would lead out of the tree is an error.
 */
#include "kernel/fs/initramfs/cpio.h"

#include <linux/stat.h>

#include "kernel/base/errno.h"
#include "kernel/base/string.h"

#define CPIO_MAGIC       "070701"
#define CPIO_MAGIC_CHECK "070702"
#define CPIO_MAGIC_BYTES 6
#define CPIO_TRAILER     "TRAILER!!!"

enum cpio_field {
    FIELD_INO,
    FIELD_MODE,
    FIELD_UID,
    FIELD_GID,
    FIELD_NLINK,
    FIELD_MTIME,
    FIELD_SIZE,
    FIELD_DEV_MAJOR,
    FIELD_DEV_MINOR,
    FIELD_RDEV_MAJOR,
    FIELD_RDEV_MINOR,
    FIELD_NAME_SIZE,
    FIELD_CHECK,
    NFIELDS,
};
_Static_assert(CPIO_MAGIC_BYTES + 8 * NFIELDS == CPIO_HEADER_BYTES, "cpio(5) newc");

void cpio_stream_init(struct cpio_stream *stream, const struct cpio_sink *sink)
{
    stream->sink = sink;
    stream->state = CPIO_BETWEEN;
    stream->offset = 0;
    stream->need = 0;
}

bool cpio_stream_between(const struct cpio_stream *stream)
{
    /* An archive that ends without its trailer is complete as well. */
    return stream->state == CPIO_BETWEEN || (stream->state == CPIO_HEADER && stream->have == 0);
}

/* Eight hex digits. */
static bool parse_hex(const char *text, uint32_t *ret_value)
{
    uint32_t value = 0;

    for (unsigned i = 0; i < 8; i++) {
        unsigned c = (uint8_t)text[i];
        unsigned digit = c - '0';
        if (digit > 9) {
            digit = (c | 0x20) - 'a';
            if (digit > 5) {
                return false;
            }
            digit += 10;
        }
        value = value << 4 | digit;
    }
    *ret_value = value;
    return true;
}

static uint64_t pad_bytes(const struct cpio_stream *stream)
{
    return -stream->offset & 3;
}

static void enter_header(struct cpio_stream *stream)
{
    stream->state = CPIO_HEADER;
    stream->have = 0;
    stream->need = CPIO_HEADER_BYTES;
}

static int parse_header(struct cpio_stream *stream)
{
    uint32_t field[NFIELDS];
    struct cpio_entry *entry = &stream->entry;

    stream->checked = memcmp(stream->header, CPIO_MAGIC_CHECK, CPIO_MAGIC_BYTES) == 0;
    if (!stream->checked && memcmp(stream->header, CPIO_MAGIC, CPIO_MAGIC_BYTES) != 0) {
        return -EILSEQ;
    }
    for (unsigned i = 0; i < NFIELDS; i++) {
        if (!parse_hex(stream->header + CPIO_MAGIC_BYTES + 8 * i, &field[i])) {
            return -EILSEQ;
        }
    }
    if (field[FIELD_NAME_SIZE] < 2 || field[FIELD_NAME_SIZE] > CPIO_NAME_MAX) {
        return -EILSEQ;
    }
    *entry = (struct cpio_entry){.mode = field[FIELD_MODE],
                                 .uid = field[FIELD_UID],
                                 .gid = field[FIELD_GID],
                                 .nlink = field[FIELD_NLINK],
                                 .ino = field[FIELD_INO],
                                 .mtime = field[FIELD_MTIME],
                                 .size_bytes = field[FIELD_SIZE],
                                 .dev_major = field[FIELD_DEV_MAJOR],
                                 .dev_minor = field[FIELD_DEV_MINOR],
                                 .rdev_major = field[FIELD_RDEV_MAJOR],
                                 .rdev_minor = field[FIELD_RDEV_MINOR]};
    stream->check = field[FIELD_CHECK];
    stream->sum = 0;
    stream->name_bytes = field[FIELD_NAME_SIZE];
    stream->state = CPIO_NAME;
    stream->have = 0;
    stream->need = stream->name_bytes;
    return 0;
}

/* Cut leading slashes and "./"; NULL when the name leads upwards. */
static const char *clean_name(const char *name)
{
    while (*name == '/' || (name[0] == '.' && name[1] == '/')) {
        name++;
    }
    for (const char *p = name; *p != '\0';) {
        size_t len = strchr(p, '/') == NULL ? strlen(p) : (size_t)(strchr(p, '/') - p);
        if (len == 2 && p[0] == '.' && p[1] == '.') {
            return NULL;
        }
        p += len;
        while (*p == '/') {
            p++;
        }
    }
    return *name == '\0' ? "." : name;
}

static int parse_name(struct cpio_stream *stream)
{
    if (memchr(stream->name, '\0', stream->name_bytes) != stream->name + stream->name_bytes - 1) {
        return -EILSEQ;
    }
    if (strcmp(stream->name, CPIO_TRAILER) == 0 && stream->entry.size_bytes == 0) {
        stream->state = CPIO_BETWEEN;
        stream->need = 0;
        if (stream->sink->trailer != NULL) {
            stream->sink->trailer(stream->sink->arg);
        }
        return 0;
    }
    stream->entry.name = clean_name(stream->name);
    if (stream->entry.name == NULL ||
        (stream->entry.size_bytes != 0 && !S_ISREG(stream->entry.mode) &&
         !S_ISLNK(stream->entry.mode))) {
        return -EILSEQ;
    }
    stream->state = CPIO_NAME_PAD;
    stream->need = pad_bytes(stream);
    return stream->sink->begin(stream->sink->arg, &stream->entry);
}

static int finish_data(struct cpio_stream *stream)
{
    if (stream->checked && S_ISREG(stream->entry.mode) && stream->entry.size_bytes != 0 &&
        stream->sum != stream->check) {
        return -EILSEQ;
    }
    stream->state = CPIO_DATA_PAD;
    stream->need = pad_bytes(stream);
    return stream->sink->end(stream->sink->arg);
}

/* The state has all its bytes: on to the next. */
static int state_done(struct cpio_stream *stream)
{
    switch (stream->state) {
    case CPIO_HEADER:
        return parse_header(stream);
    case CPIO_NAME:
        return parse_name(stream);
    case CPIO_NAME_PAD:
        stream->state = CPIO_DATA;
        stream->need = stream->entry.size_bytes;
        return 0;
    case CPIO_DATA:
        return finish_data(stream);
    default:
        enter_header(stream);
        return 0;
    }
}

static int take_data(struct cpio_stream *stream, const uint8_t *data, size_t n)
{
    if (stream->checked) {
        for (size_t i = 0; i < n; i++) {
            stream->sum += data[i];
        }
    }
    return stream->sink->data(stream->sink->arg, data, n);
}

/* Give up to `len` bytes to the current state; how many it took. */
static int state_take(struct cpio_stream *stream, const uint8_t *data, size_t len, size_t *ret_took)
{
    size_t n = (size_t)MIN((uint64_t)len, stream->need);
    int err = 0;

    switch (stream->state) {
    case CPIO_HEADER:
        memcpy(stream->header + stream->have, data, n);
        stream->have += (uint32_t)n;
        break;
    case CPIO_NAME:
        memcpy(stream->name + stream->have, data, n);
        stream->have += (uint32_t)n;
        break;
    case CPIO_DATA:
        err = take_data(stream, data, n);
        break;
    default:
        break;
    }
    stream->need -= n;
    stream->offset += n;
    *ret_took = n;
    return err;
}

int cpio_stream_feed_archive(struct cpio_stream *stream, const uint8_t *data, size_t len_bytes,
                             size_t *ret_used)
{
    size_t pos = 0;
    int err = 0;

    if (stream->state == CPIO_BETWEEN) {
        stream->offset = 0;
        enter_header(stream);
    }
    while (err == 0 && stream->state != CPIO_BETWEEN) {
        if (stream->need > 0) {
            size_t took;
            if (pos == len_bytes) {
                break;
            }
            err = state_take(stream, data + pos, len_bytes - pos, &took);
            pos += took;
        }
        if (err == 0 && stream->need == 0) {
            err = state_done(stream);
        }
    }
    *ret_used = pos;
    return err;
}

int cpio_stream_feed(struct cpio_stream *stream, const uint8_t *data, size_t len_bytes)
{
    size_t pos = 0, used;
    int err = 0;

    while (err == 0 && pos < len_bytes) {
        if (stream->state == CPIO_BETWEEN && data[pos] == 0) {
            pos++;
            continue;
        }
        err = cpio_stream_feed_archive(stream, data + pos, len_bytes - pos, &used);
        pos += used;
    }
    return err;
}
