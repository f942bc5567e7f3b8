/*
 * The newc cpio format as a stream: bytes in, in pieces of any size; entries out to a sink.
 *
 * Format (cpio(5) "newc"; Linux Documentation/driver-api/early-userspace/buffer-format.rst), all numbers 8 hex digits of ASCII:
 *
 *     "070701" or "070702"   ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
 *     name (namesize bytes with its NUL), padded with zeros to a multiple of 4 from the start of the archive
 *     data (filesize bytes), padded likewise
 *
 * An entry named "TRAILER!!!" ends an archive; zeros may follow, and then another archive.
 */
#pragma once

#include "kernel/fs/initramfs.h"

#define CPIO_HEADER_BYTES 110
#define CPIO_NAME_MAX     4096 /* with the NUL */

enum cpio_state { CPIO_BETWEEN, CPIO_HEADER, CPIO_NAME, CPIO_NAME_PAD, CPIO_DATA, CPIO_DATA_PAD };

struct cpio_stream {
    const struct cpio_sink *sink;
    enum cpio_state state;
    uint64_t offset; /* from the start of the archive */
    uint64_t need;   /* bytes that the state still wants */
    uint32_t have;   /* bytes collected in header or name */
    uint32_t name_bytes;
    uint32_t check, sum; /* 070702: sum of the data's bytes */
    bool checked;
    struct cpio_entry entry;
    char header[CPIO_HEADER_BYTES];
    char name[CPIO_NAME_MAX];
};

void cpio_stream_init(struct cpio_stream *stream, const struct cpio_sink *sink);
/* 0, -EILSEQ or the sink's error; the stream is of no use after one. */
int cpio_stream_feed(struct cpio_stream *stream, const uint8_t *data, size_t len_bytes);
/* The same up to the end of the current archive (its trailer) or of the data; *ret_used bytes were taken. */
int cpio_stream_feed_archive(struct cpio_stream *stream, const uint8_t *data, size_t len_bytes,
                             size_t *ret_used);
/* Is the stream where another archive may begin, or the input end? */
bool cpio_stream_between(const struct cpio_stream *stream);
