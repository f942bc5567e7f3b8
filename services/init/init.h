/*
 * Process 1: mounts, console sessions, services, orphans, orderly shutdown.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* ---- service.c: what /etc/linnet/services/NAME says ---- */

#define SERVICE_MAX      32
#define SERVICE_MAX_ENV  16
#define SERVICE_MAX_ARGS 32

struct service {
    char name[64];
    char exec[512];                 /* words split at white space; double quotes group */
    char tty[64];                   /* controlling terminal, "" for none */
    char env[SERVICE_MAX_ENV][128]; /* NAME=value */
    unsigned nenv;
    bool respawn;
    pid_t pid;         /* 0: not running */
    unsigned failures; /* quick deaths in a row: slows respawning */
    long started_s;    /* monotonic */
    long restart_at_s;
};

/* Read one service description. False, with a line on stderr that names file and line, when it is malformed. */
bool service_parse(const char *path, const char *name, struct service *ret_service);
/* Split `exec` into words in place; returns their number, argv is NULL-terminated. */
int service_split(char *exec, char **argv, int max);
/* Start it; the pid is in service->pid. False: fork failed. */
bool service_start(struct service *service);

/* ---- agent.c: the far end of `linnet run --exec` ---- */

/*
 * Serve one command over the raw serial line `device`, until it has ended and all its output was sent. Returns the signal that says
 * how to go down: the one that came while the command ran, else SIGUSR2. Called with all signals blocked.
 */
int agent_run(const char *device);

/* ---- shutdown.c ---- */

/* TERM, KILL, sync, unmount, then reboot(2) with `command`. Does not return. */
void shutdown_system(int command) __attribute__((noreturn));
