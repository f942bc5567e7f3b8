/*
 * Other processes' memory: process_vm_readv(2), process_vm_writev(2), /proc/PID/mem.
 */
#include <sys/uio.h>

#include "abi.h"

#define PAGE 4096

struct child {
    pid_t pid;
    int done; /* closing it lets the child go */
    char *page;
};

/* A child with a page of its own at child.page, which waits until it is let go, and ends with what the page's first byte is then. */
static struct child child_start(int prot)
{
    struct child child;
    int ready[2], go[2];
    char byte;

    CHECK_EQ(pipe(ready) | pipe(go), 0);
    child.page = mmap(NULL, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(child.page != MAP_FAILED);
    child.pid = abi_fork();
    CHECK(child.pid >= 0);
    if (child.pid == 0) {
        close(go[1]);
        memset(child.page, 'c', 2 * PAGE);
        (void)mprotect(child.page, PAGE, prot);
        (void)munmap(child.page + 2 * PAGE, PAGE);
        (void)write(ready[1], "r", 1);
        (void)read(go[0], &byte, 1);
        _exit(child.page[0]);
    }
    close(go[0]);
    child.done = go[1];
    CHECK_EQ(read(ready[0], &byte, 1), 1);
    return child;
}

static int child_end(const struct child *child)
{
    int status = -1;

    close(child->done);
    CHECK_EQ(waitpid(child->pid, &status, 0), child->pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

ABI_TEST(process_vm, reads_and_writes_another_process)
{
    struct child child = child_start(PROT_READ | PROT_WRITE);
    char a[16] = "", b[16] = "";
    struct iovec local[2] = {{a, 3}, {b, 10}};
    struct iovec remote[2] = {{child.page + 4090, 8}, {child.page, 5}};

    CHECK_EQ(process_vm_readv(child.pid, local, 2, remote, 2, 0), 13);
    CHECK(strcmp(a, "ccc") == 0 && strcmp(b, "cccccccccc") == 0);
    CHECK_EQ(child.page[0], 0); /* ours is another page */
    a[0] = 'W';
    local[0].iov_len = 1;
    remote[0].iov_base = child.page;
    CHECK_EQ(process_vm_writev(child.pid, local, 1, remote, 1, 0), 1);
    CHECK_EQ(child_end(&child), 'W');
    CHECK_ERR(process_vm_readv(child.pid, local, 1, remote, 1, 0), ESRCH);
}

ABI_TEST(process_vm, stops_at_what_is_not_there)
{
    struct child child = child_start(PROT_READ);
    static char buf[4 * PAGE];
    struct iovec local = {buf, sizeof(buf)};
    struct iovec remote[2] = {{child.page + PAGE + 100, 2 * PAGE}, {child.page, 10}};

    CHECK_EQ(process_vm_readv(child.pid, &local, 1, remote, 2, 0), PAGE - 100);
    remote[0].iov_base = child.page + 2 * PAGE;
    CHECK_ERR(process_vm_readv(child.pid, &local, 1, remote, 2, 0), EFAULT);
    remote[0].iov_base = (void *)~0xfffull;
    CHECK_ERR(process_vm_readv(child.pid, &local, 1, remote, 1, 0), EFAULT);
    remote[0] = (struct iovec){child.page, 10};
    CHECK_ERR(process_vm_writev(child.pid, &local, 1, remote, 1, 0), EFAULT); /* read-only */
    CHECK_EQ(process_vm_readv(child.pid, &local, 1, remote, 1, 0), 10);
    local.iov_base = (void *)8;
    CHECK_ERR(process_vm_readv(child.pid, &local, 1, remote, 1, 0), EFAULT);
    CHECK_EQ(child_end(&child), 'c');
}

ABI_TEST(process_vm, arguments_are_checked)
{
    char c = 'x', d = 0;
    struct iovec local = {&d, 1}, remote = {&c, 1}, none = {NULL, 0}, negative = {&c, (size_t)-1};

    CHECK_EQ(process_vm_readv(getpid(), &local, 1, &remote, 1, 0), 1);
    CHECK_EQ(d, 'x');
    CHECK_ERR(process_vm_readv(getpid(), &local, 1, &remote, 1, 1), EINVAL);
    CHECK_ERR(process_vm_readv(0, &local, 1, &remote, 1, 0), ESRCH);
    CHECK_ERR(process_vm_readv(-1, &local, 1, &remote, 1, 0), ESRCH);
    CHECK_EQ(process_vm_readv(-1, &local, 0, &remote, 1, 0), 0);
    CHECK_EQ(process_vm_readv(-1, &none, 1, (void *)8, 1, 0), 0);
    CHECK_EQ(process_vm_readv(-1, &local, 1, &none, 1, 0), 0);
    CHECK_ERR(process_vm_readv(getpid(), &local, 1025, &remote, 1, 0), EINVAL);
    CHECK_ERR(process_vm_readv(getpid(), &local, 1, &remote, 1025, 0), EINVAL);
    CHECK_ERR(process_vm_readv(getpid(), &local, 1, &negative, 1, 0), EINVAL);
    CHECK_ERR(process_vm_readv(getpid(), &negative, 1, &remote, 1, 0), EINVAL);
    CHECK_ERR(process_vm_readv(getpid(), (void *)8, 1, &remote, 1, 0), EFAULT);
    CHECK_ERR(process_vm_readv(getpid(), &local, 1, (void *)8, 1, 0), EFAULT);
}

ABI_TEST(process_vm, needs_the_right_to_look)
{
    struct child child = child_start(PROT_READ);
    struct iovec local = {(char[1]){0}, 1}, remote = {child.page, 1};

    CHECK_EQ(IN_CHILD(CHECK_EQ(setgid(99) | setuid(99), 0);
                      CHECK_ERR(process_vm_readv(child.pid, &local, 1, &remote, 1, 0), EPERM)),
             0);
    CHECK_EQ(child_end(&child), 'c');
}

ABI_TEST(procmem, is_the_memory_through_its_rights)
{
    struct child child = child_start(PROT_READ);
    char name[64], buf[8] = "";

    snprintf(name, sizeof(name), "/proc/%d/mem", child.pid);
    int fd = open(name, O_RDWR);
    CHECK(fd >= 0);
    CHECK_EQ(pread(fd, buf, 4, (off_t)(uintptr_t)child.page), 4);
    CHECK(strcmp(buf, "cccc") == 0);
    CHECK_EQ(pwrite(fd, "F", 1, (off_t)(uintptr_t)child.page), 1); /* read-only, but private */
    CHECK_EQ(lseek(fd, (off_t)(uintptr_t)child.page, SEEK_SET), (off_t)(uintptr_t)child.page);
    CHECK_EQ(read(fd, buf, 2), 2);
    CHECK(strcmp(buf, "Fccc") == 0);
    CHECK_EQ(lseek(fd, 0, SEEK_CUR), (off_t)(uintptr_t)child.page + 2);
    CHECK_ERR(lseek(fd, 0, SEEK_END), EINVAL);
    CHECK_ERR(pread(fd, buf, 4, (off_t)(uintptr_t)child.page + 2 * PAGE), EIO);
    CHECK_EQ(pread(fd, buf, 0, 0), 0);
    CHECK_ERR(pread(fd, buf, 1, 0), EIO);
    CHECK_EQ(child_end(&child), 'F');
    CHECK_EQ(pread(fd, buf, 4, (off_t)(uintptr_t)child.page), 0); /* nobody is there any more */
}

ABI_TEST(procmem, shared_memory_that_is_read_only_stays_so)
{
    char buf[1];
    int fd = open("/proc/self/mem", O_RDWR);
    int file = open("shared", O_RDWR | O_CREAT, 0644);

    CHECK(fd >= 0 && file >= 0);
    CHECK_EQ(ftruncate(file, PAGE), 0);
    char *map = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, file, 0);
    CHECK(map != MAP_FAILED);
    int reader = open("shared", O_RDONLY);
    CHECK(reader >= 0);
    char *view = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, reader, 0);
    CHECK(view != MAP_FAILED);
    CHECK_ERR(pwrite(fd, "x", 1, (off_t)(uintptr_t)view), EIO);
    CHECK_EQ(view[0], 0);
    char *hidden = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    hidden[0] = 'h';
    CHECK_EQ(mprotect(hidden, PAGE, PROT_NONE), 0);
    CHECK_EQ(pread(fd, buf, 1, (off_t)(uintptr_t)hidden), 1);
    CHECK_EQ(buf[0], 'h');
    CHECK_EQ(pwrite(fd, "k", 1, (off_t)(uintptr_t)hidden), 1);
    CHECK_EQ(mprotect(hidden, PAGE, PROT_READ), 0);
    CHECK_EQ(hidden[0], 'k');
}

ABI_TEST(procmem, needs_the_right_to_look)
{
    char name[64];
    struct child child = child_start(PROT_READ);

    snprintf(name, sizeof(name), "/proc/%d/mem", child.pid);
    CHECK_EQ(
        IN_CHILD(CHECK_EQ(setgid(99) | setuid(99), 0); CHECK_ERR(open(name, O_RDONLY), EACCES)), 0);
    CHECK_EQ(child_end(&child), 'c');
}
