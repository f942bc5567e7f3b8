/*
 * The guest's half of `linnet run --exec`: runs one command under `sh -c` and carries its three streams and its exit status over
 * one raw serial line, byte for byte.
 *
 * Frames, both ways: type (1 byte), length (2 bytes, little endian), payload.
 *
 *   host -> guest   'C' a piece of the command    'G' go: the command is complete
 *                   'I' standard input            'E' end of standard input
 *   guest -> host   'R' ready for the command     'O' standard output    'X' standard error
 *                   'W' window: 4-byte count of further input bytes the guest can take
 *                   'S' status: 4 bytes, as $? would be
 *
 * The host keeps the bytes of 'I' in flight within the windows granted, so that the line's buffer cannot overflow.
 */
#include "init.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#define WINDOW      2048
#define PAYLOAD     4096
#define COMMAND_MAX (128 * 1024) /* what execve(2) takes in one argument */
#define GRACE_S     3

struct agent {
    int line;         /* the serial line */
    int in, out, err; /* our ends of the command's pipes, -1: closed */
    uint8_t rx[8192]; /* bytes from the host, not yet a whole frame */
    size_t rx_len;
    uint8_t input[2 * WINDOW]; /* standard input on its way to the command */
    size_t input_len;
    bool input_eof;
    char *command;
    size_t command_len;
    bool go;
    int shutdown_signal; /* which one asked the system to go down, 0: none */
};

static bool write_all(int fd, const void *data, size_t len)
{
    const char *p = data;

    while (len > 0) {
        ssize_t n = write(fd, p, len);
        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return false;
        }
        if (n > 0) {
            p += n;
            len -= (size_t)n;
        }
    }
    return true;
}

static void send_frame(struct agent *agent, char type, const void *payload, size_t len)
{
    uint8_t frame[3 + PAYLOAD] = {(uint8_t)type, (uint8_t)len, (uint8_t)(len >> 8)};

    memcpy(frame + 3, payload, len);
    (void)write_all(agent->line, frame, 3 + len);
}

static void send_u32(struct agent *agent, char type, uint32_t value)
{
    uint8_t bytes[4] = {(uint8_t)value, (uint8_t)(value >> 8), (uint8_t)(value >> 16),
                        (uint8_t)(value >> 24)};

    send_frame(agent, type, bytes, sizeof(bytes));
}

static void handle_frame(struct agent *agent, char type, const uint8_t *payload, size_t len)
{
    switch (type) {
    case 'C':
        if (agent->command_len + len < COMMAND_MAX) {
            memcpy(agent->command + agent->command_len, payload, len);
            agent->command_len += len;
        }
        break;
    case 'G':
        agent->go = true;
        break;
    case 'I':
        if (agent->input_len + len <= sizeof(agent->input)) {
            memcpy(agent->input + agent->input_len, payload, len);
            agent->input_len += len;
        }
        break;
    case 'E':
        agent->input_eof = true;
        break;
    default:
        break;
    }
}

/* Take what the line has and handle every whole frame. */
static void receive(struct agent *agent)
{
    ssize_t n = read(agent->line, agent->rx + agent->rx_len, sizeof(agent->rx) - agent->rx_len);
    size_t done = 0;

    if (n <= 0) {
        return;
    }
    agent->rx_len += (size_t)n;
    while (agent->rx_len - done >= 3) {
        const uint8_t *frame = agent->rx + done;
        size_t len = (size_t)frame[1] | (size_t)frame[2] << 8;
        if (agent->rx_len - done < 3 + len) {
            break;
        }
        handle_frame(agent, (char)frame[0], frame + 3, len);
        done += 3 + len;
    }
    memmove(agent->rx, agent->rx + done, agent->rx_len - done);
    agent->rx_len -= done;
}

static void close_input(struct agent *agent)
{
    if (agent->in >= 0) {
        (void)close(agent->in);
        agent->in = -1;
    }
}

static void feed_input(struct agent *agent)
{
    if (agent->input_len > 0) {
        ssize_t n = write(agent->in, agent->input, agent->input_len);
        if (n > 0) {
            agent->input_len -= (size_t)n;
            memmove(agent->input, agent->input + n, agent->input_len);
            send_u32(agent, 'W', (uint32_t)n);
        } else if (n < 0 && errno != EAGAIN && errno != EINTR) {
            close_input(agent); /* the rest goes nowhere, as with a shell pipe */
        }
    }
    if (agent->input_len == 0 && agent->input_eof) {
        close_input(agent);
    }
}

/* Pass on one read's worth of output; its size. 0: nothing there now, or the pipe has ended (*fd is -1 then). */
static int drain(struct agent *agent, int *fd, char type)
{
    uint8_t buf[PAYLOAD];
    ssize_t n = read(*fd, buf, sizeof(buf));

    if (n > 0) {
        send_frame(agent, type, buf, (size_t)n);
        return (int)n;
    }
    if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        (void)close(*fd);
        *fd = -1;
    }
    return 0;
}

/* After the command's end: what is in the pipe by now, and not what a process left behind may go on writing. */
static void drain_rest(struct agent *agent, int *fd, char type)
{
    int left = 0;

    if (*fd >= 0 && ioctl(*fd, FIONREAD, &left) == 0) {
        for (int n = 1; left > 0 && n > 0; left -= n) {
            n = drain(agent, fd, type);
        }
    }
}

static pid_t spawn(struct agent *agent)
{
    int in[2], out[2], err[2];

    if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0 || pipe2(err, O_CLOEXEC) != 0) {
        return -1;
    }
    pid_t pid = fork();
    if (pid == 0) {
        sigset_t none;
        (void)sigemptyset(&none);
        (void)sigprocmask(SIG_SETMASK, &none, NULL);
        (void)setsid();
        (void)dup2(in[0], 0);
        (void)dup2(out[1], 1);
        (void)dup2(err[1], 2);
        (void)chdir("/root");
        (void)execl("/bin/sh", "sh", "-c", agent->command, (char *)NULL);
        _exit(127);
    }
    (void)close(in[0]);
    (void)close(out[1]);
    (void)close(err[1]);
    agent->in = in[1];
    agent->out = out[0];
    agent->err = err[0];
    (void)fcntl(agent->in, F_SETFL, O_NONBLOCK);
    (void)fcntl(agent->out, F_SETFL, O_NONBLOCK);
    (void)fcntl(agent->err, F_SETFL, O_NONBLOCK);
    return pid;
}

static int signal_pipe
    [2]; /* take_signal() writes each signal's number, carry() reads them beside everything else */

static void take_signal(int signal)
{
    const uint8_t number = (uint8_t)signal;
    const int saved = errno;

    (void)write(signal_pipe[1], &number, 1);
    errno = saved;
}

/* A child's end, a request to shut down (process 1 takes them), and the end of the grace that gives reach carry() from now on. */
static bool catch_signals(void)
{
    static const int caught[] = {SIGCHLD, SIGALRM, SIGUSR1, SIGUSR2, SIGTERM, SIGINT};
    const struct sigaction action = {.sa_handler = take_signal, .sa_flags = SA_RESTART};
    sigset_t set;

    if (pipe2(signal_pipe, O_CLOEXEC | O_NONBLOCK) != 0) {
        return false;
    }
    (void)sigemptyset(&set);
    for (size_t i = 0; i < sizeof(caught) / sizeof(caught[0]); i++) {
        (void)sigaction(caught[i], &action, NULL);
        (void)sigaddset(&set, caught[i]);
    }
    (void)sigprocmask(SIG_UNBLOCK, &set, NULL);
    return true;
}

/*
 * Asked to go down while the command runs: end every process, as shutdown_system() will, but hear the command's last words.
 */
static void handle_signals(struct agent *agent)
{
    uint8_t signals[64];
    ssize_t n = read(signal_pipe[0], signals, sizeof(signals));

    for (ssize_t i = 0; i < n; i++) {
        if (signals[i] == SIGALRM) {
            (void)kill(-1, SIGKILL);
        } else if (signals[i] != SIGCHLD && agent->shutdown_signal == 0) {
            agent->shutdown_signal = signals[i];
            (void)kill(-1, SIGTERM);
            (void)kill(-1, SIGCONT);
            (void)alarm(GRACE_S);
        }
    }
}

/* Reap. True when the command has ended: *ret_status is then what the shell calls $?. */
static bool has_ended(pid_t pid, int *ret_status)
{
    int status;

    for (pid_t dead; (dead = waitpid(-1, &status, WNOHANG)) > 0;) {
        if (dead == pid) {
            *ret_status = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
            return true;
        }
    }
    return false;
}

/* Until the command has ended: move bytes. A background process that keeps the pipes open does not hold us. */
static int carry(struct agent *agent, pid_t pid)
{
    int status;

    while (!has_ended(pid, &status)) {
        struct pollfd fds[5] = {
            {.fd = agent->line, .events = POLLIN},
            {.fd = agent->in, .events = agent->input_len > 0 || agent->input_eof ? POLLOUT : 0},
            {.fd = agent->out, .events = POLLIN},
            {.fd = agent->err, .events = POLLIN},
            {.fd = signal_pipe[0], .events = POLLIN},
        };
        if (poll(fds, 5, -1) < 0) {
            continue;
        }
        if (fds[4].revents != 0) {
            handle_signals(agent);
        }
        if (fds[0].revents != 0) {
            receive(agent);
        }
        if ((fds[1].revents & POLLERR) != 0) {
            close_input(agent); /* nobody is left to read it */
        }
        if (agent->in >= 0) {
            feed_input(agent);
        }
        if (fds[2].revents != 0) {
            (void)drain(agent, &agent->out, 'O');
        }
        if (fds[3].revents != 0) {
            (void)drain(agent, &agent->err, 'X');
        }
    }
    drain_rest(agent, &agent->out, 'O');
    drain_rest(agent, &agent->err, 'X');
    return status;
}

int agent_run(const char *device)
{
    struct agent agent = {.in = -1, .out = -1, .err = -1};
    struct termios raw;
    char path[80];

    (void)snprintf(path, sizeof(path), "%s%s", device[0] == '/' ? "" : "/dev/", device);
    agent.line = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    agent.command = calloc(1, COMMAND_MAX);
    if (agent.line < 0 || agent.command == NULL || tcgetattr(agent.line, &raw) != 0) {
        fprintf(stderr, "init: %s: %s\n", path, strerror(errno));
        return SIGUSR2;
    }
    cfmakeraw(&raw);
    raw.c_cflag |= CLOCAL;
    (void)cfsetspeed(&raw, B115200);
    (void)tcsetattr(agent.line, TCSANOW, &raw);
    send_frame(&agent, 'R', "", 0);
    while (!agent.go) {
        receive(&agent);
    }
    send_u32(&agent, 'W', WINDOW);
    int status = 126;
    pid_t pid = spawn(&agent);
    if (pid > 0 && catch_signals()) {
        status = carry(&agent, pid);
    }
    send_u32(&agent, 'S', (uint32_t)status);
    (void)tcdrain(agent.line);
    return agent.shutdown_signal != 0 ? agent.shutdown_signal : SIGUSR2;
}
