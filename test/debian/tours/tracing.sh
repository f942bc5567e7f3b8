# strace and gdb on programs with threads and children; what they tell of system calls, signals, threads, registers and memory.
mkdir -p /tmp/tracing && cd /tmp/tracing || exit 1
export LC_ALL=C
cat >team.c <<'C'
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define NTHREADS 3

static pthread_barrier_t barrier;
static volatile int shared;
static __thread int mine;

__attribute__((noinline)) int enlarge(int n)
{
    int twice = n * 2;
    int more = twice + 1;
    return more;
}

static void *work(void *arg)
{
    mine = (int)(long)arg;
    for (int i = 0; i < NTHREADS; i++) {
        pthread_barrier_wait(&barrier);
        if (i == mine) {
            shared += enlarge(mine);
        }
    }
    pthread_barrier_wait(&barrier);
    return NULL;
}

static void caught(int signo)
{
    shared += signo;
}

int main(int argc, char **argv)
{
    pthread_t threads[NTHREADS];

    signal(SIGUSR1, caught);
    pthread_barrier_init(&barrier, NULL, NTHREADS);
    for (long i = 0; i < NTHREADS; i++) {
        pthread_create(&threads[i], NULL, work, (void *)i);
    }
    for (int i = 0; i < NTHREADS; i++) {
        pthread_join(threads[i], NULL);
    }
    raise(SIGUSR1);
    if (argc > 1) {
        pid_t pid = fork();
        if (pid == 0) {
            execl("/bin/true", "true", (char *)NULL);
        }
        waitpid(pid, NULL, 0);
    }
    printf("%d\n", shared);
    if (argc > 2) {
        *(volatile int *)16 = 1;
    }
    return 0;
}
C
gcc -g -O0 -pthread team.c -o team && ./team

echo == strace
plain() {
    sed -e 's/0x[0-9a-f]\{3,\}/PTR/g' -e 's/\[pid *[0-9]*\]/[pid]/' -e 's/si_pid=[0-9]*/si_pid=PID/' -e 's/\[[0-9]\{2,\}\]/[TID]/g' -e 's/= [0-9]\{2,\}$/= N/' \
        -e 's/([0-9]\{2,\}, /(PID, /' -e 's/, [0-9]\{2,\}, SIG/, PID, SIG/' -e 's/, si_utime.*}/}/'
}
strace -ff -e trace=clone,clone3,fork,vfork,execve,kill,tgkill -e signal=SIGUSR1,SIGCHLD -o trace ./team fork; echo status $?
cat trace.* | grep -o '^[a-z0-9]*(\|^--- SIG.*\|^execve.*\|^+++.*' | plain | sort | uniq -c
grep -o 'clone3({flags=[^,]*, \|clone(.*flags=[^,]*, ' -h trace.* | plain | sort -u
strace -f -c -e trace=clone3,execve,rt_sigaction,tgkill -o count ./team; awk '$NF ~ /^[a-z]/ && $4 ~ /^[0-9]+$/ {print $NF, $4}' count | sort
strace -e trace=openat,read,write,close -P team.c -s 10 cat team.c 2>&1 >/dev/null | plain
strace -e trace=write,exit_group sh -c 'echo hello; exit 7' 2>&1; echo status $?
strace -o killed -e trace=none -e signal=all sh -c 'kill -TERM $$'; echo status $?; plain <killed
strace -ff -o child -e trace=execve sh -c '/bin/true; /bin/false | /bin/cat'; ls child.* | wc -l; cat child.* | grep -o 'execve("[^"]*"' | sort
strace -f -e inject=getpid:retval=42 -e trace=getpid python3 -c 'import os; print(os.getpid())' 2>&1 | tail -3 | plain
strace -e fault=openat:error=EIO:when=1 -e trace=openat cat team.c 2>&1 | plain | tail -4
strace -y -e trace=dup2,dup3,fcntl,pipe2 bash -c 'exec 7</dev/null; read -u 7 x' 2>&1 | grep -c '</dev/null>'
sleep 1000 & pid=$!
until [ "$(cat /proc/$pid/comm)" = sleep ]; do sleep 0.1; done
strace -e trace=all -o attached -p $pid 2>/dev/null & tracer=$!
until grep -q 'TracerPid:.[1-9]' /proc/$pid/status; do sleep 0.1; done
until [ -s attached ]; do sleep 0.1; done
kill -CONT $pid; until grep -q SIGCONT attached; do sleep 0.1; done
kill $tracer; wait $tracer 2>/dev/null; grep TracerPid /proc/$pid/status; kill $pid; wait $pid 2>/dev/null; echo status $?
grep -o '^[a-z_]*\|^--- SIG[A-Z]*' attached | sort | uniq -c | sort -k2 | tr -s ' '

echo == gdb
stable() {
    sed -e 's/0x[0-9a-f]\{3,\}/PTR/g' -e 's/LWP [0-9]*/LWP/g' -e 's/process [0-9]*/process/g' -e '/^\[New Thread\|^\[Thread.*exited\]\|debuginfod\|^warning: Error disabling/d' \
        -e '/^\[Switching to\|^Using host libthread_db\|^\[Thread debugging/d' -e '/^Download\|^Reading\|4096 bytes at PTR.$/d' -e 's/ at \.\.\/.*//' -e '/^[0-9]*.*in \.\.\/\|^[0-9]*.*No such file/d' \
        -e 's/\/proc\/[0-9]*/\/proc\/PID/'
}
cat >script <<'G'
set pagination off
set confirm off
set width 0
set style enabled off
set startup-with-shell off
set debuginfod enabled off
break main
run
info breakpoints
next
watch shared
break enlarge if n == 1
continue
continue
info threads
backtrace
finish
thread apply all -s print mine
delete
tbreak caught
handle SIGUSR1 nostop noprint pass
continue
info registers rip eflags cs
print $_siginfo.si_signo
up
print shared
set var shared = 100
print shared
call enlarge(20)
x/3i $pc
continue
G
gdb -batch -nx -x script ./team 2>&1 | stable | sed -e '/^\* \|^  [0-9]/s/Thread PTR (LWP)/THREAD/' -e '/^rip\|^eflags/d' -e '/^ *PTR <.*>:/d' -e '/^=> /d' | grep -v '^  [0-9] .*THREAD\|^\* [0-9] .*THREAD\|^  Id'
cat >steps <<'G'
set width 0
set style enabled off
set debuginfod enabled off
set startup-with-shell off
break enlarge
run
step
step
info locals
stepi
nexti
set scheduler-locking on
step
set scheduler-locking off
finish
info threads
delete
kill
G
gdb -batch -nx -x steps ./team 2>&1 | stable | grep -v 'THREAD\|Thread PTR\|  Id\|^PTR'
cat >crash <<'G'
set width 0
set style enabled off
set debuginfod enabled off
set startup-with-shell off
set follow-fork-mode parent
catch fork
catch exec
run
info inferiors
continue
print $_siginfo.si_signo
backtrace
generate-core-file team.core
kill
G
gdb -batch -nx -x crash --args ./team fork crash 2>&1 | stable | grep -v '^#[0-9]* .* in \(_*\(libc_\)\?fork\|arch_fork\|.*vfork\)'
gdb -batch -nx -ex 'set width 0' -ex 'set style enabled off' -ex 'set debuginfod enabled off' -ex backtrace -ex 'print shared' ./team team.core 2>&1 | stable
gdb -batch -nx -ex 'set style enabled off' -ex 'set debuginfod enabled off' -ex 'attach '$$ -ex 'info inferiors' -ex detach 2>&1 | grep -c 'Detaching\|detached'
cd / && rm -rf /tmp/tracing
