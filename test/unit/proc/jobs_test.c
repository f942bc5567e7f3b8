/* Sessions and their terminals (kernel/proc/jobs.c), with processes that nobody runs. */
#define TEST_SUITE "proc"
#include "hal/host/host.h"
#include "kernel/proc/internal.h"
#include "test/unit/test.h"

static struct pid number = {.nr = 11, .refs = {.value = 10}},
                  session = {.nr = 10, .refs = {.value = 10}};
static struct thread leader;

TEST(jobs, who_has_left_the_session_has_no_terminal)
{
    int terminal;

    host_sched_init();
    process_init();
    list_init(&session.group_members);
    list_init(&session.session_members);
    list_init(&leader.process_node);
    struct process *process = process_alloc();
    EXPECT(process != NULL);
    process->pid = &number;
    process->leader = &leader;
    process_link_locked(process, NULL, &session, &session);
    process->tty = &terminal;
    process_unlink_locked(
        process); /* reaped: whoever still looks at it finds no terminal that has ended since */
    EXPECT(process->tty == NULL);
}
