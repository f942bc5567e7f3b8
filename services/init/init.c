/*
 * Process 1 of Linnet.
 *
 * 1. mount what a Linux user expects (/proc, /sys, /dev, /dev/pts, /dev/shm, /run, /tmp);
 * 2. with linnet.exec=DEVICE on the kernel command line: serve one command over that serial line, then power off;
 *    else start every service that /etc/linnet/services describes, one file each;
 * 3. reap orphans, restart what asks for it, and shut down in order on SIGUSR1 (halt), SIGUSR2 (power off), SIGTERM or SIGINT
 *    (reboot), the signals that poweroff(8), halt(8) and reboot(8) of busybox send.
 */
#include "init.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SERVICES_DIR "/etc/linnet/services"

static struct service services[SERVICE_MAX];
static unsigned nservices;

struct mount_point {
    const char *type, *target;
    unsigned long flags;
    const char *options;
};

static const struct mount_point mount_points[] = {
    {"proc", "/proc", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"sysfs", "/sys", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"debugfs", "/sys/kernel/debug", MS_NOSUID | MS_NODEV | MS_NOEXEC, NULL},
    {"devtmpfs", "/dev", MS_NOSUID, "mode=0755"},
    {"devpts", "/dev/pts", MS_NOSUID | MS_NOEXEC, "gid=5,mode=620,ptmxmode=666"},
    {"tmpfs", "/dev/shm", MS_NOSUID | MS_NODEV, "mode=1777"},
    {"tmpfs", "/run", MS_NOSUID | MS_NODEV, "mode=0755"},
    {"tmpfs", "/tmp", MS_NOSUID | MS_NODEV, "mode=1777"},
};

static void mount_all(void)
{
    for (size_t i = 0; i < sizeof(mount_points) / sizeof(mount_points[0]); i++) {
        const struct mount_point *m = &mount_points[i];
        (void)mkdir(m->target, 0755);
        if (mount(m->type, m->target, m->type, m->flags, m->options) != 0 && errno != EBUSY) {
            fprintf(stderr, "init: mount %s on %s: %s\n", m->type, m->target, strerror(errno));
        }
    }
}

/* Process 1 starts without descriptors when the kernel found no console: give 0, 1 and 2 something harmless. */
static void open_console(void)
{
    int fd = open("/dev/console", O_RDWR | O_NOCTTY);

    if (fd < 0) {
        fd = open("/dev/null", O_RDWR);
    }
    for (int i = 0; fd >= 0 && i < 3; i++) {
        if (fd != i) {
            (void)dup2(fd, i);
        }
    }
    if (fd > 2) {
        (void)close(fd);
    }
}

/* The value of `name=` on the kernel command line; false when it is not there. */
static bool kernel_parameter(const char *name, char *value, size_t size)
{
    static char line[4096];
    FILE *file = fopen("/proc/cmdline", "re");
    bool found = false;

    if (file == NULL) {
        return false;
    }
    if (fgets(line, sizeof(line), file) != NULL) {
        size_t len = strlen(name);
        for (char *save, *word = strtok_r(line, " \n", &save); word != NULL;
             word = strtok_r(NULL, " \n", &save)) {
            if (strncmp(word, name, len) == 0 && word[len] == '=') {
                found = snprintf(value, size, "%s", word + len + 1) < (int)size;
            }
        }
    }
    (void)fclose(file);
    return found;
}

/* The name in /etc/hostname, if there is one. */
static void set_hostname(void)
{
    char name[65];
    FILE *file = fopen("/etc/hostname", "re");

    if (file != NULL && fgets(name, sizeof(name), file) != NULL) {
        (void)sethostname(name, strcspn(name, "\n"));
    }
    if (file != NULL) {
        (void)fclose(file);
    }
}

static long now_s(void)
{
    struct timespec ts;

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (long)ts.tv_sec;
}

static int not_hidden(const struct dirent *entry)
{
    return entry->d_name[0] != '.';
}

static void load_services(void)
{
    struct dirent **names;
    int n = scandir(SERVICES_DIR, &names, not_hidden, alphasort);

    for (int i = 0; i < n; i++) {
        char path[512];
        (void)snprintf(path, sizeof(path), "%s/%s", SERVICES_DIR, names[i]->d_name);
        if (nservices < SERVICE_MAX &&
            service_parse(path, names[i]->d_name, &services[nservices])) {
            nservices++;
        }
        free(names[i]);
    }
    if (n >= 0) {
        free(names);
    }
    if (nservices == 0) {
        fprintf(stderr, "init: no services in %s: a shell on the console\n", SERVICES_DIR);
        services[nservices++] = (struct service){
            .name = "shell", .exec = "-/bin/sh", .tty = "/dev/console", .respawn = true};
    }
}

static void start_due_services(void)
{
    for (unsigned i = 0; i < nservices; i++) {
        struct service *service = &services[i];
        if (service->tty[0] != '\0' && access(service->tty, F_OK) < 0) {
            service->restart_at_s = -1; /* this machine has no such terminal: a screen, a port */
        }
        if (service->pid == 0 && service->restart_at_s >= 0 && service->restart_at_s <= now_s()) {
            service->started_s = now_s();
            if (!service_start(service)) {
                service->restart_at_s = now_s() + 1;
            }
        }
    }
}

/* Quick deaths back off: 0, 1, 2, 4 ... at most 60 s. */
static void service_died(struct service *service, int status)
{
    service->pid = 0;
    if (!service->respawn) {
        service->restart_at_s = -1;
        return;
    }
    bool quick = now_s() - service->started_s < 2;
    service->failures = quick ? service->failures + 1 : 0;
    unsigned wait = service->failures < 2 ? 0 : 1u << (service->failures - 2);
    service->restart_at_s = now_s() + (long)(wait < 60 ? wait : 60);
    if (service->failures == 3) {
        fprintf(stderr, "init: %s keeps ending (status 0x%x): starting it less often\n",
                service->name, (unsigned)status);
    }
}

static void reap(void)
{
    int status;

    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (unsigned i = 0; i < nservices; i++) {
            if (services[i].pid == pid) {
                service_died(&services[i], status);
            }
        }
    }
}

/* A signal that asks process 1 to go down is obeyed; any other is only news. */
static void obey(int signal)
{
    switch (signal) {
    case SIGUSR1:
        shutdown_system(RB_HALT_SYSTEM);
    case SIGUSR2:
        shutdown_system(RB_POWER_OFF);
    case SIGTERM:
    case SIGINT: /* Ctrl-Alt-Del */
        shutdown_system(RB_AUTOBOOT);
    default:
        break;
    }
}

static void serve(const sigset_t *signals)
{
    for (;;) {
        struct timespec second = {.tv_sec = 1};
        bool waiting = false;

        start_due_services();
        for (unsigned i = 0; i < nservices; i++) {
            waiting |= services[i].pid == 0 && services[i].restart_at_s >= 0;
        }
        obey(sigtimedwait(signals, NULL, waiting ? &second : NULL));
        reap();
    }
}

int main(void)
{
    sigset_t signals;
    char device[64];

    if (getpid() != 1) {
        fputs("init: this is process 1's program; see poweroff(8) and reboot(8)\n", stderr);
        return 1;
    }
    (void)sigfillset(&signals);
    (void)sigprocmask(SIG_BLOCK, &signals, NULL);
    (void)umask(022);
    mount_all();
    open_console();
    set_hostname();
    (void)reboot(RB_DISABLE_CAD);
    (void)setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
    (void)setenv("HOME", "/root", 1);
    if (kernel_parameter("linnet.exec", device, sizeof(device))) {
        obey(agent_run(device));
    }
    load_services();
    serve(&signals);
}
