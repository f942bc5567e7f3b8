/*
 * Read-ahead: the decision. Pure: what is in the cache comes in as numbers.
 *
 *   the mark, or the page behind the window   the reader goes on: the next window, larger
 *   a mark that is not of our window          another stream got here before, or we come back to one: from the first hole on, as far again
 *                                             as the stream has come from the mark
 *   the start of the file, more than a window, the page after the last one asked for
 *                                             perhaps the beginning of a sequence: a first window
 *   pages cached before it, more than asked   a sequence that other readers have cut into: as far again as it is long
 *   else                                      a jump: what is asked for alone, and the window stays for who comes back to it
 *
 * Source of the idea: Wu, Xi, Xu: On the design of a new Linux readahead framework, ACM SIGOPS Operating Systems Review 42(5), 2008.
 */
#include <linux/fadvise.h>

#include "kernel/base/atomic.h"
#include "kernel/vm/readahead.h"

void readahead_init(struct readahead *ra, uint32_t most_pages)
{
    *ra = (struct readahead){.most = most_pages, .usual = most_pages, .last = UINT64_MAX};
}

void readahead_advise(struct readahead *ra, int advice)
{
    uint32_t most = advice == POSIX_FADV_RANDOM       ? 0
                    : advice == POSIX_FADV_SEQUENTIAL ? ra->usual * 2
                                                      : ra->usual;

    atomic_store_relaxed(&ra->most, most);
}

/* The first window of a sequence that begins with a request of `wanted` pages. */
static uint32_t first_size(uint64_t wanted, uint32_t most)
{
    uint64_t size = 1;

    while (size < wanted && size < most) {
        size *= 2;
    }
    if (size <= most / 32) {
        size *= 4;
    } else if (size <= most / 4) {
        size *= 2;
    }
    return (uint32_t)MIN(size, (uint64_t)most);
}

static uint32_t next_size(uint32_t size, uint32_t most)
{
    uint64_t factor = size < most / 16 ? 4 : 2;

    return (uint32_t)MIN(MAX(size, 1u) * factor, (uint64_t)most);
}

static struct readahead_plan window(struct readahead *ra, uint64_t start, uint32_t size,
                                    uint32_t ahead)
{
    atomic_store_relaxed(&ra->start, start);
    atomic_store_relaxed(&ra->size, size);
    atomic_store_relaxed(&ra->ahead, ahead);
    return (struct readahead_plan){start, size, ahead};
}

/*
 * A window that begins with the pages asked for. When they fill it, the mark is on the page behind them: it is read at the next
 * window's pace already.
 */
static struct readahead_plan window_at(struct readahead *ra, uint64_t index, uint64_t wanted,
                                       uint32_t size, uint32_t most)
{
    if (size <= wanted) {
        uint32_t more = next_size(size, most);
        return window(ra, index, size + more, more);
    }
    return window(ra, index, size, size - (uint32_t)wanted);
}

struct readahead_plan readahead_decide(struct readahead *ra, uint64_t index, uint64_t wanted,
                                       bool marked, uint64_t cached, uint64_t hole)
{
    uint32_t most = atomic_load_relaxed(&ra->most);
    uint32_t size = atomic_load_relaxed(&ra->size);
    uint64_t end = atomic_load_relaxed(&ra->start) + size;
    uint64_t mark = end - atomic_load_relaxed(&ra->ahead);
    uint64_t last = atomic_load_relaxed(&ra->last);
    struct readahead_plan nothing = {0};

    if (most == 0) {
        return nothing;
    }
    if (size != 0 && (index == end || (marked && index == mark))) {
        uint32_t next = next_size(size, most);
        return window(ra, end, next, next);
    }
    if (marked) {
        uint32_t next = next_size((uint32_t)MIN(hole - index, (uint64_t)most), most);
        return window(ra, hole, next, next);
    }
    if (index == 0 || wanted > most || (last != UINT64_MAX && index - last <= 1)) {
        return window_at(ra, index, MIN(wanted, (uint64_t)most), first_size(wanted, most), most);
    }
    if (cached > wanted) {
        uint64_t far = MIN(cached + wanted, (uint64_t)most);
        return window_at(ra, index, MIN(wanted, (uint64_t)most), (uint32_t)far, most);
    }
    return nothing;
}
