/*
 * Sets in sets: no circles, no deep towers, and no file that wakes more sets than anybody could mean.
 *
 * Sets that contain each other would lock and wake each other for ever. So a set may be added only where it contains no path back, and where
 * the longest chain of sets that comes about has at most EPOLL_NESTS_MAX links (epoll_ctl(2), ELOOP). A file at the bottom is woken
 * once for each chain of sets above it: how many chains there may be depends on their length (EINVAL).
 *
 * Everything here is under epoll_nest_lock, which keeps every link from a set to a set as it is. A walk marks the sets that it has
 * been at, so that each is looked at once.
 */
#include "kernel/vfs/epoll_impl.h"

#define EPOLL_NESTS_MAX 4

struct mutex epoll_nest_lock = MUTEX_INIT(epoll_nest_lock);
static uint64_t visits; /* [n] walks so far */

/* Links of the longest chain of sets that watch this one, each the next; more than the maximum: at least that many. */
static int links_above(struct epoll_set *set)
{
    int most = 0;

    if (set->visit == visits) {
        return set->visit_result;
    }
    for (struct epoll_item *item = set->file->watchers; item != NULL; item = item->next_watcher) {
        most = MAX(most, 1 + links_above(item->set));
    }
    set->visit = visits;
    set->visit_result = most;
    return most;
}

/* Links of the longest chain of sets inside this one; -ELOOP: `self` is among them. */
static int links_below(struct epoll_set *set, const struct epoll_set *self)
{
    int most = 0;

    if (set == self) {
        return -ELOOP;
    }
    if (set->visit == visits) {
        return set->visit_result;
    }
    mutex_lock(&set->lock);
    for (struct epoll_item *item = epoll_item_first(set); item != NULL && most >= 0;
         item = epoll_item_next(item)) {
        struct epoll_set *inner = epoll_set_of(item->file);
        if (inner != NULL) {
            int links = links_below(inner, self);
            most = links < 0 ? links : MAX(most, 1 + links);
        }
    }
    mutex_unlock(&set->lock);
    set->visit = visits;
    set->visit_result = most;
    return most;
}

int epoll_nest_check(struct epoll_set *set, struct epoll_set *target)
{
    visits++;
    int below = links_below(target, set);
    if (below < 0) {
        return below;
    }
    visits++;
    return links_above(set) + 1 + below > EPOLL_NESTS_MAX ? -ELOOP : 0;
}

/* How many chains there may be, by their links. A file may be in any number of sets that are in no other. */
static const int paths_max[EPOLL_NESTS_MAX + 1] = {INT32_MAX, 500, 100, 50, 10};

/* Count the chains of sets from these watchers upwards. */
static int paths_count(struct epoll_item *watchers, int links, int *counts)
{
    int err = 0;

    if (links > EPOLL_NESTS_MAX) {
        return -EINVAL;
    }
    for (struct epoll_item *item = watchers; item != NULL && err == 0; item = item->next_watcher) {
        struct epoll_item *above = item->set->file->watchers;
        if (above != NULL) {
            err = paths_count(above, links + 1, counts);
        } else if (++counts[links] > paths_max[links]) {
            err = -EINVAL;
        }
    }
    return err;
}

/* A file that is no set: its watchers come and go, but for its link lock. */
static int file_check(struct file *file)
{
    struct spinlock *lock = epoll_link_lock(file);
    int counts[EPOLL_NESTS_MAX + 1] = {0};

    spin_lock(lock);
    int err = paths_count(file->watchers, 0, counts);
    spin_unlock(lock);
    return err;
}

/* All files at the bottom of the set. */
static int set_check(struct epoll_set *set)
{
    int err = 0;

    if (set->visit == visits) {
        return 0;
    }
    set->visit = visits;
    mutex_lock(&set->lock);
    for (struct epoll_item *item = epoll_item_first(set); item != NULL && err == 0;
         item = epoll_item_next(item)) {
        struct epoll_set *inner = epoll_set_of(item->file);
        err = inner != NULL ? set_check(inner) : file_check(item->file);
    }
    mutex_unlock(&set->lock);
    return err;
}

int epoll_paths_check(struct file *target)
{
    struct epoll_set *set = epoll_set_of(target);

    visits++;
    return set != NULL ? set_check(set) : file_check(target);
}
