/*
 * cycles COUNT      COUNT rounds of fork, exec and exit; the free memory afterwards must be what it was. Prints TAP.
 */
#include "abi.h"

#define SLACK_KIB 512

static bool cycle(char *self)
{
    int status;
    pid_t pid = fork();

    if (pid == 0) {
        char *argv[] = {self, "exit", NULL};
        (void)execv("/proc/self/exe", argv);
        _exit(99);
    }
    return waitpid(pid, &status, 0) == pid && status == 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "exit") == 0) {
        return 0;
    }
    long count = argc > 1 ? atol(argv[1]) : 1000, good = 0;
    for (long i = 0; i < 100; i++) {
        (void)cycle(argv[0]);
    }
    long before = abi_free_kib();
    for (long i = 0; i < count; i++) {
        good += cycle(argv[0]);
    }
    long after = abi_free_kib();
    printf("1..2\n%sok 1 - cycles: %ld of %ld rounds of fork, exec, exit\n",
           good == count ? "" : "not ", good, count);
    bool kept = before - after <= SLACK_KIB;
    printf("%sok 2 - cycles: free memory %ld KiB before, %ld KiB after\n", kept ? "" : "not ",
           before, after);
    return good == count && kept ? 0 : 1;
}
