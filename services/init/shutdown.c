/*
 * Orderly shutdown: ask every process to end, wait a little, kill the rest, write back, unmount, leave.
 */
#include "init.h"

#include <errno.h>
#include <mntent.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define GRACE_MS 3000

static void reap_until_alone(int limit_ms)
{
    const struct timespec step = {.tv_nsec = 10000000};

    for (int waited = 0; waited < limit_ms; waited += 10) {
        pid_t pid;
        while ((pid = waitpid(-1, NULL, WNOHANG)) > 0) {
        }
        if (pid < 0 && errno == ECHILD) {
            return;
        }
        (void)nanosleep(&step, NULL);
    }
}

static void unmount_all(void)
{
    static char targets[64][256];
    int n = 0;
    FILE *mounts = setmntent("/proc/mounts", "r");

    for (struct mntent *entry; mounts != NULL && n < 64 && (entry = getmntent(mounts)) != NULL;) {
        (void)snprintf(targets[n++], sizeof(targets[0]), "%s", entry->mnt_dir);
    }
    if (mounts != NULL) {
        (void)endmntent(mounts);
    }
    while (n-- > 0) {
        if (strcmp(targets[n], "/") != 0 && strcmp(targets[n], "/proc") != 0 &&
            strcmp(targets[n], "/dev") != 0) {
            (void)umount2(targets[n], MNT_DETACH);
        }
    }
    (void)mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY, NULL);
}

void shutdown_system(int command)
{
    (void)kill(-1, SIGTERM);
    (void)kill(-1, SIGCONT);
    reap_until_alone(GRACE_MS);
    (void)kill(-1, SIGKILL);
    reap_until_alone(GRACE_MS);
    sync();
    unmount_all();
    for (;;) {
        (void)reboot(command);
        (void)pause();
    }
}
