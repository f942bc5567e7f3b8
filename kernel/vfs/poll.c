/*
 * poll(2) and select(2).
 *
 * The first scan only asks. When something is ready, or the caller does not want to wait, nothing is registered anywhere and
 * nothing is allocated. Otherwise a second scan registers a waiter on every queue that a file names, asking again; then
 * the thread sleeps until a callback says that an event of interest came, and scans without registering.
 *
 * A registered waiter holds a reference to its file, so that the queue it hangs on lives as long as it does.
 */
#include <linux/poll.h>

#include "kernel/base/bitmap.h"
#include "kernel/mm/kmalloc.h"
#include "kernel/vfs/fdtable.h"
#include "kernel/vfs/private.h"

#define POLL_ALWAYS (POLLERR | POLLHUP)
#define POLL_PLAIN  (POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM)

/* select(2), "Correspondence between select() and poll() notifications". */
#define SELECT_IN  (POLLRDNORM | POLLRDBAND | POLLIN | POLLHUP | POLLERR)
#define SELECT_OUT (POLLWRBAND | POLLWRNORM | POLLOUT | POLLERR)
#define SELECT_EX  (POLLPRI)

#define POLL_INLINE 8

struct poll_entry {
    struct waiter waiter;
    struct poll_wait *wait;
    struct wait_queue *queue;
    struct file *file; /* referenced */
    uint32_t events;
};

struct poll_block {
    struct poll_block *next;
    unsigned used;
    struct poll_entry entries[];
};
#define POLL_BLOCK_ENTRIES ((PAGE_SIZE - sizeof(struct poll_block)) / sizeof(struct poll_entry))

struct poll_wait {
    struct poll_table table;
    struct thread *thread;
    struct file *file; /* being asked */
    bool triggered;    /* [a] a callback ran since the last scan began */
    int error;
    unsigned used;
    struct poll_block *blocks;
    struct poll_entry entries[POLL_INLINE];
};

static bool poll_wake(struct waiter *waiter, uint32_t key)
{
    struct poll_entry *entry = container_of(waiter, struct poll_entry, waiter);

    if (key != 0 && (key & entry->events) == 0) {
        return false;
    }
    atomic_store_release(&entry->wait->triggered, true);
    (void)thread_wake_how(entry->wait->thread, BIT(THREAD_SLEEPING) | BIT(THREAD_UNINTERRUPTIBLE),
                          (key & WAIT_SYNC) != 0 ? WAKE_SYNC : 0);
    return true;
}

static struct poll_entry *poll_entry_alloc(struct poll_wait *wait)
{
    if (wait->used < POLL_INLINE) {
        return &wait->entries[wait->used++];
    }
    struct poll_block *block = wait->blocks;
    if (block == NULL || block->used == POLL_BLOCK_ENTRIES) {
        block = kmalloc(PAGE_SIZE);
        if (block == NULL) {
            wait->error = -ENOMEM;
            return NULL;
        }
        block->used = 0;
        block->next = wait->blocks;
        wait->blocks = block;
    }
    return &block->entries[block->used++];
}

static void poll_enqueue(struct poll_table *table, struct wait_queue *queue,
                         const struct poll_pin *pin)
{
    struct poll_wait *wait = container_of(table, struct poll_wait, table);
    struct poll_entry *entry = poll_entry_alloc(wait);

    (void)pin; /* queues that are not the file's are the process' own */
    if (entry == NULL) {
        return;
    }
    entry->wait = wait;
    entry->queue = queue;
    entry->file = file_get(wait->file);
    entry->events = table->events;
    waiter_init_fn(&entry->waiter, poll_wake);
    wait_add(queue, &entry->waiter);
}

static void poll_entries_release(struct poll_entry *entries, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        wait_remove(entries[i].queue, &entries[i].waiter);
        file_put(entries[i].file);
    }
}

static void poll_wait_end(struct poll_wait *wait)
{
    poll_entries_release(wait->entries, wait->used);
    while (wait->blocks != NULL) {
        struct poll_block *block = wait->blocks;
        poll_entries_release(block->entries, block->used);
        wait->blocks = block->next;
        kfree(block);
    }
}

static void poll_wait_begin(struct poll_wait *wait)
{
    wait->thread = current_thread();
    wait->triggered = false;
    wait->error = 0;
    wait->used = 0;
    wait->blocks = NULL;
    wait->table.enqueue = NULL;
}

/* What is asked: one of the two scans below with its arguments. Returns the number of ready ones or an error. */
struct poll_request {
    int (*scan)(struct poll_request *request, struct poll_wait *wait);
};

/*
 * The current thread's table when nobody shares it, so that a scan may look files up in it without asking each time; else NULL.
 * Nobody can begin to share it while its only thread is here.
 */
static inline const struct fdtable *poll_own_table(void)
{
    const struct fdtable *table = current_thread()->files;

    return likely(refcount_read(&table->refs) == 1) ? table : NULL;
}

/* Readiness of one file; the table registers when its enqueue is set. */
static inline uint32_t poll_file(struct file *file, struct poll_wait *wait, uint32_t events)
{
    uint32_t (*poll)(struct file *, struct poll_table *) = file->fops->poll;

    if (unlikely(poll == NULL)) {
        return POLL_PLAIN;
    }
    wait->file = file;
    wait->table.events = events;
    return poll(file, &wait->table);
}

/* Readiness of one descriptor of a table that others may change. */
static __noinline uint32_t poll_shared(unsigned fd, struct poll_wait *wait, uint32_t events)
{
    struct fd_ref ref = fd_borrow((int)fd);
    uint32_t mask = POLLNVAL;

    if (fd_ref_file(ref) != NULL) {
        mask = poll_file(fd_ref_file(ref), wait, events);
        fd_return(ref);
    }
    return mask;
}

/* Readiness of one descriptor, POLLNVAL when it is none. `own` as poll_own_table() gave it. */
static inline uint32_t poll_descriptor(const struct fdtable *own, unsigned fd,
                                       struct poll_wait *wait, uint32_t events)
{
    if (unlikely(own == NULL)) {
        return poll_shared(fd, wait, events);
    }
    if (unlikely(fd >= own->size)) {
        return POLLNVAL;
    }
    struct file *file = own->files[fd];
    if (unlikely(file == NULL || (file->mode & FMODE_PATH) != 0)) {
        return POLLNVAL;
    }
    return poll_file(file, wait, events);
}

/* Sleep until a callback, a signal or the deadline. True: the deadline passed. */
static bool poll_sleep(struct poll_wait *wait, ktime_t deadline)
{
    bool expired = false;

    thread_prepare_sleep(THREAD_SLEEPING);
    if (!atomic_load_acquire(&wait->triggered) && !thread_signal_pending(wait->thread)) {
        expired = schedule_until(deadline);
    }
    thread_finish_sleep();
    return expired;
}

static int poll_run(struct poll_request *request, ktime_t deadline)
{
    struct poll_wait wait;

    poll_wait_begin(&wait);
    int ready = request->scan(request, &wait);
    if (likely(ready != 0)) {
        return ready;
    }
    if (deadline == 0) {
        return thread_signal_pending(wait.thread) ? -ERESTARTNOHAND : 0;
    }
    wait.table.enqueue = poll_enqueue;
    ready = request->scan(request, &wait);
    wait.table.enqueue = NULL;
    bool expired = false;
    while (ready == 0 && wait.error == 0) {
        if (thread_signal_pending(wait.thread)) {
            ready = -ERESTARTNOHAND;
        }
        if (ready != 0 || expired) {
            break;
        }
        expired = poll_sleep(&wait, deadline);
        atomic_store_relaxed(&wait.triggered, false);
        atomic_fence(); /* pairs with the waker, who changes the condition before it calls poll_wake */
        ready = request->scan(request, &wait);
    }
    poll_wait_end(&wait);
    return ready == 0 ? wait.error : ready;
}

struct poll_fds {
    struct poll_request request;
    struct pollfd *fds;
    unsigned n;
};

static int poll_scan(struct poll_request *request, struct poll_wait *wait)
{
    const struct poll_fds *poll = container_of(request, struct poll_fds, request);
    const struct fdtable *own = poll_own_table();
    int ready = 0;

    for (unsigned i = 0; i < poll->n; i++) {
        struct pollfd *p = &poll->fds[i];
        uint32_t events = (uint16_t)p->events | POLL_ALWAYS, mask = 0;
        if (likely(p->fd >= 0)) {
            mask = poll_descriptor(own, (unsigned)p->fd, wait, events) & (events | POLLNVAL);
        }
        p->revents = (short)mask;
        if (unlikely(mask != 0)) {
            ready++;
            wait->table.enqueue = NULL; /* there will be no waiting */
        }
    }
    return ready;
}

int vfs_do_poll(struct pollfd *fds, unsigned n, ktime_t deadline)
{
    struct poll_fds poll = {.request = {.scan = poll_scan}, .fds = fds, .n = n};

    return poll_run(&poll.request, deadline);
}

struct select_fds {
    struct poll_request request;
    const struct select_sets *sets;
    unsigned words;
    uint64_t last_mask; /* bits of the last word that count */
};

/*
 * One word of one of the three sets: its ready bits. Each set is scanned by itself, so a descriptor in two of them is asked twice:
 * rare, and the loop stays short for the rest. *bad is set when a descriptor is none.
 */
static uint64_t select_scan_word(struct poll_wait *wait, unsigned base, uint64_t want,
                                 uint32_t events, bool *bad)
{
    const struct fdtable *own = poll_own_table();
    uint64_t ret = 0;

    for (uint64_t bits = want; bits != 0; bits &= bits - 1) {
        uint32_t mask = poll_descriptor(own, base + bit_ffs(bits), wait, events | POLL_ALWAYS);
        if ((mask & (events | POLLNVAL)) != 0) {
            if (unlikely(mask == POLLNVAL)) {
                *bad = true;
                return 0;
            }
            ret |= bits & -bits;
            wait->table.enqueue = NULL;
        }
    }
    return ret;
}

/* One set. The number of ready bits or -EBADF. */
static int select_scan_set(const struct select_fds *select, struct poll_wait *wait,
                           const uint64_t *set, uint64_t *ret_set, uint32_t events)
{
    bool bad = false;
    int ready = 0;

    if (set == NULL) {
        return 0;
    }
    for (unsigned word = 0; word < select->words; word++) {
        uint64_t want = word + 1 == select->words ? set[word] & select->last_mask : set[word];
        uint64_t ret = want == 0 ? 0 : select_scan_word(wait, word * 64, want, events, &bad);
        if (bad) {
            return -EBADF;
        }
        ret_set[word] = ret;
        for (; ret != 0; ret &= ret - 1) {
            ready++;
        }
    }
    return ready;
}

static int select_scan(struct poll_request *request, struct poll_wait *wait)
{
    const struct select_fds *select = container_of(request, struct select_fds, request);
    const struct select_sets *sets = select->sets;
    int in = select_scan_set(select, wait, sets->in, sets->ret_in, SELECT_IN);
    int out = in < 0 ? 0 : select_scan_set(select, wait, sets->out, sets->ret_out, SELECT_OUT);
    int ex =
        in < 0 || out < 0 ? 0 : select_scan_set(select, wait, sets->ex, sets->ret_ex, SELECT_EX);

    if (in < 0 || out < 0 || ex < 0) {
        return -EBADF;
    }
    return in + out + ex;
}

int vfs_do_select(int n, const struct select_sets *sets, ktime_t deadline)
{
    struct select_fds select = {.request = {.scan = select_scan},
                                .sets = sets,
                                .words = BITMAP_WORDS((unsigned)n),
                                .last_mask = n % 64 == 0 ? ~0ull : BIT(n % 64) - 1};

    return poll_run(&select.request, deadline);
}
