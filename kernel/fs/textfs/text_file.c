/*
 * File operations over a text generator.
 *
 * Locks:  h handle->lock (mutex): pread(2) does not hold the file's position lock.
 */
#include <linux/fs.h>

#include "kernel/base/string.h"
#include "kernel/fs/textfs/text.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/sched/mutex.h"

struct text_handle {
    struct mutex lock;
    struct text text;           /* [h] */
    bool made;                  /* [h] text holds the content, of a stream its last piece */
    text_generate_fn *generate; /* [I] or next */
    text_next_fn *next;         /* [I] */
    uint64_t cursor;            /* [h] of a stream: where its next piece begins */
    loff_t start;               /* [h] the position of text.buf[0] in the file */
};

static int handle_open(struct file *file, text_generate_fn *generate, text_next_fn *next)
{
    struct text_handle *handle = kzalloc(sizeof(*handle));

    if (handle == NULL) {
        return -ENOMEM;
    }
    mutex_init(&handle->lock, "text file");
    text_init(&handle->text);
    handle->generate = generate;
    handle->next = next;
    file->private = handle;
    return 0;
}

int text_open(struct file *file, text_generate_fn *generate)
{
    return handle_open(file, generate, NULL);
}

int text_open_stream(struct file *file, text_next_fn *next)
{
    return handle_open(file, NULL, next);
}

void text_release(struct file *file)
{
    struct text_handle *handle = file->private;

    text_fini(&handle->text);
    kfree(handle);
}

static int make(struct text_handle *handle, struct file *file)
{
    int err;

    text_reset(&handle->text);
    handle->made = false;
    err = handle->generate(&handle->text, file);
    if (err < 0) {
        return err;
    }
    if (handle->text.failed) {
        return -ENOMEM;
    }
    handle->made = true;
    return 0;
}

/* Bring the piece that holds position `pos` into the buffer. Pieces are not kept: who reads backwards has them made anew. */
static int make_piece(struct text_handle *handle, struct file *file, loff_t pos)
{
    int more = 1;

    if (pos == 0 || pos < handle->start || !handle->made) {
        handle->cursor = 0;
        handle->start = 0;
        text_reset(&handle->text);
        handle->made = true;
    }
    while (more > 0 && (uint64_t)(pos - handle->start) >= handle->text.len) {
        handle->start += (loff_t)handle->text.len;
        text_reset(&handle->text);
        more = handle->next(&handle->text, file, &handle->cursor);
        if (more < 0 || handle->text.failed) {
            handle->made = false;
            return more < 0 ? more : -ENOMEM;
        }
    }
    return 0;
}

static int make_at(struct text_handle *handle, struct file *file, loff_t pos)
{
    if (handle->next != NULL) {
        return make_piece(handle, file, pos);
    }
    return pos == 0 || !handle->made ? make(handle, file) : 0;
}

ssize_t text_read(struct file *file, struct iov_iter *to, loff_t *pos)
{
    struct text_handle *handle = file->private;
    ssize_t n = 0;
    size_t at;
    int err;

    if (*pos < 0 || (handle->generate == NULL && handle->next == NULL)) {
        return -EINVAL; /* a file that is only written to */
    }
    mutex_lock(&handle->lock);
    err = make_at(handle, file, *pos);
    at = (size_t)(*pos - handle->start);
    if (err == 0 && at < handle->text.len) {
        size_t want = MIN(handle->text.len - at, to->count);
        n = (ssize_t)iov_copy_to(to, handle->text.buf + at, want);
        if (n == 0 && want > 0) {
            err = -EFAULT;
        }
        *pos += n;
    }
    mutex_unlock(&handle->lock);
    return err < 0 ? err : n;
}

loff_t text_llseek(struct file *file, loff_t offset, int whence)
{
    if (whence != SEEK_SET && whence != SEEK_CUR) {
        return -EINVAL;
    }
    return file_seek(file, whence == SEEK_CUR ? file->pos : 0, offset, INT64_MAX);
}

ssize_t text_write_value(struct iov_iter *from, struct file *file, text_take_fn *take)
{
    size_t count = from->count, len;
    char *value;
    int err;

    if (count > TEXT_VALUE_MAX) {
        return -EINVAL;
    }
    value = kmalloc(count + 1);
    if (value == NULL) {
        return -ENOMEM;
    }
    len = iov_copy_from(from, value, count);
    if (len < count) {
        kfree(value);
        return -EFAULT;
    }
    if (len > 0 && value[len - 1] == '\n') {
        len--;
    }
    value[len] = '\0';
    err = take(file, value, len);
    kfree(value);
    return err < 0 ? err : (ssize_t)count;
}
