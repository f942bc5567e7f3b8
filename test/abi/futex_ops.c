/* futex(2): requeueing, changing a word while waking, waiting for several; robust lists. */
#include "abi.h"

#include <asm/unistd.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stddef.h>

#define WAITERS 4

static volatile uint32_t
    *word; /* shared with the children: word[0], word[1]; the rest for tests' own use */
static pid_t children[WAITERS];

static long futex(volatile uint32_t *at, int op, uint32_t value, long count, volatile uint32_t *at2,
                  uint32_t value3)
{
    return syscall(SYS_futex, at, op, value, count, at2, value3);
}

/* How many wait here: a requeue to the same word moves them all nowhere. */
static long waiters(volatile uint32_t *at)
{
    return futex(at, FUTEX_REQUEUE, 0, INT_MAX, at, 0);
}

static void share_words(void)
{
    word = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(word != MAP_FAILED);
}

/* Children that wait for word[0], in the order of their numbers, and end with status 7 when woken. */
static void start_waiters(int count)
{
    for (int i = 0; i < count; i++) {
        children[i] = abi_fork();
        CHECK(children[i] >= 0);
        if (children[i] == 0) {
            _exit(futex(&word[0], FUTEX_WAIT, 0, 0, NULL, 0) == 0 ? 7 : 1);
        }
        while (waiters(&word[0]) != i + 1) {
            abi_sleep_ms(1);
        }
    }
}

/* The first `count` have ended and the others, if there are any, have not. */
static void expect_ended(int from, int to)
{
    int status;

    for (int i = from; i < to; i++) {
        CHECK_EQ(waitpid(children[i], &status, 0), children[i]);
        CHECK_EQ(status, 7 << 8);
    }
    CHECK(waitpid(-1, &status, WNOHANG) <= 0);
}

ABI_TEST(futex, a_requeue_wakes_some_and_moves_some)
{
    share_words();
    start_waiters(4);
    CHECK_EQ(futex(&word[0], FUTEX_REQUEUE, 1, 2, &word[1], 0), 3);
    expect_ended(0, 1);
    CHECK_EQ(waiters(&word[0]), 1);
    CHECK_EQ(waiters(&word[1]), 2);
    CHECK_EQ(futex(&word[1], FUTEX_WAKE, 1, 0, NULL, 0), 1);
    expect_ended(1, 2);
    CHECK_EQ(futex(&word[0], FUTEX_WAKE, INT_MAX, 0, NULL, 0), 1);
    expect_ended(3, 4);
    CHECK_EQ(futex(&word[1], FUTEX_WAKE, INT_MAX, 0, NULL, 0), 1);
    expect_ended(2, 3);
}

ABI_TEST(futex, a_requeue_may_compare_first)
{
    share_words();
    start_waiters(2);
    CHECK_ERR(futex(&word[0], FUTEX_CMP_REQUEUE, 1, 1, &word[1], 5), EAGAIN);
    CHECK_EQ(waiters(&word[0]), 2);
    CHECK_EQ(futex(&word[0], FUTEX_CMP_REQUEUE, 0, 1, &word[1], 0), 1);
    CHECK_EQ(waiters(&word[1]), 1);
    CHECK_EQ(futex(&word[0], FUTEX_CMP_REQUEUE, INT_MAX, 0, &word[1], 0), 1);
    expect_ended(1, 2);
    CHECK_EQ(futex(&word[1], FUTEX_WAKE, 1, 0, NULL, 0), 1);
    expect_ended(0, 1);
    CHECK_ERR(futex(&word[0], FUTEX_CMP_REQUEUE, (uint32_t)-1, 1, &word[1], 0), EINVAL);
    CHECK_ERR(futex(&word[0], FUTEX_CMP_REQUEUE, 1, -1, &word[1], 0), EINVAL);
    CHECK_ERR(futex(&word[0], FUTEX_CMP_REQUEUE, 1, 1, (uint32_t *)8, 0), EFAULT);
}

ABI_TEST(futex, one_that_was_moved_is_ended_by_a_signal)
{
    share_words();
    start_waiters(2);
    CHECK_EQ(futex(&word[0], FUTEX_REQUEUE, 0, 2, &word[1], 0), 2);
    CHECK_EQ(kill(children[0], SIGKILL), 0);
    CHECK_EQ(waitpid(children[0], NULL, 0), children[0]);
    CHECK_EQ(waiters(&word[1]), 1);
    CHECK_EQ(futex(&word[1], FUTEX_WAKE, 1, 0, NULL, 0), 1);
    expect_ended(1, 2);
}

ABI_TEST(futex, a_wake_for_less_than_one_wakes_one)
{
    share_words();
    start_waiters(3);
    CHECK_EQ(futex(&word[0], FUTEX_WAKE, 0, 0, NULL, 0), 1);
    expect_ended(0, 1);
    CHECK_EQ(futex(&word[0], FUTEX_WAKE, (uint32_t)-1, 0, NULL, 0), 1);
    expect_ended(1, 2);
    CHECK_EQ(futex(&word[0], FUTEX_WAKE, 9, 0, NULL, 0), 1);
    expect_ended(2, 3);
}

/* ---- more than are woken at once ---- */

#define MANY 200

static void *wait_here(void *arg)
{
    (void)arg;
    CHECK_EQ(futex(&word[0], FUTEX_WAIT, 0, 0, NULL, 0), 0);
    return NULL;
}

ABI_TEST(futex, hundreds_are_woken_and_moved_like_few)
{
    pthread_t threads[MANY];

    share_words();
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(pthread_create(&threads[i], NULL, wait_here, NULL), 0);
    }
    while (waiters(&word[0]) != MANY) {
        abi_sleep_ms(1);
    }
    CHECK_EQ(futex(&word[0], FUTEX_REQUEUE, 20, 150, &word[1], 0), 170);
    CHECK_EQ(waiters(&word[0]), 30);
    CHECK_EQ(waiters(&word[1]), 150);
    CHECK_EQ(futex(&word[1], FUTEX_WAKE, 33, 0, NULL, 0), 33);
    CHECK_EQ(waiters(&word[1]), 117);
    CHECK_EQ(futex(&word[1], FUTEX_WAKE_OP, INT_MAX, 17, &word[0],
                   FUTEX_OP(FUTEX_OP_SET, 1, FUTEX_OP_CMP_EQ, 0)),
             117 + 17);
    CHECK_EQ(futex(&word[0], FUTEX_WAKE, INT_MAX, 0, NULL, 0), 13);
    for (int i = 0; i < MANY; i++) {
        CHECK_EQ(pthread_join(threads[i], NULL), 0);
    }
}

static uint32_t after_op(int op, uint32_t old, int arg)
{
    word[2] = old;
    CHECK_EQ(futex(&word[3], FUTEX_WAKE_OP, 1, 1, &word[2], FUTEX_OP(op, arg, FUTEX_OP_CMP_EQ, 0)),
             0);
    return word[2];
}

ABI_TEST(futex, wake_op_changes_a_word)
{
    share_words();
    CHECK_EQ(after_op(FUTEX_OP_SET, 5, 9), 9);
    CHECK_EQ(after_op(FUTEX_OP_SET, 5, -1), 0xffffffffu);
    CHECK_EQ(after_op(FUTEX_OP_ADD, 5, 0x7ff), 5 + 0x7ff);
    CHECK_EQ(after_op(FUTEX_OP_ADD, 5, -7), 0xfffffffeu);
    CHECK_EQ(after_op(FUTEX_OP_OR, 5, 2), 7);
    CHECK_EQ(after_op(FUTEX_OP_ANDN, 7, 2), 5);
    CHECK_EQ(after_op(FUTEX_OP_XOR, 6, 3), 5);
    CHECK_EQ(after_op(FUTEX_OP_SET | FUTEX_OP_OPARG_SHIFT, 6, 31), 1u << 31);
    word[2] = 3;
    CHECK_ERR(futex(&word[3], FUTEX_WAKE_OP, 1, 1, &word[2], FUTEX_OP(5, 1, 0, 0)), ENOSYS);
    CHECK_EQ(word[2], 3);
    CHECK_ERR(futex(&word[3], FUTEX_WAKE_OP, 1, 1, &word[2], FUTEX_OP(FUTEX_OP_SET, 1, 6, 0)),
              ENOSYS);
    CHECK_ERR(futex(&word[3], FUTEX_WAKE_OP, 1, 1, (uint32_t *)8, 0), EFAULT);
    uint32_t *constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK_ERR(futex(&word[3], FUTEX_WAKE_OP, 1, 1, constant, 0), EFAULT);
}

static long wake_both(int cmp, uint32_t old, int arg)
{
    start_waiters(2);
    CHECK_EQ(futex(&word[0], FUTEX_REQUEUE, 0, 1, &word[1], 0), 1);
    word[1] = old;
    long woken =
        futex(&word[0], FUTEX_WAKE_OP, 1, 1, &word[1], FUTEX_OP(FUTEX_OP_SET, 0, cmp, arg));
    CHECK_EQ(word[1], 0);
    if (woken == 1) {
        expect_ended(1, 2);
        CHECK_EQ(futex(&word[1], FUTEX_WAKE, 1, 0, NULL, 0), 1);
        expect_ended(0, 1);
    } else {
        expect_ended(0, 2);
    }
    return woken;
}

ABI_TEST(futex, wake_op_compares_what_was_there_before)
{
    share_words();
    CHECK_EQ(wake_both(FUTEX_OP_CMP_EQ, 3, 3), 2);
    CHECK_EQ(wake_both(FUTEX_OP_CMP_EQ, 4, 3), 1);
    CHECK_EQ(wake_both(FUTEX_OP_CMP_NE, 4, 3), 2);
    CHECK_EQ(wake_both(FUTEX_OP_CMP_LT, (uint32_t)-4, -3), 2);
    CHECK_EQ(wake_both(FUTEX_OP_CMP_LT, 4, -3), 1);
    CHECK_EQ(wake_both(FUTEX_OP_CMP_GE, 4, 4), 2);
    CHECK_EQ(wake_both(FUTEX_OP_CMP_LE, 5, 4), 1);
    CHECK_EQ(wake_both(FUTEX_OP_CMP_GT, 5, 4), 2);
}

ABI_TEST(futex, only_a_wait_with_bits_takes_the_clock)
{
    uint32_t one = 1;
    struct timespec past = {1, 0}, soon = {0, 1000000};

    CHECK_ERR(syscall(SYS_futex, &one, FUTEX_WAIT | FUTEX_CLOCK_REALTIME, 1, &soon, NULL, 0),
              ENOSYS);
    CHECK_ERR(syscall(SYS_futex, &one, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 1, NULL, NULL, 0),
              ENOSYS);
    CHECK_ERR(syscall(SYS_futex, &one, FUTEX_REQUEUE | FUTEX_CLOCK_REALTIME, 1, 1, &one, 0),
              ENOSYS);
    CHECK_ERR(syscall(SYS_futex, &one, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 1, &past, NULL, 1),
              ETIMEDOUT);
    CHECK_ERR(syscall(SYS_futex, &one, 99, 1, NULL, NULL, 0), ENOSYS);
}

/* ---- several words ---- */

static long waitv(struct futex_waitv *words, unsigned count, unsigned flags, struct timespec *until,
                  int clock)
{
    return syscall(__NR_futex_waitv, words, count, flags, until, clock);
}

ABI_TEST(futex, waitv_checks_what_it_gets)
{
    uint32_t values[2] = {1, 2};
    struct futex_waitv words[2] = {{1, (uintptr_t)&values[0], FUTEX_32 | FUTEX_PRIVATE_FLAG, 0},
                                   {2, (uintptr_t)&values[1], FUTEX_32 | FUTEX_PRIVATE_FLAG, 0}};
    struct timespec past = {0, 1};

    CHECK_ERR(waitv(words, 2, 0, &past, CLOCK_MONOTONIC), ETIMEDOUT);
    CHECK_ERR(waitv(words, 2, 0, &past, CLOCK_REALTIME), ETIMEDOUT);
    CHECK_ERR(waitv(words, 2, 1, &past, CLOCK_MONOTONIC), EINVAL);
    CHECK_ERR(waitv(words, 0, 0, &past, CLOCK_MONOTONIC), EINVAL);
    CHECK_ERR(waitv(words, FUTEX_WAITV_MAX + 1, 0, &past, CLOCK_MONOTONIC), EINVAL);
    CHECK_ERR(waitv(NULL, 2, 0, &past, CLOCK_MONOTONIC), EINVAL);
    CHECK_ERR(waitv((void *)8, 2, 0, &past, CLOCK_MONOTONIC), EFAULT);
    CHECK_ERR(waitv(words, 2, 0, &past, CLOCK_BOOTTIME), EINVAL);
    words[1].val = 3;
    CHECK_ERR(waitv(words, 2, 0, &past, CLOCK_MONOTONIC), EAGAIN);
    words[1].uaddr++;
    CHECK_ERR(waitv(words, 2, 0, &past, CLOCK_MONOTONIC), EINVAL);
    words[1] = words[0];
    words[1].flags = FUTEX_PRIVATE_FLAG;
    CHECK_ERR(waitv(words, 2, 0, &past, CLOCK_MONOTONIC), EINVAL);
    words[1] = words[0];
    words[1].__reserved = 1;
    CHECK_ERR(waitv(words, 2, 0, &past, CLOCK_MONOTONIC), EINVAL);
}

ABI_TEST(futex, waitv_says_which_word_was_woken)
{
    share_words();
    for (long which = 0; which < 3; which++) {
        pid_t pid = abi_fork();
        if (pid == 0) {
            struct futex_waitv words[3] = {{0, (uintptr_t)&word[0], FUTEX_32, 0},
                                           {0, (uintptr_t)&word[1], FUTEX_32, 0},
                                           {0, (uintptr_t)&word[2], FUTEX_32, 0}};
            _exit((int)waitv(words, 3, 0, NULL, 0));
        }
        while (waiters(&word[2]) != 1) {
            abi_sleep_ms(1);
        }
        CHECK_EQ(futex(&word[which], FUTEX_WAKE, 5, 0, NULL, 0), 1);
        int status;
        CHECK_EQ(waitpid(pid, &status, 0), pid);
        CHECK_EQ(status, which << 8);
        CHECK_EQ(waiters(&word[0]) + waiters(&word[1]) + waiters(&word[2]), 0);
    }
}

static uint32_t *lost; /* where somebody waits, in memory that goes */

static void *wait_there(void *arg)
{
    *(pid_t *)arg = gettid();
    (void)syscall(SYS_futex, lost, FUTEX_WAIT, 0, NULL, NULL, 0);
    return NULL;
}

static uint32_t *share_page(void)
{
    uint32_t *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(page != MAP_FAILED);
    *page = 0;
    return page;
}

ABI_TEST(futex, who_waits_in_memory_that_is_gone_is_not_found_in_other_memory)
{
    for (int i = 0; i < 16; i++) {
        volatile pid_t tid = 0;
        pthread_t thread;

        lost = share_page();
        CHECK_EQ(pthread_create(&thread, NULL, wait_there, (void *)&tid), 0);
        while (tid == 0) {
            sched_yield();
        }
        abi_wait_state(getpid(), tid, 'S');
        CHECK_EQ(munmap(lost, 4096), 0);
        uint32_t *other = share_page();
        CHECK_EQ(syscall(SYS_futex, other, FUTEX_WAKE, 99, NULL, NULL, 0), 0);
        CHECK_EQ(munmap(other, 4096), 0);
    }
}

/* ---- robust lists ---- */

struct lock {
    struct robust_list list;
    uint32_t word;
};

static struct shared_locks {
    struct robust_list_head head;
    struct lock lock[3];
    uint32_t ready;
} * locks;

static void share_locks(void)
{
    locks = mmap(NULL, sizeof(*locks), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(locks != MAP_FAILED);
    locks->head.list.next = &locks->head.list;
    locks->head.futex_offset = offsetof(struct lock, word);
}

static void push(struct lock *lock)
{
    lock->list.next = locks->head.list.next;
    locks->head.list.next = &lock->list;
}

static void set_list(void)
{
    CHECK_EQ(syscall(SYS_set_robust_list, &locks->head, sizeof(locks->head)), 0);
}

ABI_TEST(robust, a_list_is_set_and_read)
{
    struct robust_list_head head, *found = NULL;
    size_t len = 0;

    CHECK_ERR(syscall(SYS_set_robust_list, &head, sizeof(head) + 1), EINVAL);
    CHECK_EQ(syscall(SYS_set_robust_list, NULL, sizeof(head)), 0);
    CHECK_EQ(syscall(SYS_get_robust_list, 0, &found, &len), 0);
    CHECK(found == NULL && len == sizeof(head));
    head.list.next = &head.list;
    head.list_op_pending = NULL;
    CHECK_EQ(syscall(SYS_set_robust_list, &head, sizeof(head)), 0);
    CHECK_EQ(syscall(SYS_get_robust_list, getpid(), &found, &len), 0);
    CHECK(found == &head);
    CHECK_ERR(syscall(SYS_get_robust_list, 0x3fffffff, &found, &len), ESRCH);
    CHECK_ERR(syscall(SYS_get_robust_list, 0, (void *)8, &len), EFAULT);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(syscall(SYS_get_robust_list, 0, &found, &len), 0);
                 CHECK(found == NULL); /* a list is not inherited */
             }),
             0);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(setuid(65534), 0);
                 CHECK_ERR(syscall(SYS_get_robust_list, getppid(), &found, &len), EPERM);
             }),
             0);
}

ABI_TEST(robust, what_the_dead_had_locked_is_marked)
{
    share_locks();
    CHECK_EQ(IN_CHILD({
                 set_list();
                 locks->lock[0].word = (uint32_t)getpid();
                 locks->lock[1].word = (uint32_t)getpid() | FUTEX_WAITERS;
                 locks->lock[2].word = (uint32_t)getppid();
                 push(&locks->lock[0]);
                 push(&locks->lock[1]);
                 push(&locks->lock[2]);
                 kill(getpid(), SIGKILL);
             }),
             SIGKILL);
    CHECK_EQ(locks->lock[0].word, FUTEX_OWNER_DIED);
    CHECK_EQ(locks->lock[1].word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
    CHECK_EQ(locks->lock[2].word, (uint32_t)getpid());
}

/* Who hears of somebody's end by a file that is closed looks at his locks at once. */
ABI_TEST(robust, locks_are_marked_before_files_are_closed)
{
    share_locks();
    for (int i = 0; i < 100; i++) {
        char byte;
        int ends[2];

        CHECK_EQ(pipe(ends), 0);
        locks->lock[0].word = 0;
        locks->head.list.next = &locks->head.list;
        pid_t pid = abi_fork();
        if (pid == 0) {
            set_list();
            locks->lock[0].word = (uint32_t)getpid();
            push(&locks->lock[0]);
            kill(getpid(), SIGKILL);
        }
        CHECK_EQ(close(ends[1]), 0);
        CHECK_EQ(read(ends[0], &byte, 1), 0);
        CHECK_EQ(*(volatile uint32_t *)&locks->lock[0].word, FUTEX_OWNER_DIED);
        CHECK_EQ(waitpid(pid, NULL, 0), pid);
        CHECK_EQ(close(ends[0]), 0);
    }
}

ABI_TEST(robust, one_who_waits_for_the_dead_is_woken)
{
    share_locks();
    pid_t owner = abi_fork();
    if (owner == 0) {
        set_list();
        locks->lock[0].word = (uint32_t)getpid() | FUTEX_WAITERS;
        push(&locks->lock[0]);
        __atomic_store_n(&locks->ready, 1, __ATOMIC_RELEASE);
        while (waiters(&locks->lock[0].word) == 0) {
            abi_sleep_ms(1);
        }
        _exit(0);
    }
    while (__atomic_load_n(&locks->ready, __ATOMIC_ACQUIRE) == 0) {
        abi_sleep_ms(1);
    }
    struct timespec limit = {20, 0};
    uint32_t seen = locks->lock[0].word;
    long r = syscall(SYS_futex, &locks->lock[0].word, FUTEX_WAIT, seen, &limit, NULL, 0);
    CHECK(r == 0 || errno == EAGAIN);
    CHECK_EQ(locks->lock[0].word, FUTEX_OWNER_DIED | FUTEX_WAITERS);
    CHECK_EQ(waitpid(owner, NULL, 0), owner);
}

ABI_TEST(robust, an_operation_under_way_is_finished)
{
    share_locks();
    CHECK_EQ(IN_CHILD({
                 set_list();
                 locks->lock[0].word = (uint32_t)getpid(); /* locked, not yet on the list */
                 locks->head.list_op_pending = &locks->lock[0].list;
             }),
             0);
    CHECK_EQ(locks->lock[0].word, FUTEX_OWNER_DIED);
}

ABI_TEST(robust, execve_ends_the_list_too)
{
    share_locks();
    CHECK_EQ(IN_CHILD({
                 char *argv[] = {"abi", "nothing", NULL};
                 set_list();
                 locks->lock[0].word = (uint32_t)getpid();
                 push(&locks->lock[0]);
                 close(1);
                 execv("/proc/self/exe", argv);
             }) & 0x7f,
             0);
    CHECK_EQ(locks->lock[0].word, FUTEX_OWNER_DIED);
}

ABI_TEST(robust, a_list_of_lies_harms_nobody)
{
    share_locks();
    CHECK_EQ(IN_CHILD({ /* a circle without the head */
                        set_list();
                        locks->lock[0].word = (uint32_t)getpid();
                        push(&locks->lock[0]);
                        locks->lock[0].list.next = &locks->lock[0].list;
             }),
             0);
    CHECK_EQ(locks->lock[0].word, FUTEX_OWNER_DIED);
    CHECK_EQ(IN_CHILD({ /* an entry that leads nowhere: what came before it counts */
                        set_list();
                        locks->lock[1].word = (uint32_t)getpid();
                        locks->head.list.next = &locks->lock[1].list;
                        locks->lock[1].list.next = (struct robust_list *)(uintptr_t)0xdeadbeef000;
             }),
             0);
    CHECK_EQ(locks->lock[1].word, FUTEX_OWNER_DIED);
    CHECK_EQ(IN_CHILD({
                 CHECK_EQ(syscall(SYS_set_robust_list, -4096l, sizeof(struct robust_list_head)), 0);
             }),
             0);
}
