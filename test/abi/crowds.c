/* Processes of many threads and with many children: what is for all of them comes to each. */
#include "abi.h"

#include <pthread.h>

#define CROWD   150
#define ZOMBIES 40

static void *pause_for_ever(void *arg)
{
    for (;;) {
        pause();
    }
    return arg;
}

/* In the caller: so many more threads, which sleep. */
static void start_crowd(void)
{
    pthread_attr_t attr;
    pthread_t thread;

    CHECK_EQ(pthread_attr_init(&attr), 0);
    CHECK_EQ(pthread_attr_setstacksize(&attr, 32768), 0);
    for (int i = 0; i < CROWD; i++) {
        CHECK_EQ(pthread_create(&thread, &attr, pause_for_ever, NULL), 0);
    }
    abi_wait_asleep(CROWD);
}

/* A child with a crowd; `end` is called in it by its main thread afterwards. */
static pid_t crowd_child(void (*end)(void))
{
    int p[2];
    char byte;

    CHECK_EQ(pipe(p), 0);
    pid_t pid = abi_fork();
    if (pid == 0) {
        start_crowd();
        CHECK_EQ(write(p[1], "x", 1), 1);
        end();
    }
    CHECK_EQ(read(p[0], &byte, 1), 1);
    close(p[0]);
    close(p[1]);
    return pid;
}

static void pause_too(void)
{
    (void)pause_for_ever(NULL);
}

/* How many threads of the process are in this state. */
static int count_state(pid_t pid, char letter)
{
    char path[64];
    int n = 0;

    snprintf(path, sizeof(path), "/proc/%d/task", pid);
    DIR *dir = opendir(path);
    CHECK(dir != NULL);
    for (const struct dirent *entry; (entry = readdir(dir)) != NULL;) {
        n += entry->d_name[0] != '.' && abi_state(pid, atoi(entry->d_name)) == letter;
    }
    closedir(dir);
    return n;
}

static void check_stopped(pid_t pid)
{
    int status;

    CHECK_EQ(waitpid(pid, &status, WUNTRACED), pid);
    CHECK(WIFSTOPPED(status));
    CHECK_EQ(count_state(pid, 'T'), CROWD + 1);
}

static void check_killed(pid_t pid)
{
    int status;

    CHECK_EQ(kill(pid, SIGKILL), 0);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK(WIFSIGNALED(status));
    CHECK_EQ(WTERMSIG(status), SIGKILL);
}

ABI_TEST(crowd, stops_and_goes_on_to_the_last_thread)
{
    pid_t pid = crowd_child(pause_too);
    int status;

    for (int i = 0; i < 3; i++) {
        CHECK_EQ(kill(pid, SIGSTOP), 0);
        check_stopped(pid);
        CHECK_EQ(kill(pid, SIGCONT), 0);
        CHECK_EQ(waitpid(pid, &status, WCONTINUED), pid);
        CHECK(WIFCONTINUED(status));
        while (count_state(pid, 'S') != CROWD + 1) {
            abi_sleep_ms(1);
        }
    }
    check_killed(pid);
}

/* The next stop comes while some have not left the last one. */
ABI_TEST(crowd, stops_for_good_when_a_stop_comes_last)
{
    pid_t pid = crowd_child(pause_too);
    int status;

    for (int i = 0; i < 20; i++) {
        CHECK_EQ(kill(pid, SIGSTOP), 0);
        CHECK_EQ(kill(pid, SIGCONT), 0);
    }
    CHECK_EQ(kill(pid, SIGSTOP), 0);
    while (count_state(pid, 'T') != CROWD + 1) {
        abi_sleep_ms(1);
    }
    CHECK_EQ(kill(pid, SIGCONT), 0);
    while (count_state(pid, 'S') != CROWD + 1) {
        abi_sleep_ms(1);
    }
    while (waitpid(pid, &status, WUNTRACED | WCONTINUED | WNOHANG) > 0) {
    }
    check_killed(pid);
}

ABI_TEST(crowd, dies_when_it_stands_still)
{
    pid_t pid = crowd_child(pause_too);

    CHECK_EQ(kill(pid, SIGSTOP), 0);
    check_stopped(pid);
    check_killed(pid);
}

static void end_all(void)
{
    _exit(9);
}

static void run_another(void)
{
    (void)execl("/bin/sh", "sh", "-c", "exit 8", (char *)NULL);
    _exit(1);
}

ABI_TEST(crowd, ends_with_exit_and_exec)
{
    int status;
    pid_t pid = crowd_child(end_all);

    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 9 << 8);
    pid = crowd_child(run_another);
    CHECK_EQ(waitpid(pid, &status, 0), pid);
    CHECK_EQ(status, 8 << 8);
}

static void *read_clocks(void *arg)
{
    struct timespec last = {0}, now;

    for (int i = 0; i < 300; i++) {
        CHECK_EQ(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
        CHECK(now.tv_sec > last.tv_sec ||
              (now.tv_sec == last.tv_sec && now.tv_nsec >= last.tv_nsec));
        last = now;
    }
    return arg;
}

static void *return_at_once(void *arg)
{
    return arg;
}

ABI_TEST(crowd, its_time_never_goes_back_while_threads_come_and_go)
{
    pthread_t reader, thread;

    start_crowd();
    CHECK_EQ(pthread_create(&reader, NULL, read_clocks, NULL), 0);
    for (int i = 0; i < 200; i++) {
        CHECK_EQ(pthread_create(&thread, NULL, return_at_once, NULL), 0);
        CHECK_EQ(pthread_join(thread, NULL), 0);
    }
    CHECK_EQ(pthread_join(reader, NULL), 0);
}

/* ---- children ---- */

static void have_children_and_exit(void)
{
    for (int i = 0; i < ZOMBIES; i++) {
        if (abi_fork() == 0) {
            _exit(1);
        }
    }
    for (int i = 0; i < CROWD; i++) {
        if (abi_fork() == 0) {
            pause_too();
        }
    }
    _exit(0); /* some have ended by now, others do so as somebody else's */
}

/* Those that have ended, and those that live, and nobody else. */
ABI_TEST(crowd, of_children_goes_to_the_reaper)
{
    int status, zombies = 0, killed = 0;

    CHECK_EQ(prctl(PR_SET_CHILD_SUBREAPER, 1), 0);
    pid_t parent = abi_fork();
    if (parent == 0) {
        CHECK_EQ(setpgid(0, 0), 0);
        have_children_and_exit();
    }
    CHECK_EQ(waitpid(parent, &status, 0), parent);
    CHECK_EQ(status, 0);
    for (int i = 0; i < ZOMBIES; i++) {
        CHECK(wait(&status) > 0);
        zombies += status == 1 << 8;
    }
    CHECK_EQ(zombies, ZOMBIES);
    CHECK_EQ(kill(-parent, SIGKILL), 0);
    for (int i = 0; i < CROWD; i++) {
        CHECK(wait(&status) > 0);
        killed += WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
    }
    CHECK_EQ(killed, CROWD);
    CHECK_ERR(wait(&status), ECHILD);
}
