# gcc, tcc, make, ar, ld: compile, link, run; static, shared, with threads, optimised; errors; the same program by both compilers.
export LC_ALL=C
mkdir -p /tmp/cc && cd /tmp/cc || exit 1
cat > main.c <<'C'
#include <errno.h>
#include <math.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#include "lib.h"
static _Thread_local int mine = 1;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_barrier_t barrier;
static pthread_key_t key;
static long total;
static void *work(void *arg)
{
    mine += (int)(long)arg;
    pthread_setspecific(key, arg);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 10000; i++) { pthread_mutex_lock(&lock); total += mine; pthread_mutex_unlock(&lock); }
    return (void *)(long)mine;
}
static sigjmp_buf back;
static void caught(int n) { siglongjmp(back, n); }
static int compare(const void *a, const void *b) { return *(const int *)a - *(const int *)b; }
static void at_exit(void) { puts("at exit"); }
int main(int argc, char **argv)
{
    pthread_t threads[4];
    int numbers[] = {5, 3, 9, 1};
    printf("%d %s %d\n", argc, argv[argc - 1], lib_add(2, 3));
    qsort(numbers, 4, sizeof(int), compare);
    for (int i = 0; i < 4; i++) printf("%d ", numbers[i]);
    printf("%.6f %a %s\n", sqrt(2.0), 0.1, strerror(ENOENT));
    pthread_key_create(&key, NULL);
    pthread_barrier_init(&barrier, NULL, 4);
    for (long i = 0; i < 4; i++) pthread_create(&threads[i], NULL, work, (void *)i);
    long sum = 0;
    for (int i = 0; i < 4; i++) { void *result; pthread_join(threads[i], &result); sum += (long)result; }
    printf("%ld %ld %d\n", sum, total, mine);
    signal(SIGSEGV, caught); signal(SIGFPE, caught);
    int n = sigsetjmp(back, 1);
    if (n == 0) *(volatile int *)8 = 1;
    printf("signal %d\n", n);
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    n = sigsetjmp(back, 1);
    if (n == 0) *(volatile int *)page = 1;
    printf("signal %d\n", n);
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) _exit(23);
    int status;
    waitpid(pid, &status, 0);
    printf("child %d\n", WEXITSTATUS(status));
    char *blocks[1000];
    for (int i = 0; i < 1000; i++) memset(blocks[i] = malloc((size_t)i * 997 + 1), i, (size_t)i * 997 + 1);
    long bytes = 0;
    for (int i = 0; i < 1000; i++) { bytes += blocks[i][i * 997 / 2] == (char)i; blocks[i] = realloc(blocks[i], (size_t)i * 2000 + 1); }
    for (int i = 0; i < 1000; i += 2) free(blocks[i]);
    printf("%ld\n", bytes);
    atexit(at_exit);
    return 17;
}
C
cat > lib.h <<'C'
int lib_add(int a, int b);
C
cat > lib.c <<'C'
#include <stdio.h>
#include "lib.h"
static void __attribute__((constructor)) begin(void) { puts("lib begins"); }
int lib_add(int a, int b) { return a + b; }
C
for flags in -O0 '-O2 -g' '-Os -flto' '-static' '-O3 -march=x86-64 -fstack-protector-strong -D_FORTIFY_SOURCE=2' '-m64 -no-pie'; do
    gcc $flags main.c lib.c -lm -pthread -o main && ./main with "$flags"; echo "status $?"
done
gcc -fPIC -shared -o libtour.so lib.c && gcc main.c -L. -ltour -lm -pthread -o dyn && LD_LIBRARY_PATH=. ./dyn shared; ./dyn 2>&1; echo "status $?"; LD_LIBRARY_PATH=. ldd dyn | sed 's/ (0x.*//'
cat > plug.c <<'C'
#include <dlfcn.h>
#include <stdio.h>
int main(void) { void *lib = dlopen("./libtour.so", RTLD_NOW); int (*add)(int, int) = lib ? (int (*)(int, int))dlsym(lib, "lib_add") : 0; printf("%d\n", add ? add(20, 22) : -1); printf("%s\n", dlopen("./none.so", RTLD_NOW) ? "?" : dlerror()); return dlclose(lib); }
C
gcc plug.c -o plug && ./plug; echo "status $?"
printf '#include <stdio.h>\nint main(int n, char **v) { printf("%%d arguments by tcc\\n", n); return 3; }\n' > t.c; tcc t.c -o t && ./t a b; echo "status $?"; tcc -run t.c x y z; echo "status $?"; gcc -S -O1 -o - t.c | grep -c main; gcc -E t.c | tail -1; echo 'int main(void) { return x; }' > bad.c; gcc bad.c; echo "status $?"; tcc bad.c; echo "status $?"
cat > Makefile <<'M'
OBJECTS = main.o lib.o
all: archive
main.o lib.o: lib.h
archive: $(OBJECTS)
	ar rcs libboth.a $^
	gcc -o $@ main.o libboth.a -lm -pthread
count := $(shell ls *.c | wc -l)
show:
	@echo $(count) $(words $(OBJECTS))
M
make -s -j2 && ./archive; make -q && echo nothing to do; touch lib.h; make -n | wc -l; make show; make none; echo "status $?"
ar t libboth.a; nm lib.o; objdump -d lib.o | grep -c ret; readelf -h t | grep -E 'Type|Machine'; size lib.o; strip main && ./main stripped | tail -1; strings -n 10 lib.o | head -2; as -o e.o - <<'S' && ld -o e e.o && ./e; echo "status $?"
.globl _start
_start: mov $60, %eax
 mov $9, %edi
 syscall
S
cd / && rm -rf /tmp/cc
