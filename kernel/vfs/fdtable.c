/*
 * Descriptor tables: small integers to open files.
 *
 * A table starts with room for 64 descriptors inside itself and grows by doubling. `open` marks reserved slots, so a slot can be
 * taken before its file exists (fd_reserve, then fd_install). A table of one's own is read without its lock, because only its owner
 * changes it. Nor do threads that share a table take it for a look-up: they take a reference to the file that they find, unless it has none any
 * more, and look again whether it is still there (read-copy-update, kernel/sync/rcu.h).
 */
#include "kernel/vfs/fdtable.h"

#include "kernel/base/bitmap.h"
#include "kernel/base/string.h"
#include "kernel/mm/arena.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/mm/slab.h"
#include "kernel/sync/rcu.h"
#include "kernel/vfs/private.h"

#define FD_MAX (1u << 20) /* proc(5), /proc/sys/fs/nr_open */

uint64_t (*fd_limit_hook)(void);
static struct slab_cache *table_slab __ro_after_init;

void fdtables_init(void)
{
    table_slab = slab_cache_create("fdtable", sizeof(struct fdtable), 0, 0, NULL);
}

struct fdtable *fdtable_create(void)
{
    struct fdtable *table = slab_zalloc(table_slab);

    if (table == NULL) {
        return NULL;
    }
    refcount_init(&table->refs, 1);
    refcount_init(&table->pins, 1);
    spin_init(&table->lock, "fd table");
    table->size = FD_INLINE;
    table->files = table->inline_files;
    table->open = table->inline_open;
    table->cloexec = table->inline_cloexec;
    return table;
}

/* What a table that has grown points into. */
struct fd_arrays {
    struct rcu_head rcu;
    struct file *files[]; /* behind them both bitmaps */
};

static void arrays_come(struct rcu_head *head)
{
    kvfree(container_of(head, struct fd_arrays, rcu));
}

/* Nobody finds them any more but who looks at them just now. */
static void arrays_free(struct fdtable *table, struct file **files)
{
    if (files == table->inline_files || files == NULL) {
        return;
    }
    struct fd_arrays *arrays = container_of(files, struct fd_arrays, files[0]);
    if (refcount_read(&table->refs) > 1) {
        rcu_call(&arrays->rcu, arrays_come);
    } else {
        kvfree(arrays);
    }
}

/* Arrays for `size` slots in one block: pointers, then both bitmaps. NULL: no memory. */
static struct file **fdtable_alloc_arrays(unsigned size, uint64_t **ret_open,
                                          uint64_t **ret_cloexec)
{
    size_t words = BITMAP_WORDS(size);
    size_t len = size * sizeof(struct file *) + 2 * words * sizeof(uint64_t);
    struct fd_arrays *arrays = kvmalloc(sizeof(*arrays) + len);

    if (arrays == NULL) {
        return NULL;
    }
    struct file **files = arrays->files;
    memset(files, 0, len);
    *ret_open = (uint64_t *)(files + size);
    *ret_cloexec = *ret_open + words;
    return files;
}

/* Make room for slot `fd`. Called without the lock; on success the lock is held. */
static int fdtable_grow_and_lock(struct fdtable *table, unsigned fd)
{
    struct file **old = NULL;
    uint64_t *open, *cloexec;

    if (fd >= FD_MAX) {
        return -EMFILE;
    }
    unsigned size = 1u << log2_ceil((uint64_t)fd + 1);
    struct file **files = fdtable_alloc_arrays(size, &open, &cloexec);
    if (files == NULL) {
        return -ENOMEM;
    }
    spin_lock(&table->lock);
    if (size > table->size) {
        memcpy(files, table->files, table->size * sizeof(*files));
        memcpy(open, table->open, BITMAP_WORDS(table->size) * sizeof(uint64_t));
        memcpy(cloexec, table->cloexec, BITMAP_WORDS(table->size) * sizeof(uint64_t));
        old = table->files;
        table->open = open;
        table->cloexec = cloexec;
        rcu_assign_pointer(table->files, files);
        atomic_store_release(&table->size, size);
        files = NULL;
    }
    spin_unlock(&table->lock);
    arrays_free(table, old);
    if (files != NULL) {
        kvfree(container_of(files, struct fd_arrays, files[0]));
    }
    spin_lock(&table->lock);
    return 0;
}

#define CLONE_TURN 4u /* words of descriptors that are copied without a pause */

static void copy_word_locked(struct fdtable *copy, const struct fdtable *table, size_t word)
{
    for (uint64_t bits = table->open[word]; bits != 0; bits &= bits - 1) {
        size_t fd = word * 64 + bit_ffs(bits);
        struct file *file = table->files[fd];
        if (file != NULL) { /* NULL: reserved by a thread that shares the old table */
            copy->files[fd] = file_get(file);
            bitmap_set(copy->open, fd);
        }
    }
    copy->cloexec[word] = table->cloexec[word] & copy->open[word];
}

struct fdtable *fdtable_clone(struct fdtable *table)
{
    struct fdtable *copy = fdtable_create();

    if (copy == NULL) {
        return NULL;
    }
    spin_lock(&table->lock);
    while (copy->size < table->size) {
        unsigned want = table->size;
        spin_unlock(&table->lock);
        if (fdtable_grow_and_lock(copy, want - 1) < 0) {
            fdtable_put(copy);
            return NULL;
        }
        spin_unlock(&copy->lock);
        spin_lock(&table->lock);
    }
    /* A table that nobody shares does not change meanwhile: there it need not be held for all of it. */
    const bool turns = refcount_read(&table->refs) == 1;
    const size_t words = BITMAP_WORDS(table->size);
    for (size_t word = 0; word < words; word++) {
        copy_word_locked(copy, table, word);
        if (turns && (word + 1) % CLONE_TURN == 0) {
            spin_unlock(&table->lock);
            spin_lock(&table->lock);
        }
    }
    copy->next_hint = 0;
    spin_unlock(&table->lock);
    return copy;
}

/* What close(2) does to the file besides dropping the reference. */
static int file_close(struct file *file, struct fdtable *table)
{
    int err = 0;

    if (unlikely(file->fops->flush != NULL)) {
        err = file->fops->flush(file);
    }
    if (unlikely(file->inode->locks != NULL) && (file->mode & FMODE_PATH) == 0) {
        vfs_locks_close(file, table);
    }
    file_put(file);
    return err;
}

void fdtable_put(struct fdtable *table)
{
    if (table == NULL || !refcount_put(&table->refs)) {
        return;
    }
    spin_lock(&table->lock);
    const unsigned size = table->size;
    table->size = 0; /* for who has it pinned */
    spin_unlock(&table->lock);
    for (size_t word = 0; word < BITMAP_WORDS(size); word++) {
        for (uint64_t bits = table->open[word]; bits != 0; bits &= bits - 1) {
            struct file *file = table->files[word * 64 + bit_ffs(bits)];
            if (file != NULL) {
                (void)file_close(file, table);
            }
        }
    }
    arrays_free(table, table->files);
    fdtable_unpin(table);
}

void fdtable_unpin(struct fdtable *table)
{
    if (table != NULL && refcount_put(&table->pins)) {
        slab_free(table_slab, table);
    }
}

/* What is behind fd just now. Inside of rcu_read_lock(). */
static struct file *slot_file(const struct fdtable *table, unsigned fd)
{
    if (fd >= atomic_load_acquire(&table->size)) {
        return NULL;
    }
    struct file **files = rcu_dereference(table->files);
    return atomic_load_acquire(&files[fd]);
}

struct fd_ref fd_borrow_shared(unsigned fd)
{
    struct fdtable *table = current_thread()->files;
    struct fd_ref ref = {0};
    struct file *file;

    rcu_read_lock();
    while ((file = slot_file(table, fd)) != NULL) {
        if (unlikely(!refcount_get_unless_zero(&file->refs))) {
            continue; /* closed just now: the slot says so too by now, or soon */
        }
        if (likely(slot_file(table, fd) == file)) {
            ref.word = (uintptr_t)file | 1;
            break;
        }
        rcu_read_unlock(); /* closed meanwhile, and perhaps opened anew by somebody else */
        file_put(file);
        rcu_read_lock();
    }
    rcu_read_unlock();
    return ref;
}

struct file *fd_file_any(int fd)
{
    return fd_ref_file(fd_borrow_shared((unsigned)fd));
}

struct file *fd_file(int fd)
{
    struct file *file = fd_file_any(fd);

    if (file != NULL && (file->mode & FMODE_PATH) != 0) {
        file_put(file);
        return NULL;
    }
    return file;
}

/* First free slot at or after `from`; table->size when there is none. */
static unsigned fdtable_find_free(const struct fdtable *table, unsigned from)
{
    size_t word = from / 64;

    if (likely(from < table->size)) {
        uint64_t free = ~table->open[word] & ~(BIT(from % 64) - 1);
        if (likely(free != 0)) {
            return (unsigned)(word * 64 + bit_ffs(free));
        }
        return (unsigned)bitmap_find_clear(table->open, table->size, (word + 1) * 64);
    }
    return from;
}

int fd_reserve(unsigned from, bool cloexec, uint64_t limit)
{
    struct fdtable *table = current_thread()->files;

    if (from >= limit) {
        return -EINVAL;
    }
    spin_lock(&table->lock);
    for (;;) {
        unsigned fd = fdtable_find_free(table, MAX(from, table->next_hint));
        if (unlikely(fd >= limit)) {
            spin_unlock(&table->lock);
            return -EMFILE;
        }
        if (likely(fd < table->size)) {
            bitmap_set(table->open, fd);
            if (cloexec) {
                bitmap_set(table->cloexec, fd);
            } else {
                bitmap_clear(table->cloexec, fd);
            }
            if (from <= table->next_hint) {
                table->next_hint = fd + 1;
            }
            spin_unlock(&table->lock);
            return (int)fd;
        }
        spin_unlock(&table->lock);
        int err = fdtable_grow_and_lock(table, fd);
        if (err < 0) {
            return err;
        }
    }
}

void fd_install(int fd, struct file *file)
{
    struct fdtable *table = current_thread()->files;

    spin_lock(&table->lock);
    rcu_assign_pointer(table->files[fd], file);
    spin_unlock(&table->lock);
}

/* Free a slot. table->lock held. */
static void fdtable_clear(struct fdtable *table, unsigned fd)
{
    atomic_store_relaxed(&table->files[fd], NULL);
    bitmap_clear(table->open, fd);
    if (fd < table->next_hint) {
        table->next_hint = fd;
    }
}

void fd_unreserve(int fd)
{
    struct fdtable *table = current_thread()->files;

    spin_lock(&table->lock);
    fdtable_clear(table, (unsigned)fd);
    spin_unlock(&table->lock);
}

static uint64_t fd_limit(void)
{
    return fd_limit_hook == NULL ? FD_MAX : MIN(fd_limit_hook(), (uint64_t)FD_MAX);
}

int fd_add(struct file *file, bool cloexec)
{
    int fd = fd_reserve(0, cloexec, fd_limit());

    if (fd == -EINVAL) {
        return -EMFILE; /* a limit of 0 */
    }
    if (fd >= 0) {
        fd_install(fd, file);
    }
    return fd;
}

int fd_close(int fd)
{
    struct fdtable *table = current_thread()->files;
    struct file *file = NULL;

    spin_lock(&table->lock);
    if (likely((unsigned)fd < table->size)) {
        file = table->files[fd];
        if (likely(file != NULL)) {
            fdtable_clear(table, (unsigned)fd);
        }
    }
    spin_unlock(&table->lock);
    return file == NULL ? -EBADF : file_close(file, table);
}

void fd_close_range(unsigned first, unsigned last, bool cloexec)
{
    struct fdtable *table = current_thread()->files;

    for (uint64_t fd = first; fd <= last; fd++) {
        spin_lock(&table->lock);
        size_t next = fd < table->size ? bitmap_find_set(table->open, table->size, fd) : fd;
        if (next >= table->size || next > last) {
            spin_unlock(&table->lock);
            break;
        }
        if (cloexec) {
            bitmap_set(table->cloexec, next);
        }
        spin_unlock(&table->lock);
        if (!cloexec) {
            (void)fd_close((int)next);
        }
        fd = next;
    }
}

int fd_dup(int fd, unsigned from, bool cloexec)
{
    struct file *file = fd_file_any(fd);

    if (file == NULL) {
        return -EBADF;
    }
    int copy = fd_reserve(from, cloexec, fd_limit());
    if (copy < 0) {
        file_put(file);
        return copy;
    }
    fd_install(copy, file);
    return copy;
}

int fd_dup_to(int old_fd, int new_fd, bool cloexec)
{
    struct fdtable *table = current_thread()->files;

    if ((unsigned)new_fd >= fd_limit()) {
        return -EBADF;
    }
    struct file *file = fd_file_any(old_fd);
    if (file == NULL) {
        return -EBADF;
    }
    spin_lock(&table->lock);
    if ((unsigned)new_fd >= table->size) {
        spin_unlock(&table->lock);
        int err = fdtable_grow_and_lock(table, (unsigned)new_fd);
        if (err < 0) {
            file_put(file);
            return err;
        }
    }
    struct file *victim = table->files[new_fd];
    if (victim == NULL && bitmap_test(table->open, (unsigned)new_fd)) {
        spin_unlock(&table->lock);
        file_put(file);
        return -EBUSY; /* dup(2): another thread is just opening it */
    }
    rcu_assign_pointer(table->files[new_fd], file);
    bitmap_set(table->open, (unsigned)new_fd);
    if (cloexec) {
        bitmap_set(table->cloexec, (unsigned)new_fd);
    } else {
        bitmap_clear(table->cloexec, (unsigned)new_fd);
    }
    spin_unlock(&table->lock);
    if (victim != NULL) {
        (void)file_close(victim, table);
    }
    return new_fd;
}

bool fd_is_still(int fd, const struct file *file)
{
    struct fdtable *table = current_thread()->files;

    spin_lock(&table->lock);
    bool still = (unsigned)fd < table->size && table->files[fd] == file;
    spin_unlock(&table->lock);
    return still;
}

int fd_get_cloexec(int fd)
{
    struct fdtable *table = current_thread()->files;
    int result = -EBADF;

    spin_lock(&table->lock);
    if ((unsigned)fd < table->size && table->files[fd] != NULL) {
        result = bitmap_test(table->cloexec, (unsigned)fd) ? 1 : 0;
    }
    spin_unlock(&table->lock);
    return result;
}

int fd_set_cloexec(int fd, bool cloexec)
{
    struct fdtable *table = current_thread()->files;
    int result = -EBADF;

    spin_lock(&table->lock);
    if ((unsigned)fd < table->size && table->files[fd] != NULL) {
        if (cloexec) {
            bitmap_set(table->cloexec, (unsigned)fd);
        } else {
            bitmap_clear(table->cloexec, (unsigned)fd);
        }
        result = 0;
    }
    spin_unlock(&table->lock);
    return result;
}

void fdtable_exec(struct fdtable *own)
{
    for (size_t word = 0; word < BITMAP_WORDS(own->size); word++) {
        uint64_t bits = own->cloexec[word] & own->open[word];
        own->cloexec[word] = 0;
        for (; bits != 0; bits &= bits - 1) {
            unsigned fd = (unsigned)(word * 64 + bit_ffs(bits));
            struct file *file = own->files[fd];
            spin_lock(&own->lock);
            fdtable_clear(own, fd);
            spin_unlock(&own->lock);
            (void)file_close(file, own);
        }
    }
}

int fdtable_next(struct fdtable *table, unsigned from, struct file **ret_file)
{
    int found = -1;

    spin_lock(&table->lock);
    for (size_t fd = from; fd < table->size; fd++) {
        fd = bitmap_find_set(table->open, table->size, fd);
        if (fd < table->size && table->files[fd] != NULL) {
            *ret_file = file_get(table->files[fd]);
            found = (int)fd;
            break;
        }
    }
    spin_unlock(&table->lock);
    return found;
}

struct file *fdtable_file(struct fdtable *table, unsigned fd)
{
    struct file *file = NULL;

    spin_lock(&table->lock);
    if (fd < table->size && table->files[fd] != NULL) {
        file = file_get(table->files[fd]);
    }
    spin_unlock(&table->lock);
    return file;
}
