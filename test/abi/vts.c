/*
 * Virtual terminals that a process switches itself (ioctl_console(2), VT_SETMODE): it is asked by a signal to let the display go, and told by another
 * that it has it.
 *
 * They are where there is a display: test/boot runs this with one.
 */
#include "abi.h"

#include <linux/vt.h>
#include <sys/ioctl.h>

#define NOW  0 /* seconds */
#define SOON 10

static int first, second; /* the terminal that is shown and another one; opened */
static int first_number, second_number;
static sigset_t both; /* SIGUSR1: let go; SIGUSR2: it is yours. Blocked */

static int open_vt(int number)
{
    char name[32];

    (void)snprintf(name, sizeof(name), "/dev/tty%d", number);
    return open(name, O_RDWR | O_NOCTTY);
}

static int shown(void)
{
    struct vt_stat state;

    CHECK_EQ(ioctl(first, VT_GETSTATE, &state), 0);
    return state.v_active;
}

static void set_mode(int fd, char mode)
{
    struct vt_mode wanted = {.mode = mode, .relsig = SIGUSR1, .acqsig = SIGUSR2}, told;

    CHECK_EQ(ioctl(fd, VT_SETMODE, &wanted), 0);
    CHECK_EQ(ioctl(fd, VT_GETMODE, &told), 0);
    CHECK_EQ(told.mode, mode);
}

/* The signal that comes within some seconds, or that is there when none is awaited: none is 0. Linux switches in a work item of its own, so the question
   comes some time after VT_ACTIVATE has answered. */
static int asked(int seconds)
{
    const struct timespec limit = {seconds, 0};

    int signo = sigtimedwait(&both, NULL, &limit);

    return signo > 0 ? signo : 0;
}

static void hand_over(int number)
{
    CHECK_EQ(ioctl(first, VT_ACTIVATE, number), 0);
    CHECK_EQ(ioctl(first, VT_WAITACTIVE, number), 0);
    CHECK_EQ(shown(), number);
}

static void prepare(void)
{
    if ((first = open_vt(1)) < 0) {
        abi_skip("no virtual terminals");
    }
    first_number = shown();
    CHECK_EQ(close(first), 0);
    CHECK((first = open_vt(first_number)) >= 0);
    CHECK_EQ(ioctl(first, VT_OPENQRY, &second_number), 0);
    CHECK((second = open_vt(second_number)) >= 0);
    sigemptyset(&both);
    sigaddset(&both, SIGUSR1);
    sigaddset(&both, SIGUSR2);
    CHECK_EQ(sigprocmask(SIG_BLOCK, &both, NULL), 0);
}

ABI_TEST(vt, its_holder_is_asked_before_another_is_shown)
{
    prepare();
    set_mode(first, VT_PROCESS);
    CHECK_EQ(ioctl(first, VT_ACTIVATE, second_number), 0);
    CHECK_EQ(asked(SOON), SIGUSR1);
    CHECK_EQ(shown(), first_number);
    CHECK_EQ(ioctl(first, VT_RELDISP, 0), 0); /* no */
    CHECK_EQ(shown(), first_number);
    CHECK_EQ(ioctl(first, VT_ACTIVATE, second_number), 0);
    CHECK_EQ(asked(SOON), SIGUSR1);
    CHECK_EQ(ioctl(first, VT_RELDISP, 1), 0);
    CHECK_EQ(shown(), second_number);
    hand_over(first_number);
    CHECK_EQ(asked(SOON), SIGUSR2);
    CHECK_EQ(ioctl(first, VT_RELDISP, VT_ACKACQ), 0);
    set_mode(first, VT_AUTO);
    CHECK_ERR(ioctl(first, VT_RELDISP, VT_ACKACQ), EINVAL);
    hand_over(second_number);
    CHECK_EQ(asked(NOW), 0);
    hand_over(first_number);
}

ABI_TEST(vt, nobody_answers_a_question_that_another_was_asked)
{
    prepare();
    set_mode(first, VT_PROCESS);
    CHECK_ERR(ioctl(first, VT_RELDISP, 0), EINVAL); /* nobody has asked */
    CHECK_ERR(ioctl(first, VT_RELDISP, 1), EINVAL);
    CHECK_EQ(ioctl(first, VT_RELDISP, VT_ACKACQ), 0);
    for (int again = VT_AUTO; again <= VT_PROCESS; again++) {
        CHECK_EQ(ioctl(first, VT_ACTIVATE, second_number), 0);
        CHECK_EQ(asked(SOON), SIGUSR1);
        set_mode(first, (char)again);
        set_mode(first, VT_PROCESS);
        CHECK_ERR(ioctl(first, VT_RELDISP, 1), EINVAL);
        CHECK_EQ(shown(), first_number);
    }
    set_mode(first, VT_AUTO);
}
