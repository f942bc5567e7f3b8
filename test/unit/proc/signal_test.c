/* Signal queues (kernel/proc/signal.h), on a process that nobody runs. */
#define TEST_SUITE "proc"
#include "kernel/proc/signal.h"

#include <linux/sched.h>
#include <linux/time.h>

#include "hal/host/host.h"
#include "kernel/mm/slab.h"
#include "kernel/proc/internal.h"
#include "test/unit/test.h"

static struct thread thread;

static void forget_all(struct process *process)
{
    struct list_node forgotten = LIST_INIT(forgotten);

    (void)signal_pending_forget_locked(&process->shared, &forgotten);
    (void)signal_pending_forget_locked(&thread.sig_pending, &forgotten);
    signal_forgotten_free(process, &forgotten);
}

static struct process *setup(void)
{
    static struct process *process;
    static struct pid pid = {.nr = 7, .refs = {.value = 1}};

    host_sched_init();
    if (process == NULL) {
        process_init();
        process = process_alloc();
        process->pid = &pid;
        process->leader = &thread;
        list_init(&thread.process_node);
        list_init(&thread.sig_pending.queue);
        list_push_back(&process->threads, &thread.process_node);
        process->nthreads = process->nlive = 1;
        process->user = user_get(&user_root);
    }
    forget_all(process);
    process->actions = signal_actions_copy(&signal_actions_default);
    process->limits[RLIMIT_SIGPENDING].rlim_cur = 4;
    process->stopped = process->continued = false;
    process->unkillable = process->group_exiting = false;
    thread.process = process;
    thread.refs.value = 1;
    thread.work = 0;
    thread.sig_blocked = thread.sig_waited = 0;
    return process;
}

static int send(struct process *process, int signo, int code, int value)
{
    siginfo_t info;

    memset(&info, 0, sizeof(info));
    info.si_signo = signo;
    info.si_code = code;
    info.si_value.sival_int = value;
    return signal_send_process(process, &info);
}

/* The next signal outside `blocked` and its value; 0: none. */
static int take(struct process *process, uint64_t blocked, int *ret_value)
{
    struct signal_queued *queued = NULL;
    siginfo_t info;
    int signo = signal_dequeue_locked(process, &thread, blocked, &queued);

    if (signo != 0) {
        signal_take_info(signo, queued, &info);
        *ret_value = info.si_value.sival_int;
    }
    return signo;
}

TEST(signal, a_plain_signal_is_pending_once)
{
    struct process *process = setup();
    int value;

    EXPECT_EQ(send(process, SIGUSR1, SI_QUEUE, 1), 0);
    EXPECT_EQ(send(process, SIGUSR1, SI_QUEUE, 2), 0);
    EXPECT(thread_signal_pending(&thread));
    EXPECT_EQ(take(process, 0, &value), SIGUSR1);
    EXPECT_EQ(value, 1);
    EXPECT_EQ(take(process, 0, &value), 0);
}

TEST(signal, realtime_signals_queue_in_order_up_to_the_limit)
{
    struct process *process = setup();
    uint32_t before = user_root.nsigpending;
    int value;

    process->limits[RLIMIT_SIGPENDING].rlim_cur = before + 3;
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(send(process, SIGRTMIN + 2, SI_QUEUE, i), 0);
    }
    EXPECT_EQ(send(process, SIGRTMIN + 2, SI_QUEUE, 9), -EAGAIN);
    EXPECT_EQ(send(process, SIGTERM, SI_USER, 0), 0); /* kill(2) always arrives */
    EXPECT_EQ(take(process, 0, &value), SIGTERM);
    for (int i = 0; i < 3; i++) {
        EXPECT_EQ(take(process, 0, &value), SIGRTMIN + 2);
        EXPECT_EQ(value, i);
    }
    EXPECT_EQ(take(process, 0, &value), 0);
    EXPECT_EQ(user_root.nsigpending, before);
}

TEST(signal, each_number_has_an_order_of_its_own)
{
    struct process *process = setup();
    int value;

    process->limits[RLIMIT_SIGPENDING].rlim_cur = user_root.nsigpending + 12;
    for (int i = 0; i < 12; i++) {
        EXPECT_EQ(send(process, SIGRTMIN + 3 - i % 3, SI_QUEUE, i), 0);
    }
    for (int i = 0; i < 12; i++) {
        EXPECT_EQ(take(process, 0, &value), SIGRTMIN + 1 + i / 4);
        EXPECT_EQ(value, 2 - i / 4 + i % 4 * 3);
    }
    EXPECT_EQ(take(process, 0, &value), 0);
}

TEST(signal, an_entry_is_taken_back_wherever_it_is)
{
    struct process *process = setup();
    struct list_node forgotten = LIST_INIT(forgotten);
    siginfo_t info = {.si_signo = SIGRTMIN + 1, .si_code = SI_QUEUE};
    struct signal_queued *entry[5];
    int value;

    process->limits[RLIMIT_SIGPENDING].rlim_cur = user_root.nsigpending + 6;
    for (int i = 0; i < 5; i++) {
        info.si_value.sival_int = i;
        entry[i] = signal_queued_create(process, &info);
        EXPECT(signal_send_queued_locked(process, NULL, entry[i]));
    }
    EXPECT_EQ(send(process, SIGRTMIN, SI_QUEUE, 7), 0);
    signal_unqueue_locked(process, NULL, entry[2]);
    signal_unqueue_locked(process, NULL, entry[0]);
    EXPECT_EQ(take(process, SIGMASK(SIGRTMIN), &value), SIGRTMIN + 1);
    EXPECT_EQ(value, 1);
    signal_unqueue_locked(process, NULL, entry[4]);
    EXPECT_EQ(process->shared.set, SIGMASK(SIGRTMIN) | SIGMASK(SIGRTMIN + 1));
    signal_unqueue_locked(process, NULL, entry[3]);
    EXPECT_EQ(process->shared.set, SIGMASK(SIGRTMIN));
    /* Out of those that are forgotten as well. */
    EXPECT(signal_send_queued_locked(process, NULL, entry[3]));
    EXPECT(signal_send_queued_locked(process, NULL, entry[4]));
    EXPECT(signal_forget_locked(process, SIGMASK(SIGRTMIN + 1), &forgotten));
    signal_unqueue_locked(process, NULL, entry[3]);
    signal_forgotten_free(process, &forgotten);
    EXPECT_EQ(take(process, 0, &value), SIGRTMIN);
    EXPECT_EQ(take(process, 0, &value), 0);
    signal_queued_free(entry[0]);
    signal_queued_free(entry[2]);
    signal_queued_free(entry[3]);
}

TEST(signal, thousands_of_one_number_are_forgotten_and_the_others_stay)
{
    struct process *process = setup();
    struct list_node forgotten = LIST_INIT(forgotten);
    uint32_t before = user_root.nsigpending;
    int value;

    process->limits[RLIMIT_SIGPENDING].rlim_cur = before + 3000;
    for (int i = 0; i < 3000; i++) {
        EXPECT_EQ(send(process, SIGRTMIN + i % 3, SI_QUEUE, i), 0);
    }
    EXPECT(signal_forget_locked(process, SIGMASK(SIGRTMIN) | SIGMASK(SIGRTMIN + 2), &forgotten));
    EXPECT_EQ(process->shared.set, SIGMASK(SIGRTMIN + 1));
    EXPECT_EQ(user_root.nsigpending, before + 3000); /* they are freed later */
    signal_forgotten_free(process, &forgotten);
    EXPECT_EQ(user_root.nsigpending, before + 1000);
    for (int i = 0; i < 1000; i++) {
        EXPECT_EQ(take(process, 0, &value), SIGRTMIN + 1);
        EXPECT_EQ(value, 3 * i + 1);
    }
    EXPECT_EQ(take(process, 0, &value), 0);
    EXPECT(!signal_forget_locked(process, ~0ull, &forgotten));
}

TEST(signal, blocked_signals_wait_and_the_lowest_number_comes_first)
{
    struct process *process = setup();
    int value;

    thread.sig_blocked = SIGMASK(SIGTERM);
    EXPECT_EQ(send(process, SIGTERM, SI_USER, 0), 0);
    EXPECT(!thread_signal_pending(&thread));
    EXPECT_EQ(send(process, SIGUSR2, SI_USER, 0), 0);
    EXPECT_EQ(send(process, SIGHUP, SI_USER, 0), 0);
    EXPECT_EQ(take(process, thread.sig_blocked, &value), SIGHUP);
    EXPECT_EQ(take(process, thread.sig_blocked, &value), SIGUSR2);
    EXPECT_EQ(take(process, thread.sig_blocked, &value), 0);
    EXPECT_EQ(take(process, 0, &value), SIGTERM);
}

TEST(signal, ignored_signals_vanish_unless_they_are_blocked)
{
    struct process *process = setup();

    EXPECT_EQ(send(process, SIGCHLD, SI_USER, 0), 0); /* ignored by default */
    process->actions->action[SIGTERM - 1].handler = ACTION_IGNORE;
    EXPECT_EQ(send(process, SIGTERM, SI_USER, 0), 0);
    EXPECT_EQ(process->shared.set, 0);
    thread.sig_blocked = SIGMASK(SIGTERM);
    EXPECT_EQ(send(process, SIGTERM, SI_USER, 0), 0);
    EXPECT_EQ(process->shared.set, SIGMASK(SIGTERM));
}

TEST(signal, stop_signals_and_sigcont_cancel_each_other)
{
    struct process *process = setup();

    EXPECT_EQ(send(process, SIGTSTP, SI_USER, 0), 0);
    EXPECT_EQ(send(process, SIGSTOP, SI_USER, 0), 0);
    EXPECT_EQ(process->shared.set, SIGMASK(SIGTSTP) | SIGMASK(SIGSTOP));
    thread.sig_blocked = SIGMASK(SIGCONT);
    EXPECT_EQ(send(process, SIGCONT, SI_USER, 0), 0);
    EXPECT_EQ(process->shared.set, SIGMASK(SIGCONT));
    EXPECT_EQ(send(process, SIGTTIN, SI_USER, 0), 0);
    EXPECT_EQ(process->shared.set, SIGMASK(SIGTTIN));
}

/* Whatever the parent does with it, which may block it until the child is there. */
TEST(signal, for_many_is_for_the_children_that_are_being_made)
{
    struct process *process = setup();
    struct fork_signals fork = {.set = 0};
    siginfo_t info;

    list_push_back(&process->forks, &fork.node);
    thread.sig_blocked = SIGMASK(SIGINT);
    for (int i = 0; i < 2; i++) {
        siginfo_kernel(&info, SIGINT);
        EXPECT_EQ(signal_send_member(process, &info), 0);
    }
    EXPECT_EQ(send(process, SIGTERM, SI_USER, 0), 0); /* for the parent alone */
    EXPECT_EQ(fork.set, SIGMASK(SIGINT));
    siginfo_kernel(&info, SIGSTOP);
    EXPECT_EQ(signal_send_member(process, &info), 0);
    EXPECT_EQ(fork.set, SIGMASK(SIGINT) | SIGMASK(SIGSTOP));
    siginfo_kernel(&info, SIGCONT);
    EXPECT_EQ(signal_send_member(process, &info), 0);
    EXPECT_EQ(fork.set, SIGMASK(SIGINT) | SIGMASK(SIGCONT));
    list_remove(&fork.node);
}

TEST(signal, sigcont_ends_a_stop_even_when_it_is_ignored)
{
    struct process *process = setup();

    process->stopped = true;
    process->actions->action[SIGCONT - 1].handler = ACTION_IGNORE;
    EXPECT_EQ(send(process, SIGCONT, SI_USER, 0), 0);
    EXPECT(!process->stopped);
    EXPECT(process->continued);
    EXPECT_EQ(process->shared.set, 0);
}

TEST(signal, process_one_hears_only_what_it_has_a_handler_for)
{
    struct process *process = setup();

    process->unkillable = true;
    EXPECT_EQ(send(process, SIGTERM, SI_USER, 0), 0);
    EXPECT_EQ(send(process, SIGKILL, SI_USER, 0), 0);
    EXPECT_EQ(send(process, SIGINT, SI_KERNEL, 0), 0);
    EXPECT_EQ(process->shared.set, 0);
    thread.sig_blocked = SIGMASK(SIGCHLD); /* what it waits for, it hears too */
    EXPECT_EQ(send(process, SIGCHLD, SI_USER, 0), 0);
    EXPECT_EQ(process->shared.set, SIGMASK(SIGCHLD));
    forget_all(process);
    process->actions->action[SIGTERM - 1].handler = 0x1000;
    EXPECT_EQ(send(process, SIGTERM, SI_USER, 0), 0);
    EXPECT_EQ(process->shared.set, SIGMASK(SIGTERM));
}

TEST(signal, faults_of_the_thread_itself_come_before_others)
{
    struct process *process = setup();
    siginfo_t info;
    int value;

    siginfo_kernel(&info, SIGHUP);
    EXPECT_EQ(signal_send_thread(&thread, &info), 0);
    siginfo_kernel(&info, SIGSEGV);
    EXPECT_EQ(signal_send_thread(&thread, &info), 0);
    EXPECT_EQ(send(process, SIGHUP, SI_USER, 0), 0);
    EXPECT_EQ(take(process, 0, &value), SIGSEGV);
    EXPECT_EQ(take(process, 0, &value), SIGHUP);
    EXPECT_EQ(take(process, 0, &value), SIGHUP);
    EXPECT_EQ(take(process, 0, &value), 0);
}

TEST(signal, a_table_is_copied_when_its_sharer_changes_it)
{
    struct process *process = setup();
    struct signal_actions *table = signal_actions_copy(&signal_actions_default), *before;

    before = signal_actions_get(table);
    process->actions = table;
    table->action[SIGUSR1 - 1].handler = 0x1234;
    EXPECT(signal_action_reset_locked(process, SIGUSR1));
    EXPECT(process->actions != before);
    EXPECT_EQ(before->action[SIGUSR1 - 1].handler, 0x1234);
    EXPECT_EQ(process->actions->action[SIGUSR1 - 1].handler, ACTION_DEFAULT);
    signal_actions_put(before);
    before = process->actions;
    EXPECT(signal_action_reset_locked(process, SIGUSR2));
    EXPECT_PTR_EQ(process->actions, before);
}

TEST(signal, exec_keeps_what_is_ignored_and_forgets_handlers)
{
    struct process *process = setup();
    struct signal_actions *after;

    EXPECT_EQ(signal_prepare_exec(process, &after), 0);
    EXPECT(after == NULL); /* nothing to change */
    process->actions->action[SIGINT - 1].handler = 0x1000;
    process->actions->action[SIGINT - 1].flags = SA_RESTART;
    process->actions->action[SIGQUIT - 1].handler = ACTION_IGNORE;
    EXPECT_EQ(signal_prepare_exec(process, &after), 0);
    EXPECT(after != NULL);
    EXPECT_EQ(after->action[SIGINT - 1].handler, ACTION_DEFAULT);
    EXPECT_EQ(after->action[SIGINT - 1].flags, 0);
    EXPECT_EQ(after->action[SIGQUIT - 1].handler, ACTION_IGNORE);
    signal_actions_put(after);
}

/* ---- tables of new processes ---- */

TEST(signal, a_child_shares_the_table_until_a_change_or_with_clone_sighand_for_good)
{
    struct process *process = setup();
    struct process child = {0}, sister = {0};
    struct signal_actions *table = process->actions;

    EXPECT_EQ(signal_actions_inherit(&child, process, 0), 0);
    EXPECT_PTR_EQ(child.actions, table);
    EXPECT_EQ(signal_actions_inherit(&sister, process, CLONE_SIGHAND), 0);
    EXPECT(sister.actions != table); /* which stays the child's */
    EXPECT_PTR_EQ(sister.actions, process->actions);
    EXPECT_EQ(refcount_read(&table->refs), 1);
    EXPECT_EQ(refcount_read(&process->actions->refs), 2);
    EXPECT(signal_action_reset_locked(process, SIGUSR1));
    EXPECT_PTR_EQ(sister.actions, process->actions);
    signal_actions_put(child.actions);
    child.actions = NULL;
    EXPECT_EQ(signal_actions_inherit(&child, process, 0), 0);
    EXPECT(child.actions != process->actions && !child.actions->together);
    signal_actions_put(child.actions);
    child.actions = NULL;
    EXPECT_EQ(signal_actions_inherit(&child, process, CLONE_CLEAR_SIGHAND), 0);
    EXPECT_PTR_EQ(child.actions, &signal_actions_default);
    signal_actions_put(child.actions);
    signal_actions_put(sister.actions);
}

#define HAMMER_CPUS   3u
#define HAMMER_ROUNDS 10000u

static uint32_t nfailed; /* [a] */

/* The first CPU changes the table of the process, the others have children that come and go at once. */
static void hammer_table(void *arg, unsigned cpu)
{
    static struct process children[HAMMER_CPUS];
    struct process *process = arg, *child = &children[cpu];

    for (unsigned i = 0; i < HAMMER_ROUNDS; i++) {
        bool done;
        if (cpu == 0) {
            uint64_t flags = spin_lock_irqsave(&process->siglock);
            done = signal_action_reset_locked(process, SIGUSR1);
            spin_unlock_irqrestore(&process->siglock, flags);
        } else {
            child->actions = NULL;
            done = signal_actions_inherit(child, process, 0) == 0;
            signal_actions_put(child->actions);
        }
        (void)atomic_fetch_add_relaxed(&nfailed, !done);
    }
}

TEST(signal, a_table_that_is_changed_beside_a_fork_is_not_lost)
{
    struct process *process = setup();

    host_set_cpu_count(HAMMER_CPUS);
    host_run_on_cpus(HAMMER_CPUS, hammer_table, process);
    host_set_cpu_count(1);
    EXPECT_EQ(nfailed, 0);
    EXPECT_EQ(refcount_read(&process->actions->refs), 1);
}

/* ---- the timer of setitimer(2) ---- */

/* An expiration waits for the siglock while the timer is set anew, and while it is stopped. */
TEST(signal, a_timer_that_was_set_anew_does_not_expire_by_its_former_setting)
{
    struct process *process = setup();
    struct itimer new = {.value_ns = 5 * NS_PER_S, .interval_ns = NS_PER_S}, off = {0, 0}, old;

    current_thread()->process = process;
    EXPECT_EQ(process_itimer(ITIMER_REAL, &new, &old), 0);
    itimer_real_expired(&process->real_timer);
    EXPECT_EQ(process->shared.set, 0u);
    EXPECT_EQ(process_itimer(ITIMER_REAL, &off, &old), 0);
    EXPECT(old.value_ns > 4 * NS_PER_S && old.value_ns <= 5 * NS_PER_S);
    itimer_real_expired(&process->real_timer);
    EXPECT_EQ(process->shared.set, 0u);
    current_thread()->process = NULL;
}

/* ---- calls to all threads ---- */

#define CROWD     40u
#define MULTITUDE 1200u

static struct thread crowd[MULTITUDE];
static unsigned crowd_size;

static unsigned crowd_wanted(const struct process *process)
{
    unsigned n = 0;

    for (unsigned i = 0; i < crowd_size; i++) {
        n += thread_stop_wanted(process, &crowd[i]);
    }
    return n;
}

static void crowd_join(struct process *process, unsigned size)
{
    crowd_size = size;
    for (unsigned i = 0; i < size; i++) {
        crowd[i] = (struct thread){.process = process, .state = THREAD_RUNNABLE};
        list_push_back(&process->threads, &crowd[i].process_node);
    }
    process->nthreads = process->nlive = size + 1;
    process->call = CALL_NONE;
    process->stop_left = 0;
}

static void crowd_leave(struct process *process)
{
    for (unsigned i = 0; i < crowd_size; i++) {
        if (!list_empty(&crowd[i].process_node)) {
            call_pass_locked(process, &crowd[i]);
            list_remove(&crowd[i].process_node);
        }
    }
    process->nthreads = process->nlive = 1;
}

TEST(signal, a_turn_of_a_call_reaches_a_few_threads_and_the_next_goes_on)
{
    struct process *process = setup();

    crowd_join(process, CROWD);
    thread.exiting = true;
    call_begin_locked(process, CALL_STOP);
    EXPECT_EQ(crowd_wanted(process), 0u);
    call_turn_locked(process);
    EXPECT_EQ(crowd_wanted(process), 8u);
    EXPECT_EQ(process->stop_left, 8u);
    /* Who is next leaves, and so does one that has been called. */
    call_pass_locked(process, &crowd[8]);
    list_remove(&crowd[8].process_node);
    list_init(&crowd[8].process_node);
    call_turn_locked(process);
    EXPECT_EQ(crowd_wanted(process), 16u);
    EXPECT(thread_stop_wanted(process, &crowd[9]));
    EXPECT(!thread_stop_wanted(process, &crowd[8]));
    call_finish(process, CALL_STOP);
    EXPECT_EQ(crowd_wanted(process), CROWD - 1);
    EXPECT_EQ(process->call, CALL_NONE);
    stop_let_off_locked(process);
    EXPECT_EQ(crowd_wanted(process), 0u);
    thread.exiting = false;
    crowd_leave(process);
}

TEST(signal, the_call_to_end_is_the_last_one)
{
    struct process *process = setup();

    crowd_join(process, CROWD);
    call_begin_locked(process, CALL_STOP);
    call_turn_locked(process);
    call_begin_locked(process, CALL_END);
    call_begin_locked(process, CALL_GO_ON);
    EXPECT_EQ(process->call, CALL_END);
    call_finish(process, CALL_END);
    for (unsigned i = 0; i < CROWD; i++) {
        EXPECT_EQ(crowd[i].sig_pending.set, SIGMASK(SIGKILL));
    }
    EXPECT_EQ(process->call, CALL_NONE);
    crowd_leave(process);
}

/* Nobody is there to go on with it: the call ends with the turn. */
TEST(signal, a_call_to_go_on_ends_at_once_when_nobody_stands_still)
{
    struct process *process = setup();

    crowd_join(process, CROWD);
    call_begin_locked(process, CALL_GO_ON);
    call_turn_locked(process);
    EXPECT_EQ(process->call, CALL_NONE);
    crowd_leave(process);
}

/* Turns are short even then: somebody else goes on with it. */
TEST(signal, a_call_to_go_on_looks_at_a_multitude_in_turns)
{
    struct process *process = setup();

    crowd_join(process, MULTITUDE);
    call_begin_locked(process, CALL_GO_ON);
    call_turn_locked(process);
    EXPECT_EQ(process->call, CALL_GO_ON);
    EXPECT_EQ(process->call_next, &crowd[255]); /* the main thread was the first */
    EXPECT(process->call_work.queued);
    EXPECT_EQ(process->refs.value, 2u);
    call_turn_locked(process); /* somebody comes by */
    EXPECT_EQ(process->call_next, &crowd[511]);
    EXPECT_EQ(process->refs.value, 2u);
    list_remove(&process->call_work.node); /* as the thread of work_queue() does */
    process->call_work.queued = false;
    call_work_run(&process->call_work);
    EXPECT_EQ(process->call, CALL_NONE);
    EXPECT_EQ(process->refs.value, 1u);
    crowd_leave(process);
}
