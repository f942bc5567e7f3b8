/*
 * Service descriptions: "key = value" lines, '#' starts a comment.
 *
 *     exec    = -/bin/sh           program and arguments; a leading '-' makes it a login shell
 *     tty     = /dev/ttyS0         open it as 0, 1, 2 and make it the controlling terminal of a new session; without such a device the
 *                                  service is not started
 *     env     = TERM=xterm         may come several times
 *     respawn = yes                start it again when it ends
 */
#include "init.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

extern char **environ;

static char *trim(char *text)
{
    while (isspace((unsigned char)*text)) {
        text++;
    }
    for (char *end = text + strlen(text); end > text && isspace((unsigned char)end[-1]);) {
        *--end = '\0';
    }
    return text;
}

static bool set_text(char *dst, size_t size, const char *value)
{
    return snprintf(dst, size, "%s", value) < (int)size;
}

static bool set_key(struct service *service, const char *key, const char *value)
{
    if (strcmp(key, "exec") == 0) {
        return set_text(service->exec, sizeof(service->exec), value);
    }
    if (strcmp(key, "tty") == 0) {
        return set_text(service->tty, sizeof(service->tty), value);
    }
    if (strcmp(key, "env") == 0 && service->nenv < SERVICE_MAX_ENV && strchr(value, '=') != NULL) {
        return set_text(service->env[service->nenv++], sizeof(service->env[0]), value);
    }
    if (strcmp(key, "respawn") == 0) {
        service->respawn = strcmp(value, "yes") == 0;
        return service->respawn || strcmp(value, "no") == 0;
    }
    return false;
}

bool service_parse(const char *path, const char *name, struct service *ret_service)
{
    struct service service = {0};
    FILE *file = fopen(path, "re");
    char line[1024];
    int number = 0;
    bool good = true;

    if (file == NULL) {
        fprintf(stderr, "init: %s: %s\n", path, strerror(errno));
        return false;
    }
    while (good && fgets(line, sizeof(line), file) != NULL) {
        char *text = trim(line);
        number++;
        if (*text == '\0' || *text == '#') {
            continue;
        }
        char *equals = strchr(text, '=');
        if (equals != NULL) {
            *equals = '\0';
        }
        good = equals != NULL && set_key(&service, trim(text), trim(equals + 1));
    }
    (void)fclose(file);
    if (!good || service.exec[0] == '\0' || !set_text(service.name, sizeof(service.name), name)) {
        fprintf(stderr, "init: %s:%d: not a service description\n", path, number);
        return false;
    }
    *ret_service = service;
    return true;
}

int service_split(char *exec, char **argv, int max)
{
    int n = 0;
    char *out = exec;

    for (char *in = exec; *in != '\0' && n < max - 1;) {
        while (isspace((unsigned char)*in)) {
            in++;
        }
        if (*in == '\0') {
            break;
        }
        argv[n++] = out;
        for (bool quoted = false; *in != '\0' && (quoted || !isspace((unsigned char)*in)); in++) {
            if (*in == '"') {
                quoted = !quoted;
            } else {
                *out++ = *in;
            }
        }
        in += *in != '\0';
        *out++ = '\0';
    }
    argv[n] = NULL;
    return n;
}

static void attach_terminal(const char *tty)
{
    (void)setsid();
    int fd = open(tty, O_RDWR);
    if (fd < 0) {
        fprintf(stderr, "init: %s: %s\n", tty, strerror(errno));
        _exit(126);
    }
    (void)ioctl(fd, TIOCSCTTY, 0);
    for (int i = 0; i < 3; i++) {
        (void)dup2(fd, i);
    }
    if (fd > 2) {
        (void)close(fd);
    }
}

static void service_exec(const struct service *service)
{
    static char exec[sizeof(service->exec)];
    char *argv[SERVICE_MAX_ARGS], *env[SERVICE_MAX_ENV + 8];
    sigset_t none;
    unsigned n = 0;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (service->tty[0] != '\0') {
        attach_terminal(service->tty);
    } else {
        (void)setsid();
    }
    (void)chdir("/root");
    for (char **var = environ; *var != NULL && n < 7; var++) {
        env[n++] = *var;
    }
    for (unsigned i = 0; i < service->nenv; i++) {
        env[n++] = (char *)service->env[i];
    }
    env[n] = NULL;
    (void)set_text(exec, sizeof(exec), service->exec);
    if (service_split(exec, argv, SERVICE_MAX_ARGS) > 0) {
        (void)execve(argv[0] + (argv[0][0] == '-'), argv, env);
        fprintf(stderr, "init: %s: %s\n", argv[0], strerror(errno));
    }
    _exit(127);
}

bool service_start(struct service *service)
{
    pid_t pid = fork();

    if (pid == 0) {
        service_exec(service);
    }
    if (pid < 0) {
        fprintf(stderr, "init: %s: %s\n", service->name, strerror(errno));
        return false;
    }
    service->pid = pid;
    return true;
}
